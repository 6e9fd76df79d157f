package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/store"
)

// BenchmarkCount counts records of 300 bytes and copies each to an output,
// from a backlog, on an embedded broker; records/s is the figure to read.
func BenchmarkCount(b *testing.B) {
	for _, keys := range []int{10_000, 200_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) { benchmarkCount(b, keys, 300_000) })
	}
}

func benchmarkCount(b *testing.B, keys, n int) {
	value := make([]byte, 300)
	for b.Loop() {
		b.StopTimer()
		kafka, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topicA, topicB, topicOut, topicLog))
		if err != nil {
			b.Fatal(err)
		}
		opts := []kgo.Opt{kgo.SeedBrokers(kafka.ListenAddrs()...)}
		cl, err := kgo.NewClient(append(opts, kgo.MaxBufferedRecords(n))...)
		if err != nil {
			b.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, 1))
		for range n {
			cl.Produce(b.Context(), &kgo.Record{Topic: topicA, Key: fmt.Appendf(nil, "key-%07d", rng.IntN(keys)), Value: value}, nil)
		}
		if err := cl.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		db, err := store.Open(b.TempDir(), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan struct{})
		handled := make([]int, partitions) // each written by one session only, in one transaction at a time
		committed := make(chan int, 1<<16)
		r, err := New(Config{
			Opts: opts, Group: group, TransactionalID: "bench", Inputs: []string{topicA, topicB}, Changelog: topicLog,
			Store: db, DeadLetter: deadLetter,
		}, countCodec(), func(Env) (Processor[count], error) {
			return &counter{
				handle: func(tx *Tx[count], _ *kgo.Record) error { handled[tx.Partition().Number()]++; return nil },
				flush: func(tx *Tx[count]) error {
					num := tx.Partition().Number()
					k := handled[num]
					handled[num] = 0
					tx.OnCommit(func() { committed <- k })
					return nil
				},
			}, nil
		})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		started := time.Now()
		run := make(chan error, 1)
		go func() {
			for left := n; left > 0; {
				left -= <-committed
			}
			close(done)
		}()
		ctx, cancel := context.WithCancel(b.Context())
		go func() { run <- r.Run(ctx) }()
		<-done
		b.StopTimer()
		b.ReportMetric(float64(n)/time.Since(started).Seconds(), "records/s")
		cancel()
		if err := <-run; err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		cl.Close()
		kafka.Close()
		b.StartTimer()
	}
}
