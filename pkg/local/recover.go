package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"
)

// cleanFile says that the broker was closed in order. While it runs, and after a crash, it is not there.
const cleanFile = "clean"

// recoverKafka ends the transactions that a crash interrupted, before anybody reads or writes.
//
// A real coordinator writes its decision down first, so that after a crash it can write the markers that are still
// missing. The embedded broker has no such record: after a crash the records of an interrupted transaction have no
// marker, and it hides them from readers of committed data only until its next start; then the producer's next commit takes
// them in, and until then a reader drops whatever that producer commits. A crash between two markers of one commit leaves one
// partition committed and another not.
//
// So each transaction without a marker gets one here: a commit where another partition has the commit of the same
// transaction, else an abort. That is the coordinator's own rule, read from the log.
func recoverKafka(ctx context.Context, dir string, opts []kfake.Opt, logger *zap.Logger) (err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever kept
	}
	clean := filepath.Join(filepath.Dir(dir), cleanFile)
	if _, err := os.Stat(clean); err == nil {
		return remove(clean)
	}
	cluster, err := kfake.NewCluster(append(opts[:len(opts):len(opts)], kfake.Ports(0))...)
	if err != nil {
		return fmt.Errorf("start embedded broker to recover: %w", err)
	}
	markers, err := interrupted(ctx, cluster.ListenAddrs())
	if err == nil && len(markers) > 0 {
		err = endTransactions(ctx, cluster.ListenAddrs(), markers)
	}
	cluster.Close()
	if err != nil {
		return fmt.Errorf("end transactions that a crash interrupted: %w", err)
	}
	if len(markers) == 0 {
		return nil
	}
	for _, m := range markers {
		logger.Info("ended a transaction that a crash interrupted", zap.String("topic", m.topic), zap.Int32("partition", m.partition),
			zap.Int64("producer", m.producer), zap.Int16("epoch", m.epoch), zap.Bool("commit", m.commit))
	}
	// What the broker worked out before the markers were there must not outlive them: without its snapshots it reads the log.
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "snapshot.json" {
			err = remove(path)
		}
		return err
	})
}

// markClean notes that the broker was closed in order.
func markClean(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, cleanFile), nil, 0o644); err != nil {
		return fmt.Errorf("note the clean end: %w", err)
	}
	return nil
}

// remove deletes a file so that a power cut does not bring it back.
func remove(path string) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// transaction names one transaction of one producer.
type transaction struct {
	producer int64
	epoch    int16
}

// marker is the end of a transaction that a partition lacks.
type marker struct {
	transaction
	topic     string
	partition int32
	since     time.Time // of the first record without a marker
	commit    bool
}

// interrupted reads the whole log and returns the missing markers, sorted by topic and partition.
func interrupted(ctx context.Context, brokers []string) ([]marker, error) {
	starts, ends, err := extents(ctx, brokers)
	if err != nil {
		return nil, err
	}
	at, left := map[string]map[int32]kgo.Offset{}, 0
	ends.Each(func(o kadm.ListedOffset) {
		start := starts[o.Topic][o.Partition].Offset
		if start >= o.Offset {
			return
		}
		if at[o.Topic] == nil {
			at[o.Topic] = map[int32]kgo.Offset{}
		}
		at[o.Topic][o.Partition] = kgo.NewOffset().At(start)
		left++
	})
	if left == 0 {
		return nil, nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumePartitions(at), kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer cl.Close()

	type place struct {
		topic     string
		partition int32
		producer  int64
	}
	open := map[place]marker{}
	committed := map[transaction]time.Time{} // when its last commit marker was written
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			p, tx := place{r.Topic, r.Partition, r.ProducerID}, transaction{r.ProducerID, r.ProducerEpoch}
			switch {
			case r.Attrs.IsControl():
				delete(open, p)
				if len(r.Key) >= 4 && r.Key[3] == 1 {
					committed[tx] = r.Timestamp
				}
			case r.Attrs.IsTransactional():
				if _, ok := open[p]; !ok {
					open[p] = marker{transaction: tx, topic: r.Topic, partition: r.Partition, since: r.Timestamp}
				}
			}
			if r.Offset == ends[r.Topic][r.Partition].Offset-1 {
				left--
			}
		})
	}
	out := make([]marker, 0, len(open))
	for _, m := range open {
		// A producer of the older protocol uses one epoch for many transactions: an earlier one's commit is not this one's.
		at, ok := committed[m.transaction]
		m.commit = ok && !at.Before(m.since)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b marker) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition), cmp.Compare(a.producer, b.producer))
	})
	return out, nil
}

// extents returns the first offset and the end of every partition.
func extents(ctx context.Context, brokers []string) (starts, ends kadm.ListedOffsets, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, nil, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if starts, err = adm.ListStartOffsets(ctx); err == nil {
		err = starts.Error()
	}
	if err == nil {
		if ends, err = adm.ListEndOffsets(ctx); err == nil {
			err = ends.Error()
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("ask for the extent of the log: %w", err)
	}
	return starts, ends, nil
}

// endTransactions writes the markers.
func endTransactions(ctx context.Context, brokers []string, markers []marker) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	defer cl.Close()
	request := kmsg.NewPtrWriteTxnMarkersRequest()
	for _, m := range markers {
		topic := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		topic.Topic, topic.Partitions = m.topic, []int32{m.partition}
		one := kmsg.NewWriteTxnMarkersRequestMarker()
		one.ProducerID, one.ProducerEpoch, one.Committed = m.producer, m.epoch, m.commit
		one.Topics = append(one.Topics, topic)
		request.Markers = append(request.Markers, one)
	}
	response, err := request.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	for _, m := range response.Markers {
		for _, topic := range m.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("marker on %s/%d: %w", topic.Topic, p.Partition, err)
				}
			}
		}
	}
	return nil
}
