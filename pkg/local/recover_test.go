package local

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// crash returns a copy of a running broker's folder: what a kill at this moment leaves behind.
func crash(t *testing.T, dir string) string {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// producer is a transactional producer that chooses partitions by hand.
func producer(t *testing.T, s *Services) *kgo.Client {
	t.Helper()
	return client(t, s, kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(time.Minute))
}

// begin starts a transaction and writes one record to each of the partitions; it does not end it.
func begin(t *testing.T, cl *kgo.Client, value string, partitions ...int32) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, p := range partitions {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "two", Partition: p, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t *testing.T, cl *kgo.Client) {
	t.Helper()
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// visible returns what a reader of committed data sees of a partition, in order.
func visible(t *testing.T, s *Services, partition int32) []string {
	t.Helper()
	cl := client(t, s, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"two": {partition: kgo.NewOffset().At(0)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	defer cl.Close()
	ends, err := kadm.NewClient(client(t, s)).ListCommittedOffsets(t.Context(), "two")
	if err != nil {
		t.Fatal(err)
	}
	end := ends["two"][partition].Offset
	var out []string
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for at := int64(0); at < end; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("partition %d: at %d of %d: %v", partition, at, end, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if !r.Attrs.IsControl() {
				out = append(out, string(r.Value))
			}
		})
	}
	return out
}

func two(t *testing.T, dir string) *Services {
	t.Helper()
	s := start(t, Config{Dir: dir})
	if _, err := kadm.NewClient(client(t, s)).CreateTopics(t.Context(), 2, -1, configs(), "two"); err != nil {
		t.Fatal(err)
	}
	return s
}

// expect checks both partitions, and again after a clean restart and after one more crash.
func expect(t *testing.T, s *Services, dir string, want ...string) {
	t.Helper()
	check := func(when string, s *Services) {
		t.Helper()
		for p := range int32(2) {
			if got := visible(t, s, p); !slices.Equal(got, want) {
				t.Errorf("%s: partition %d shows %q, want %q", when, p, got, want)
			}
		}
	}
	check("at once", s)
	check("after another crash", start(t, Config{Dir: crash(t, dir)}))
	stop(t, s)
	if _, err := os.Stat(filepath.Join(dir, cleanFile)); err != nil {
		t.Errorf("a clean end is not noted: %v", err)
	}
	check("after a clean restart", start(t, Config{Dir: dir}))
}

// The records of a transaction that a crash interrupted are never seen, and what its producer commits next is.
func TestAnInterruptedTransactionIsAborted(t *testing.T) {
	t.Parallel()
	before := t.TempDir()
	s := two(t, before)
	cl := producer(t, s)
	begin(t, cl, "first", 0, 1)
	commit(t, cl)
	begin(t, cl, "interrupted", 0, 1)

	dir := crash(t, before)
	s = start(t, Config{Dir: dir})
	cl = producer(t, s)
	begin(t, cl, "second", 0, 1)
	commit(t, cl)
	expect(t, s, dir, "first", "second")
}

// A commit that a crash cut between the markers of two partitions is a commit of both.
func TestACommitIsWhole(t *testing.T) {
	t.Parallel()
	before := t.TempDir()
	s := two(t, before)
	cl := producer(t, s)
	begin(t, cl, "first", 0, 1)
	commit(t, cl)
	begin(t, cl, "cut", 0, 1)
	commit(t, cl)

	dir := crash(t, before)
	cutLastBatch(t, dir, 1)
	s = start(t, Config{Dir: dir})
	cl = producer(t, s)
	begin(t, cl, "second", 0, 1)
	commit(t, cl)
	expect(t, s, dir, "first", "cut", "second")
}

// cutLastBatch removes the newest batch of a partition, a commit marker, as if the crash had come before it.
func cutLastBatch(t *testing.T, dir string, partition int) {
	t.Helper()
	path := filepath.Join(dir, "kafka", "partitions", "two-"+strconv.Itoa(partition), "0.dat")
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last, at := 0, 0
	for at < len(log) { // a batch is its offset, its length, and that many bytes
		last = at
		at += 12 + int(binary.BigEndian.Uint32(log[at+8:]))
	}
	if last == 0 {
		t.Fatalf("%s has one batch only", path)
	}
	if err := os.Truncate(path, int64(last)); err != nil {
		t.Fatal(err)
	}
}
