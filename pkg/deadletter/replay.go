package deadletter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Status tells what a replay did with one letter.
type Status string

const (
	// StatusReplayed: the record stands on its source topic again and that is recorded.
	StatusReplayed Status = "replayed"
	// StatusAlready: it was replayed before; nothing was done.
	StatusAlready Status = "already_replayed"
	// StatusNotFound: no letter stands at these coordinates.
	StatusNotFound Status = "not_found"
	// StatusNoSource: its headers do not name a source topic; nothing was done.
	StatusNoSource Status = "no_source"
	// StatusFailed: producing it failed; it may be tried again.
	StatusFailed Status = "failed"
	// StatusUnrecorded: the record stands on its source topic again but that could not be
	// recorded; trying again produces it a second time, which deduplication absorbs.
	StatusUnrecorded Status = "replayed_unrecorded"
)

// Replayed is the result for one letter.
type Replayed struct {
	At     Coord  `json:"at"`
	Status Status `json:"status"`
	// To is where the replayed record stands; also that of an earlier replay where
	// Status is StatusAlready. Nil otherwise.
	To *Coord `json:"to,omitempty"`
	// Err is why, where Status is StatusFailed or StatusUnrecorded.
	Err error `json:"-"`
}

// ReplayConfig of a replay. The zero value replays what was not replayed before.
type ReplayConfig struct {
	// Again replays also what was replayed before.
	Again bool
	// Now is the clock of dispositions and of replayed records; nil means time.Now.
	Now func() time.Time
}

// replayChunk bounds how many letters are in memory at once.
const replayChunk = 200

// Replay produces the given letters to their source topics, in the order given, and records
// it: see the package comment for order, headers and crashes. The result has one entry per
// letter that was looked at, in order. An error means that the brokers could not be asked;
// the results up to there stand, and asking again is safe. Errors of single letters are in
// the results.
func Replay(ctx context.Context, opts []kgo.Opt, at []Coord, cfg ReplayConfig) ([]Replayed, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	adm, err := admin(opts)
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	ids, err := topicIDs(ctx, adm, at)
	if err != nil {
		return nil, err
	}
	done, err := dispositions(ctx, opts, adm, at, ids)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.RecordPartitioner(homing{}),
		kgo.ProducerBatchMaxBytes(16<<20),
		kgo.RecordDeliveryTimeout(30*time.Second),
	)...)
	if err != nil {
		return nil, fmt.Errorf("open producer: %w", err)
	}
	defer cl.Close()
	r := replayer{opts: opts, client: cl, cfg: cfg, ids: ids, done: done}
	var results []Replayed
	for chunk := range slices.Chunk(at, replayChunk) {
		part, err := r.chunk(ctx, chunk)
		results = append(results, part...)
		if err != nil {
			return results, err
		}
	}
	return results, nil
}

type replayer struct {
	opts   []kgo.Opt
	client *kgo.Client
	cfg    ReplayConfig
	ids    map[string]string
	done   map[Coord]Disposition
}

// chunk replays some letters: all of them are acknowledged before the first is recorded.
func (r *replayer) chunk(ctx context.Context, at []Coord) ([]Replayed, error) {
	results := make([]Replayed, len(at))
	var needed []Coord
	for i, c := range at {
		results[i].At = c
		if d, ok := r.done[c]; ok && !r.cfg.Again {
			results[i].Status, results[i].To = StatusAlready, &d.To
			continue
		}
		if r.ids[c.Topic] == "" {
			results[i].Status = StatusNotFound
			continue
		}
		needed = append(needed, c)
	}
	letters, err := fetch(ctx, r.opts, needed)
	if err != nil {
		return nil, err
	}
	var records []*kgo.Record
	var owners []int
	for i, c := range at {
		if results[i].Status != "" {
			continue
		}
		l, ok := letters[c]
		switch {
		case !ok:
			results[i].Status = StatusNotFound
		case l.Source.Topic == "" || l.Source.Offset < 0: // a webhook's body never was a record
			results[i].Status = StatusNoSource
		default:
			records, owners = append(records, replayRecord(&l, r.cfg.Now())), append(owners, i)
		}
	}
	r.produce(ctx, records, func(n int, err error) {
		res := &results[owners[n]]
		if err != nil {
			res.Status, res.Err = StatusFailed, fmt.Errorf("replay %s: %w", res.At, err)
			return
		}
		res.To = &Coord{records[n].Topic, records[n].Partition, records[n].Offset}
	})
	return results, r.record(ctx, results)
}

