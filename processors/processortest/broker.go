// Package processortest is the broker that the tests of processors share: in memory, with every topic of the product as
// `concord topics create` makes them, and ways to wait for a processor and to read what it has committed.
package processortest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// patience is how long a processor may take for what a test waits for.
const patience = 30 * time.Second

// Broker is a broker and a client on it. Its methods end the test where they cannot do what they say, so they are for
// the goroutine of the test.
type Broker struct {
	T       *testing.T
	Opts    []kgo.Opt // for whatever the test runs on the broker
	Client  *kgo.Client
	Schemas *wire.Schemas
}

// New returns a broker that ends with the test. Own options are the client's alone.
func New(t *testing.T, partitions int32, own ...kgo.Opt) *Broker {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	b := &Broker{T: t, Opts: []kgo.Opt{
		kgo.SeedBrokers(kafka.ListenAddrs()...), kgo.ProducerBatchMaxBytesFn(batchBytes), kgo.FetchMaxWait(50 * time.Millisecond),
	}}
	if b.Schemas, err = wire.Open(wire.Config{}); err != nil {
		t.Fatal(err)
	}
	if b.Client, err = kgo.NewClient(append(b.Opts[:len(b.Opts):len(b.Opts)], own...)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Client.Close)
	if _, err := topics.Create(t.Context(), b.Client, topics.Options{Partitions: partitions, Replication: 1, Embedded: true}, false); err != nil {
		t.Fatal(err)
	}
	return b
}

// batchBytes is as large as the topic takes: a dead letter is larger than the client's own bound.
func batchBytes(topic string) int32 {
	for _, t := range topics.Table() {
		if t.Name == topic {
			return int32(t.MaxRecord)
		}
	}
	return 1 << 20
}

// Message is the record of a value, keyed.
func (b *Broker) Message(topic, key string, r wire.Record) *kgo.Record {
	return &kgo.Record{Topic: topic, Key: []byte(key), Value: b.Schemas.Append(nil, r)}
}

// Produce writes records, each partition in the order given; they get their coordinates.
func (b *Broker) Produce(recs ...*kgo.Record) {
	b.T.Helper()
	if err := b.Client.ProduceSync(b.T.Context(), recs...).FirstErr(); err != nil {
		b.T.Fatal(err)
	}
}

// Until polls cond.
func (b *Broker) Until(what string, cond func(ctx context.Context) (bool, error)) {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := cond(ctx)
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.T.Fatalf("still not after %v: %s (%v)", patience, what, err)
		}
	}
}

// Handled waits until a group has committed all that its inputs have, what it has said to itself included.
func (b *Broker) Handled(group string, inputs ...string) {
	b.T.Helper()
	adm := kadm.NewClient(b.Client)
	b.Until(fmt.Sprintf("%s has handled all of %v", group, inputs), func(ctx context.Context) (bool, error) {
		// The offsets are read before the ends: what is behind them has been handled, and said what it had to say.
		got, err := adm.FetchOffsets(ctx, group)
		if err != nil {
			return false, err
		}
		ends, err := adm.ListCommittedOffsets(ctx, inputs...)
		if err != nil {
			return false, err
		}
		left := int64(0)
		ends.Each(func(e kadm.ListedOffset) {
			at, _ := got.Lookup(e.Topic, e.Partition)
			left += e.Offset - max(at.At, 0)
		})
		return left == 0, nil
	})
}

// Read returns what is committed on topics, in the order of each partition.
func (b *Broker) Read(names ...string) []*kgo.Record {
	b.T.Helper()
	ctx, cancel := context.WithTimeout(b.T.Context(), patience)
	defer cancel()
	cl, err := kgo.NewClient(append(b.Opts[:len(b.Opts):len(b.Opts)], kgo.ConsumeTopics(names...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		b.T.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(b.Client).ListEndOffsets(ctx, names...)
	if err != nil {
		b.T.Fatal(err)
	}
	at := map[string]int64{}
	behind := func() (late bool) {
		ends.Each(func(e kadm.ListedOffset) { late = late || at[fmt.Sprint(e.Topic, e.Partition)] < e.Offset })
		return late
	}
	var out []*kgo.Record
	for behind() {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			b.T.Fatalf("%v cannot be read to their end", names)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			at[fmt.Sprint(rec.Topic, rec.Partition)] = rec.Offset + 1
			if !rec.Attrs.IsControl() {
				out = append(out, rec)
			}
		})
	}
	return out
}
