//go:build e2e && unix

package e2e

import (
	encoding "encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/concord-ats/concord/pkg/topics"
)

const (
	hanging = "died-in-the-middle" // the transactional id of a program that did
	held    = 2                    // the partition it died on
)

// A program dies in the middle of a transaction, and readers of committed data wait for whoever ends it. /readyz and a
// metric say where, whose and since when; the other partitions go on; and what ends it is what /readyz says.
func TestHangingTransaction(t *testing.T) {
	t.Parallel()
	r := newRun(t, config{Applications: 1})
	f := newFeed(r, "hanging")
	p := r.up("reconciler", 1)[0]
	must(t, p.waitReady(t.Context()))
	f.send(200)
	f.decided(nil)

	// The coordinator would wait for another quarter of an hour.
	t.Run("on an input", func(t *testing.T) {
		hang(t, r.kafka, topics.ScreeningEvents)
		if list := r.transactions("list"); !strings.Contains(list, hanging) || !strings.Contains(list, "Ongoing") {
			t.Errorf("TransactionsCommand list does not show it:\n%s", list)
		}
		said := r.stuck(p, topics.ScreeningEvents)
		if !strings.Contains(said, fmt.Sprintf("transactional id %q", hanging)) {
			t.Errorf("/readyz does not say whose it is: %s", said)
		}
		f.send(200)
		f.decided(func(p int32) bool { return p != held })
		r.end(p, topics.ScreeningEvents, said)
		f.decided(nil)
	})
	// The coordinator knows nothing of it and would wait for ever. A restore cannot pass.
	t.Run("on the changelog, forgotten by its coordinator", func(t *testing.T) {
		must(t, p.stop())
		must(t, os.RemoveAll(filepath.Join(p.data(), "state")))
		forgotten(t, r.kafka, topics.HiringState)
		if found := r.transactions("find-hanging", "--broker-id", "1", "--max-transaction-timeout", "0"); !strings.Contains(found, topics.HiringState) {
			t.Errorf("TransactionsCommand find-hanging does not find it:\n%s", found)
		}
		must(t, p.start())
		r.end(p, topics.HiringState, r.stuck(p, topics.HiringState))
		f.send(100)
		f.decided(nil)
	})
	must(t, p.stop())
	r.sameState(p)
}

// transactions is kafka-transactions.sh.
func (r *run) transactions(args ...string) string {
	r.t.Helper()
	out, err := r.cluster.Tool(r.t.Context(), "org.apache.kafka.tools.TransactionsCommand", append([]string{"--bootstrap-server", r.cluster.Brokers()[0]}, args...)...)
	must(r.t, err)
	return out
}

// stuck waits until /readyz of a process names the partition that is held, checks the metric, and returns what was said.
func (r *run) stuck(p *process, topic string) string {
	r.t.Helper()
	want := fmt.Sprintf("%s/%d: readers of committed data have been held", topic, held)
	var said string
	if err := eventually(r.t.Context(), 30*time.Second, func() bool {
		state, err := p.readyz(r.t.Context())
		said = state.String()
		return err == nil && !state.Ready && strings.Contains(said, want)
	}); err != nil {
		r.t.Fatalf("/readyz does not name the transaction: %s", said)
	}
	r.t.Log(said)
	if n := r.stuckSeconds(p, topic); n < 3 {
		r.t.Errorf("the metric says %v s", n)
	}
	return said
}

func (r *run) stuckSeconds(p *process, topic string) float64 {
	r.t.Helper()
	n, err := p.metric(r.t.Context(), "concord_stream_stuck_transaction_seconds", fmt.Sprintf(`topic=%q`, topic), fmt.Sprintf(`partition="%d"`, held))
	must(r.t, err)
	return n
}

// end does as /readyz says and waits until it says no more.
func (r *run) end(p *process, topic, said string) {
	r.t.Helper()
	const command = "kafka-transactions.sh "
	_, do, ok := strings.Cut(said[strings.Index(said, topic+"/"):], command)
	if !ok {
		r.t.Fatalf("/readyz does not say what to do: %s", said)
	}
	do, _, _ = strings.Cut(do, ";") // other reasons follow
	r.transactions(strings.Fields(do)...)
	must(r.t, p.waitReady(r.t.Context()))
	if n := r.stuckSeconds(p, topic); n != 0 {
		r.t.Errorf("after the end of the transaction the metric says %v s", n)
	}
}

// hang begins a transaction and lets its program die.
func hang(t *testing.T, kafka []kgo.Opt, topic string) {
	t.Helper()
	client, err := kgo.NewClient(append(slices.Clone(kafka), kgo.TransactionalID(hanging), kgo.TransactionTimeout(15*time.Minute),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	must(t, err)
	defer client.Close()
	must(t, client.BeginTransaction())
	must(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: held, Key: []byte("k"), Value: []byte("v")}).FirstErr())
}

// forgotten writes transactional records without telling the coordinator, as old clients and old brokers could: the broker
// is told not to ask it, for as long as that takes.
func forgotten(t *testing.T, kafka []kgo.Opt, topic string) {
	t.Helper()
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(kmsg.Produce.Int16(), 11) // the last one that does not begin the transaction by itself
	client, err := kgo.NewClient(append(slices.Clone(kafka), kgo.MaxVersions(versions))...)
	must(t, err)
	defer client.Close()
	ask := func(enable string) {
		t.Helper()
		set, err := kadm.NewClient(client).AlterBrokerConfigs(t.Context(),
			[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: "transaction.partition.verification.enable", Value: &enable}}, 1)
		must(t, err)
		for _, s := range set {
			must(t, s.Err)
		}
	}
	ask("false")
	defer ask("true")

	init := kmsg.NewPtrInitProducerIDRequest()
	id := "forgotten"
	init.TransactionalID, init.TransactionTimeoutMillis, init.ProducerID, init.ProducerEpoch = &id, 60_000, -1, -1
	who, err := init.RequestWith(t.Context(), client)
	must(t, errors.Join(err, kerr.ErrorForCode(who.ErrorCode)))

	const transactional = 1 << 4
	record := kmsg.NewRecord()
	record.Key, record.Value = []byte("k"), []byte("v")
	record.Length = int32(len(record.AppendTo(nil)) - 1) // without the length itself, which takes a byte
	now := time.Now().UnixMilli()
	batch := kmsg.NewRecordBatch()
	batch.PartitionLeaderEpoch, batch.Magic, batch.Attributes = -1, 2, transactional
	batch.FirstTimestamp, batch.MaxTimestamp = now, now
	batch.ProducerID, batch.ProducerEpoch, batch.NumRecords = who.ProducerID, who.ProducerEpoch, 1
	batch.Records = record.AppendTo(nil)
	raw := batch.AppendTo(nil)
	encoding.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	encoding.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))

	produce := kmsg.NewPtrProduceRequest()
	produce.TransactionID, produce.Acks, produce.TimeoutMillis = &id, -1, 10_000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = held, raw
	into := kmsg.NewProduceRequestTopic()
	into.Topic, into.Partitions = topic, append(into.Partitions, part)
	produce.Topics = append(produce.Topics, into)
	var refused error
	if err := eventually(t.Context(), 20*time.Second, func() bool { // the setting reaches the broker a moment later
		var answer kmsg.Response
		if answer, refused = client.Broker(1).Request(t.Context(), produce); refused == nil {
			refused = kerr.ErrorForCode(answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
		}
		return refused == nil
	}); err != nil {
		t.Fatalf("the broker does not take it: %v", refused)
	}
}
