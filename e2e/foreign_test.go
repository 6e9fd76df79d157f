//go:build e2e && unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// installed says what to install when a program is missing.
func installed(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is missing: sudo apt-get install -y --no-install-recommends %s", program, pkg)
	}
}

// python returns a Python that has e2e/foreign/requirements.txt, made once in the user's cache folder.
func python(t *testing.T) string {
	t.Helper()
	installed(t, "python3", "python3-venv")
	wants, err := os.ReadFile("foreign/requirements.txt")
	must(t, err)
	root, err := os.UserCacheDir()
	must(t, err)
	sum := sha256.Sum256(wants)
	dir := filepath.Join(root, "concord", "python-"+hex.EncodeToString(sum[:6]))
	bin := filepath.Join(dir, "bin", "python")
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	must(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	partial, err := os.MkdirTemp(filepath.Dir(dir), "python-partial-")
	must(t, err)
	defer os.RemoveAll(partial)
	for _, line := range [][]string{
		{"python3", "-m", "venv", "--copies", partial},
		{filepath.Join(partial, "bin", "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", "foreign/requirements.txt"},
	} {
		if out, err := exec.CommandContext(t.Context(), line[0], line[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%ssudo apt-get install -y --no-install-recommends python3-venv python3-pip", strings.Join(line, " "), err, out)
		}
	}
	// Another test run may have been faster.
	if err := os.Rename(partial, dir); err != nil && !errors.Is(err, os.ErrExist) {
		if _, there := os.Stat(bin); there != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// lines runs a program and returns what it printed, line by line.
func lines(t *testing.T, name string, args ...string) [][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	var out [][]byte
	s := bufio.NewScanner(&stdout)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		out = append(out, bytes.Clone(s.Bytes()))
	}
	must(t, s.Err())
	return out
}

// Clients of other makes, as they come, on either side of Concord.
func TestForeignClients(t *testing.T) {
	t.Parallel()
	installed(t, "kcat", "kcat")
	python := python(t)
	r := newRun(t, config{Applications: long(30, 300)})
	f := newFeed(r, "foreign")
	r.up("gateway", 1)
	r.up("reconciler", 1)
	r.up("writeback", 1)
	r.up("kpi", 1)
	r.ready()
	must(t, r.tell(t.Context(), 0))
	brokers := r.cluster.Brokers()[0]
	script := func(name string, args ...string) [][]byte {
		return lines(t, python, append([]string{"foreign/" + name, "--brokers", brokers, "--registry", r.cluster.Registry()}, args...)...)
	}
	// publish has Python publish events of applications, and returns where they stand.
	publish := func(start, partitioner string) []place {
		var apps []string
		for n := range 50 {
			apps = append(apps, fmt.Sprintf("%s/%s-%d", system, start, n))
		}
		var out []place
		for _, line := range script("publish.py", "--applications", strings.Join(apps, ","), "--each", "3", "--partitioner", partitioner) {
			var at struct {
				Topic     string
				Partition int32
				Offset    int64
			}
			must(t, json.Unmarshal(line, &at))
			out = append(out, place{at.Topic, at.Partition, at.Offset})
		}
		if len(out) != 150 {
			t.Fatalf("Python published %d events, want 150", len(out))
		}
		return out
	}

	t.Run("Python publishes", func(t *testing.T) {
		for _, p := range publish("python", "murmur2_random") {
			f.sent[p] = true
		}
		f.decided(nil)
	})
	// librdkafka's own default: most records land where their application is not. None is lost, and none makes a second
	// half of an application.
	t.Run("Python publishes elsewhere", func(t *testing.T) {
		astray, letters := make(map[place]bool), 0
		keyed := kgo.StickyKeyPartitioner(nil).ForTopic(topics.ScreeningEvents)
		all := publish("astray", "consistent_random")
		must(t, eventually(t.Context(), time.Minute, func() bool {
			letters = 0
			for _, rec := range r.logged(topics.DeadLetter(topics.ScreeningEvents)) {
				l := deadletter.Read(rec)
				if l.Cause != string(wire.CauseWrongPartition) {
					continue
				}
				letters++
				astray[place{l.Source.Topic, l.Source.Partition, l.Source.Offset}] = true
				if keyed.Partition(rec, partitions) == int(l.Source.Partition) {
					t.Fatalf("%v is where it belongs", l.Source)
				}
			}
			f.poll()
			done := letters
			for _, p := range all {
				done += f.ended[p]
			}
			return done == len(all)
		}))
		if letters != len(astray) || letters == 0 {
			t.Errorf("%d dead letters of %d records", letters, len(astray))
		}
		r.tool("dlq", "replay", "--cause", string(wire.CauseWrongPartition), "--yes")
		for _, rec := range r.logged(topics.ScreeningEvents) {
			if strings.Contains(string(rec.Key), "/astray-") && keyed.Partition(rec, partitions) == int(rec.Partition) {
				f.sent[place{rec.Topic, rec.Partition, rec.Offset}] = true
			}
		}
		f.decided(nil)
	})

	for _, topic := range []string{topics.HiringDecisions, topics.KPIWriteback} {
		t.Run("Python reads "+topic, func(t *testing.T) {
			aborted(t, r.kafka, topic)
			want := r.logged(topic)
			got := make(map[place]bool)
			for _, line := range script("read.py", topic) {
				var rec struct {
					Partition int32
					Offset    int64
					Key       string
					Value     map[string]any
				}
				must(t, json.Unmarshal(line, &rec))
				got[place{topic, rec.Partition, rec.Offset}] = len(rec.Value) > 0
			}
			r.sees(t, "Python", want, got)
		})
	}
	t.Run("the Java console consumer reads "+topics.HiringDecisions, func(t *testing.T) {
		want := r.logged(topics.HiringDecisions)
		out, err := r.cluster.Tool(t.Context(), "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", brokers, "--topic", topics.HiringDecisions,
			"--from-beginning", "--isolation-level", "read_committed", "--max-messages", strconv.Itoa(len(want)+1), "--timeout-ms", "8000",
			"--formatter-property", "print.value=false", "--formatter-property", "print.partition=true", "--formatter-property", "print.offset=true")
		if err != nil && !strings.Contains(err.Error(), "TimeoutException") {
			t.Fatal(err)
		}
		got := make(map[place]bool)
		for line := range strings.Lines(out) {
			p := place{topic: topics.HiringDecisions}
			if _, err := fmt.Sscanf(strings.TrimSpace(line), "Partition:%d\tOffset:%d", &p.partition, &p.offset); err == nil {
				got[p] = true
			}
		}
		r.sees(t, "Java", want, got)
	})
	t.Run("kcat tails a dead-letter topic", func(t *testing.T) {
		topic := topics.DeadLetter(topics.ScreeningEvents)
		want := r.logged(topic)
		got := make(map[place]bool)
		for _, line := range lines(t, "kcat", "-C", "-q", "-e", "-b", brokers, "-t", topic, "-o", "beginning", "-X", "isolation.level=read_committed",
			"-f", "%p %o %h\n") {
			p := place{topic: topic}
			var headers string
			if _, err := fmt.Sscanf(string(line), "%d %d %s", &p.partition, &p.offset, &headers); err != nil {
				t.Fatalf("kcat says %q: %v", line, err)
			}
			got[p] = strings.Contains(headers, deadletter.HeaderCause+"=")
		}
		r.sees(t, "kcat", want, got)
	})
}

// sees compares the places a client has read with what is committed.
func (r *run) sees(t *testing.T, who string, want []*kgo.Record, got map[place]bool) {
	t.Helper()
	if len(want) == 0 {
		t.Fatal("nothing to read")
	}
	for _, rec := range want {
		if !got[place{rec.Topic, rec.Partition, rec.Offset}] {
			t.Errorf("%s has not read %s/%d@%d whole", who, rec.Topic, rec.Partition, rec.Offset)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s has read %d records, %d are committed", who, len(got), len(want))
	}
	t.Logf("%s read %d records", who, len(got))
}

// aborted leaves records of an aborted transaction on a topic, which no reader of committed data may see.
func aborted(t *testing.T, kafka []kgo.Opt, topic string) {
	t.Helper()
	client, err := kgo.NewClient(append(slices.Clone(kafka), kgo.TransactionalID("changed-its-mind"))...)
	must(t, err)
	defer client.Close()
	must(t, client.BeginTransaction())
	for n := range 10 {
		must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: fmt.Append(nil, n), Value: []byte("never")}).FirstErr())
	}
	must(t, client.EndTransaction(t.Context(), kgo.TryAbort))
}

// Another program floods an input with what is no event. Each becomes one dead letter with the right cause, events between
// them are decided, and memory stays within a bound.
func TestFloodOfGarbage(t *testing.T) {
	t.Parallel()
	r := newRun(t, config{Applications: 1})
	f := newFeed(r, "flood")
	p := r.up("reconciler", 1)[0]
	must(t, p.waitReady(t.Context()))
	f.send(50)
	f.decided(nil)

	flood := long(30_000, 500_000)
	flooded := make(chan error, 1)
	go func() {
		_, err := r.cluster.Tool(t.Context(), "org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", r.cluster.Brokers()[0],
			"--topic", topics.ATSChanges, "--max-messages", strconv.Itoa(flood))
		flooded <- err
	}()
	for sending := true; sending; {
		select {
		case err := <-flooded:
			must(t, err)
			sending = false
		default:
			f.send(50)
			f.decided(nil)
		}
	}
	f.decided(nil)
	letters := make(map[string]int)
	must(t, eventually(t.Context(), time.Minute, func() bool {
		n, err := p.metric(t.Context(), "concord_stream_deadletters_total")
		return err == nil && int(n) >= flood
	}))
	from := make(map[place]bool)
	for _, rec := range r.logged(topics.DeadLetter(topics.ATSChanges)) {
		l := deadletter.Read(rec)
		letters[l.Cause]++
		from[place{l.Source.Topic, l.Source.Partition, l.Source.Offset}] = true
	}
	if letters[string(wire.CauseBadFraming)] != flood || len(letters) != 1 || len(from) != flood {
		t.Errorf("%d records became dead letters %v of %d places", flood, letters, len(from))
	}
	rss, _, err := p.usage()
	must(t, err)
	t.Logf("resident after %d dead letters and %d events: %d MiB", flood, len(f.sent), rss>>20)
	if rss > 512<<20 {
		t.Errorf("%d MiB are resident", rss>>20)
	}
	must(t, p.stop())
}
