//go:build e2e && unix

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// feed sends simple events about some applications, for tests of one process, and knows what must have become of each.
type feed struct {
	r      *run
	apps   string // start of the application ids
	client *kgo.Client
	rng    *rand.Rand
	events int
	sent   map[place]bool
	ended  map[place]int // how often each record was decided or dead-lettered
	reader *kgo.Client
}

// place is where a record stands.
type place struct {
	topic     string
	partition int32
	offset    int64
}

const feedApplications = 60

func newFeed(r *run, name string) *feed {
	r.t.Helper()
	reader, err := kgo.NewClient(append(slices.Clone(r.kafka), kgo.ConsumeTopics(topics.HiringDecisions), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))...)
	must(r.t, err)
	r.t.Cleanup(reader.Close)
	f := &feed{
		r: r, apps: system + "/" + name + "-", rng: rand.New(rand.NewPCG(*seedFlag, 3)),
		sent: make(map[place]bool), ended: make(map[place]int), reader: reader,
	}
	f.connect()
	return f
}

// connect opens the producer, again after a topic was recreated.
func (f *feed) connect() {
	f.r.t.Helper()
	var err error
	f.client, err = kgo.NewClient(append(slices.Clone(f.r.kafka), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))...)
	must(f.r.t, err)
	f.r.t.Cleanup(f.client.Close)
}

// send produces n events.
func (f *feed) send(n int) {
	f.r.t.Helper()
	recs := make([]*kgo.Record, 0, n)
	for range n {
		app := fmt.Sprintf("%s%d", f.apps, f.rng.IntN(feedApplications))
		f.events++
		id, now := fmt.Sprintf("%s%d", f.apps, f.events), wire.MicrosOf(time.Now())
		rec := &kgo.Record{Topic: topics.ATSChanges, Key: []byte(app)}
		var e wire.Event = &wire.AtsChange{
			ID: id, Source: "connector/" + system, Type: "application.updated", System: system, OccurredAt: now, ApplicationID: app,
			Stage: wire.NativeStage{ID: "1001"}, Status: wire.ApplicationStatusActive,
			Elements: []wire.Element{{Name: "source", Value: fmt.Sprintf("source %d", f.rng.IntN(1000))}},
		}
		if f.rng.IntN(2) == 0 {
			rec.Topic = topics.ScreeningEvents
			e = &wire.ScreeningEvent{ID: id, Source: "assess", Type: "screening.invited", System: "assess", OccurredAt: now, ApplicationID: app, OrderID: "order " + id, Attempt: 1}
		}
		rec.Value = f.r.schemas.Append(nil, e)
		recs = append(recs, rec)
	}
	must(f.r.t, f.client.ProduceSync(f.r.t.Context(), recs...).FirstErr())
	for _, rec := range recs {
		f.sent[place{rec.Topic, rec.Partition, rec.Offset}] = true
	}
}

// decided waits until every record sent has exactly one decision. of chooses partitions; nil is all.
func (f *feed) decided(of func(partition int32) bool) {
	f.r.t.Helper()
	ctx, cancel := context.WithTimeout(f.r.t.Context(), 90*time.Second)
	defer cancel()
	for {
		missing := 0
		for p := range f.sent {
			switch n := f.ended[p]; {
			case of != nil && !of(p.partition):
			case n == 0:
				missing++
			case n > 1:
				f.r.t.Fatalf("%v was decided %d times", p, n)
			}
		}
		if missing == 0 {
			return
		}
		if f.read(ctx); ctx.Err() != nil {
			f.r.t.Fatalf("%d of %d events were never decided", missing, len(f.sent))
		}
	}
}

// poll reads the decisions there are.
func (f *feed) poll() {
	f.r.t.Helper()
	ctx, cancel := context.WithTimeout(f.r.t.Context(), 300*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil {
		f.read(ctx)
	}
}

func (f *feed) read(ctx context.Context) {
	f.r.t.Helper()
	f.reader.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
		var d wire.Decision
		if err := f.r.schemas.DecodeLocal(rec.Value, &d); err != nil {
			f.r.t.Fatalf("decision: %v", err)
		}
		if p := (place{d.Topic, d.Partition, d.Offset}); d.Offset >= 0 {
			f.ended[p]++
		}
	})
}

// logged reads the committed records of a topic to its end.
func (r *run) logged(topic string) []*kgo.Record {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(append(slices.Clone(r.kafka), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))...)
	must(r.t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	must(r.t, err)
	var out []*kgo.Record
	at := make(map[int32]int64)
	behind := func() (late bool) {
		ends.Each(func(l kadm.ListedOffset) { late = late || at[l.Partition] < l.Offset })
		return late
	}
	for behind() {
		fetches := client.PollFetches(ctx)
		must(r.t, ctx.Err())
		fetches.EachRecord(func(rec *kgo.Record) {
			at[rec.Partition] = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				out = append(out, rec)
			}
		})
	}
	return out
}

// sameState compares the local store of a process that has ended with the states in the log, byte for byte.
func (r *run) sameState(p *process) {
	r.t.Helper()
	want := make(map[string][]byte)
	for _, rec := range r.logged(topics.HiringState) {
		if rec.Value == nil {
			delete(want, string(rec.Key))
			continue
		}
		want[string(rec.Key)] = rec.Value
	}
	if len(want) == 0 {
		r.t.Fatal("the log holds no state")
	}
	client, err := kgo.NewClient(r.kafka...)
	must(r.t, err)
	defer client.Close()
	meta, err := kadm.NewClient(client).ListTopics(r.t.Context(), topics.HiringState)
	must(r.t, err)
	db, err := store.Open(filepath.Join(p.data(), "state"), store.Options{})
	must(r.t, err)
	defer db.Close()
	stored := 0
	for n := range int32(partitions) {
		part, err := db.Partition(meta[topics.HiringState].ID, n)
		must(r.t, err)
		must(r.t, part.Scan(func(key string, value []byte) bool {
			stored++
			if !bytes.Equal(want[key], value) {
				r.t.Errorf("%s: the store of %s and the log hold different states", key, p.name)
			}
			return true
		}))
	}
	if stored != len(want) {
		r.t.Errorf("the store of %s holds %d states, the log %d", p.name, stored, len(want))
	}
}

// data is the process's data folder.
func (p *process) data() string { return p.args[slices.Index(p.args, "--data")+1] }

// copyFolder copies a folder file by file, as a careless backup does: what vanishes meanwhile is left out.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		} else if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		} else if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o600)
	}))
}