// record writes the dispositions of what was acknowledged.
func (r *replayer) record(ctx context.Context, results []Replayed) error {
	var records []*kgo.Record
	var owners []int
	for i := range results {
		res := &results[i]
		if res.Status != "" {
			continue
		}
		now := r.cfg.Now()
		value, err := json.Marshal(Disposition{
			Action: ActionReplayed, TopicID: r.ids[res.At.Topic], AtUS: now.UnixMicro(), To: *res.To,
		})
		if err != nil {
			return fmt.Errorf("record disposition of %s: %w", res.At, err)
		}
		records = append(records, &kgo.Record{
			Topic: DispositionsTopic, Partition: -1, Key: []byte(res.At.String()), Value: value, Timestamp: now,
		})
		owners = append(owners, i)
	}
	r.produce(ctx, records, func(n int, err error) {
		res := &results[owners[n]]
		if err != nil {
			res.Status, res.Err = StatusUnrecorded, fmt.Errorf("record disposition of %s: %w", res.At, err)
			return
		}
		res.Status = StatusReplayed
	})
	return nil
}

// produce sends records, all acknowledged by all replicas in sync, and tells the outcome of
// each. The client is idempotent: a retry inside it never doubles a record.
func (r *replayer) produce(ctx context.Context, records []*kgo.Record, outcome func(n int, err error)) {
	number := make(map[*kgo.Record]int, len(records))
	for n, rec := range records {
		number[rec] = n
	}
	for _, res := range r.client.ProduceSync(ctx, records...) {
		outcome(number[res.Record], res.Err)
	}
}

// replayRecord returns what a letter was before, and where it has been meanwhile.
func replayRecord(l *Letter, now time.Time) *kgo.Record {
	rec := l.Original()
	if rec.Key != nil {
		rec.Partition = -1 // where it was may be what was wrong
	}
	headers := make([]kgo.RecordHeader, 0, len(rec.Headers)+3)
	for _, h := range rec.Headers {
		if h.Key != HeaderObservedAt && h.Key != HeaderReplay && h.Key != HeaderReplayAttempt {
			headers = append(headers, h)
		}
	}
	observed := l.ObservedAt
	if observed == 0 && !l.SourceTime.IsZero() {
		observed = l.SourceTime.UnixMicro()
	}
	if observed == 0 {
		observed = l.DeadAt.UnixMicro()
	}
	rec.Headers = append(headers,
		kgo.RecordHeader{Key: HeaderObservedAt, Value: strconv.AppendInt(nil, observed, 10)},
		kgo.RecordHeader{Key: HeaderReplay, Value: []byte(l.At.String())},
		kgo.RecordHeader{Key: HeaderReplayAttempt, Value: strconv.AppendInt(nil, int64(l.Attempts), 10)},
	)
	rec.Timestamp = now
	return rec
}

// homing sends a record to the partition it names, if there is one, and else where its key
// belongs.
type homing struct{}

// ForTopic implements kgo.Partitioner.
func (homing) ForTopic(topic string) kgo.TopicPartitioner {
	return homingTopic{kgo.StickyKeyPartitioner(nil).ForTopic(topic)}
}

type homingTopic struct{ byKey kgo.TopicPartitioner }

// RequiresConsistency implements kgo.TopicPartitioner.
func (homingTopic) RequiresConsistency(*kgo.Record) bool { return true }

// Partition implements kgo.TopicPartitioner.
func (h homingTopic) Partition(rec *kgo.Record, n int) int {
	if rec.Partition >= 0 && int(rec.Partition) < n {
		return int(rec.Partition)
	}
	return h.byKey.Partition(rec, n)
}

// Failed returns why letters are not in their source topic again, or not on record as replayed, joined.
func Failed(results []Replayed) error {
	var errs []error
	for _, r := range results {
		switch r.Status {
		case StatusNotFound:
			errs = append(errs, fmt.Errorf("replay %s: %w", r.At, ErrNotFound))
		case StatusNoSource:
			errs = append(errs, fmt.Errorf("replay %s: it never was a record of a topic", r.At))
		default:
			errs = append(errs, r.Err)
		}
	}
	return errors.Join(errs...)
}
