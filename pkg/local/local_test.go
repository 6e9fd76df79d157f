package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/goleak"
)

// childDir names the variable by which this test binary is told to be the process that is
// killed: it runs the services on that folder and writes until it dies.
const childDir = "CONCORD_LOCAL_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, cfg Config) *Services {
	t.Helper()
	s, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Services) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func client(t *testing.T, s *Services, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.Brokers...)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestServicesAnswer(t *testing.T) {
	s := start(t, Config{Partitions: 3})
	adm := kadm.NewClient(client(t, s))
	if _, err := adm.CreateTopic(t.Context(), -1, -1, configs(), "made"); err != nil {
		t.Fatal(err)
	}
	details, err := adm.ListTopics(t.Context(), "made")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(details["made"].Partitions); n != 3 {
		t.Errorf("default of %d partitions, want 3", n)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.Redis})
	defer func() {
		if err := rdb.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := rdb.Set(t.Context(), "k", "v", time.Minute).Err(); err != nil {
		t.Error(err)
	}
	register(t, s, "a-value", schemaA)
	for _, addr := range []string{s.Brokers[0], s.Redis, strings.TrimPrefix(s.Registry, "http://")} {
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			t.Errorf("%s listens beyond the loopback interface", addr)
		}
	}
}

// Exactly-once needs transaction.version 2 (KIP-890); the embedded broker reports it without
// being asked to.
func TestBrokerReportsTransactionVersion2(t *testing.T) {
	s := start(t, Config{})
	features, err := kadm.NewClient(client(t, s)).ApiVersions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range features.Sorted() {
		for _, f := range v.Raw().FinalizedFeatures {
			if f.Name == "transaction.version" && f.MaxVersionLevel >= 2 {
				return
			}
		}
	}
	t.Error("transaction.version 2 is not finalised")
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	if other, err := Start(t.Context(), Config{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("second start: %v, %v", other, err)
	}
	stop(t, s)
	again, err := Start(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatalf("start after close: %v", err)
	}
	stop(t, again)
}

func TestPortTakenIsAnError(t *testing.T) {
	s := start(t, Config{})
	port := func(addr string) int {
		n, err := strconv.Atoi(addr[strings.LastIndexByte(addr, ':')+1:])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for name, cfg := range map[string]Config{
		"kafka":    {KafkaPort: port(s.Brokers[0])},
		"redis":    {RedisPort: port(s.Redis)},
		"registry": {RegistryPort: port(s.Registry)},
	} {
		if _, err := Start(t.Context(), cfg); err == nil {
			t.Errorf("%s: started on a port in use", name)
		}
	}
}

const (
	schemaA = `{"type":"record","name":"A","fields":[{"name":"x","type":"long"}]}`
	schemaB = `{"type":"record","name":"B","fields":[{"name":"less","type":"string","doc":"a < b & c"}]}`
	schemaC = `{"type":"record","name":"A","fields":[{"name":"x","type":"long"},{"name":"y","type":"long","default":0}]}`
)

func register(t *testing.T, s *Services, subject, schema string) int {
	t.Helper()
	cl, err := sr.NewClient(sr.URLs(s.Registry))
	if err != nil {
		t.Fatal(err)
	}
	got, err := cl.CreateSchema(t.Context(), subject, sr.Schema{Schema: schema, Type: sr.TypeAvro})
	if err != nil {
		t.Fatal(err)
	}
	return got.ID
}

func TestSchemaIDsSurviveRestarts(t *testing.T) {
	dir := t.TempDir()
	type reg struct{ subject, schema string }
	// The second subject shares the first one's schema before it gets its own.
	regs := []reg{{"b-value", schemaB}, {"a-value", schemaA}, {"c-value", schemaB}, {"c-value", schemaA}, {"a-value", schemaC}}
	ids := make([]int, len(regs))
	for i, r := range regs {
		s := start(t, Config{Dir: dir}) // a restart before every registration
		ids[i] = register(t, s, r.subject, r.schema)
		stop(t, s)
	}
	journal := filepath.Join(dir, "registry.jsonl")
	before, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	// A crash in the middle of a write leaves half a line.
	if err := os.WriteFile(journal, append(before, `{"method":"POST","path":"/subj`...), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, Config{Dir: dir})
	for i := len(regs) - 1; i >= 0; i-- {
		if id := register(t, s, regs[i].subject, regs[i].schema); id != ids[i] {
			t.Errorf("%s: id %d, was %d", regs[i].subject, id, ids[i])
		}
	}
	after, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	if string(after) != string(before) {
		t.Errorf("registering again changed the journal from %d to %d bytes", len(before), len(after))
	}
	cl, err := sr.NewClient(sr.URLs(s.Registry))
	if err != nil {
		t.Fatal(err)
	}
	got, err := cl.SchemaByID(t.Context(), ids[0])
	if err != nil || got.Schema != schemaB {
		t.Errorf("schema %d = %q, %v", ids[0], got.Schema, err)
	}
}

func configs() map[string]*string {
	out := make(map[string]*string)
	for name, value := range TopicConfigs() {
		out[name] = &value
	}
	return out
}

// child prints a line for each acknowledged write: "r n" for a record, "t n" for a committed
// transaction of three, "s id" for a registered schema, "g n" for a committed group offset.
func child(dir string) error {
	ctx := context.Background()
	s, err := Start(ctx, Config{Dir: dir})
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...), kgo.TransactionalID("child"), kgo.DefaultProduceTopic("tx"))
	if err != nil {
		return err
	}
	plain, err := kgo.NewClient(kgo.SeedBrokers(s.Brokers...), kgo.DefaultProduceTopic("plain"), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	adm := kadm.NewClient(plain)
	if _, err := adm.CreateTopics(ctx, 1, -1, configs(), "plain", "tx"); err != nil {
		return err
	}
	reg, err := sr.NewClient(sr.URLs(s.Registry))
	if err != nil {
		return err
	}
	for i, schema := range []string{schemaB, schemaA} {
		got, err := reg.CreateSchema(ctx, fmt.Sprintf("s%d-value", i), sr.Schema{Schema: schema, Type: sr.TypeAvro})
		if err != nil {
			return err
		}
		fmt.Printf("s %d\n", got.ID)
	}
	for n := 0; ; n++ {
		if err := plain.ProduceSync(ctx, kgo.StringRecord(strconv.Itoa(n))).FirstErr(); err != nil {
			return err
		}
		fmt.Printf("r %d\n", n)
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
		for range 3 {
			cl.Produce(ctx, kgo.StringRecord(strconv.Itoa(n)), nil)
		}
		if err := cl.Flush(ctx); err != nil {
			return err
		}
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return err
		}
		fmt.Printf("t %d\n", n)
		offsets := make(kadm.Offsets)
		offsets.AddOffset("plain", 0, int64(n+1), -1)
		if err := adm.CommitAllOffsets(ctx, "group", offsets); err != nil {
			return err
		}
		fmt.Printf("g %d\n", n+1)
	}
}

