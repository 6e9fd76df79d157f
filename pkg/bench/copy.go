package bench

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
)

// Copy is a transactional consumer that decodes nothing: for each input record it writes what a shape says, in
// transactions with the input offsets. It is the limit of client and cluster for a processor with these inputs and outputs.
type Copy struct {
	Opts           []kgo.Opt
	Group          string
	Sessions       int
	CommitInterval time.Duration
	Shape          Shape
}

// A transaction of the copy ends early at as many records and bytes as the runtime's does by default.
const (
	copyRecords = 10_000
	copyBytes   = 8 << 20
)

// Run copies until ctx ends.
func (c *Copy) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range c.Sessions {
		g.Go(func() error {
			if err := c.session(ctx, i); err != nil {
				return fmt.Errorf("copy session %d: %w", i, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (c *Copy) session(ctx context.Context, n int) error {
	sess, err := kgo.NewGroupTransactSession(append(
		[]kgo.Opt{
			kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()), kgo.ProducerLinger(5 * time.Millisecond),
			kgo.MetadataMinAge(100 * time.Millisecond), // as the sessions have it: records refused once are not sent again before
		},
		append(
			c.Opts[:len(c.Opts):len(c.Opts)],
			kgo.ConsumerGroup(c.Group), kgo.ConsumeTopics(c.Shape.Inputs...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.TransactionalID(fmt.Sprintf("%s-%d", c.Group, n)), kgo.TransactionTimeout(15*time.Second),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MaxBufferedRecords(1<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.BlockRebalanceOnPoll(), kgo.Balancers(kgo.RangeBalancer()),
		)...,
	)...)
	if err != nil {
		return fmt.Errorf("kafka client: %w", err)
	}
	defer sess.Client().CloseAllowingRebalance()
	var (
		failed  atomic.Pointer[error]
		promise = func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}
		due     = make([]float64, len(c.Shape.Outputs)) // records owed to each output
		next    = make([]int, len(c.Shape.Outputs))
		records = make([]*kgo.Record, 0, 1<<14) // used again after each transaction
		used    int
		bytes   int
	)
	write := func(in *kgo.Record) {
		bytes += len(in.Key) + len(in.Value)
		for i := range c.Shape.Outputs {
			out := &c.Shape.Outputs[i]
			for due[i] += out.PerInput; due[i] >= 1; due[i]-- {
				if used == len(records) {
					records = append(records, new(kgo.Record))
				}
				rec := records[used]
				used++
				*rec = kgo.Record{Topic: out.Topic, Partition: in.Partition, Key: in.Key, Value: out.Values[next[i]%len(out.Values)]}
				next[i]++
				bytes += len(rec.Value)
				sess.Produce(ctx, rec, promise)
			}
		}
	}
	for ctx.Err() == nil {
		fetches := sess.PollRecords(ctx, copyRecords)
		if ctx.Err() != nil {
			break
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		if fetches.NumRecords() == 0 {
			sess.AllowRebalance()
			continue
		}
		if err := sess.Begin(); err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		deadline, cancel := context.WithTimeout(ctx, c.CommitInterval)
		used, bytes = 0, 0
		for read := 0; ; {
			read += fetches.NumRecords()
			fetches.EachRecord(write)
			if read >= copyRecords || bytes >= copyBytes || deadline.Err() != nil {
				break
			}
			fetches = sess.PollRecords(deadline, copyRecords-read)
		}
		cancel()
		if _, err := sess.End(context.WithoutCancel(ctx), kgo.TryCommit); err != nil {
			return fmt.Errorf("end: %w", err)
		}
		if err := failed.Load(); err != nil {
			return fmt.Errorf("produce: %w", *err)
		}
		sess.AllowRebalance()
	}
	return nil
}