// Whatever was acknowledged before kill -9 is there after it.
func TestKillNineLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last := map[string]int{"r": -1, "t": -1, "g": -1}
	var ids []int
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		kind, number, ok := strings.Cut(lines.Text(), " ")
		n, err := strconv.Atoi(number)
		if !ok || err != nil {
			t.Fatalf("child said %q", lines.Text())
		}
		if kind == "s" {
			ids = append(ids, n)
		} else {
			last[kind] = n
		}
		if last["t"] >= 150 && !killed {
			killed = true
			if err := cmd.Process.Kill(); err != nil { // SIGKILL, in the middle of its loop
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !killed {
		t.Fatalf("child was not killed: %v", err)
	}
	t.Logf("acknowledged before the kill: records to %d, transactions to %d, group offset %d", last["r"], last["t"], last["g"])

	s := start(t, Config{Dir: dir})
	if got := read(t, s, "plain"); got["0"] != 1 || len(got) < last["r"]+1 {
		t.Errorf("%d records of %d acknowledged", len(got), last["r"]+1)
	} else {
		for n := range last["r"] + 1 {
			if got[strconv.Itoa(n)] != 1 {
				t.Fatalf("record %d is there %d times", n, got[strconv.Itoa(n)])
			}
		}
	}
	got := read(t, s, "tx")
	for n := range last["t"] + 1 {
		if got[strconv.Itoa(n)] != 3 {
			t.Fatalf("transaction %d shows %d of 3 records", n, got[strconv.Itoa(n)])
		}
	}
	for n, count := range got {
		if count != 3 {
			t.Errorf("transaction %s shows %d of 3 records", n, count)
		}
	}
	offsets, err := kadm.NewClient(client(t, s)).FetchOffsets(t.Context(), "group")
	if err != nil {
		t.Fatal(err)
	}
	if o, ok := offsets.Lookup("plain", 0); !ok || o.At < int64(last["g"]) {
		t.Errorf("group offset %d, acknowledged %d", o.At, last["g"])
	}
	for i, schema := range []string{schemaB, schemaA} {
		if id := register(t, s, fmt.Sprintf("s%d-value", i), schema); id != ids[i] {
			t.Errorf("schema id %d, was %d", id, ids[i])
		}
	}
	// The next life takes the transactional id over and goes on.
	next := client(t, s, kgo.TransactionalID("child"), kgo.DefaultProduceTopic("tx"))
	if err := next.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := next.ProduceSync(t.Context(), kgo.StringRecord("after")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := next.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, "tx"); got["after"] != 1 {
		t.Errorf("after the restart: %d", got["after"])
	}
}

// read counts the committed records of a topic by value.
func read(t *testing.T, s *Services, topic string) map[string]int {
	t.Helper()
	cl := client(t, s, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	end, ok := ends.Lookup(topic, 0)
	if !ok {
		t.Fatalf("topic %s is gone", topic)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := make(map[string]int)
	for at := int64(0); at < end.Offset; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s at %d of %d: %v", topic, at, end.Offset, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				got[string(r.Value)]++
			}
			at = r.Offset + 1
		})
	}
	return got
}
