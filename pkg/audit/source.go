package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config says where a run can be read.
type Config struct {
	Options
	// Kafka reach the brokers: seed brokers, TLS, SASL.
	Kafka []kgo.Opt
	// Tenants are the base URLs of the simulated instances, by name; HTTP is the client for them.
	Tenants map[string]string
	HTTP    *http.Client
	// World is the world file.
	World io.Reader
}

// Run reads a run that has come to rest and checks it. The error says that it could not be read.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	client, err := kgo.NewClient(cfg.Kafka...)
	if err != nil {
		return nil, fmt.Errorf("audit: kafka client: %w", err)
	}
	defer client.Close()
	s := &source{ctx: ctx, cfg: &cfg, admin: kadm.NewClient(client)}
	ev := &Evidence{World: cfg.World, Records: s.records, Journal: s.journal, Store: s.store}
	if ev.Fired, err = s.fired(); err != nil {
		return nil, err
	}
	if ev.Committed, err = s.committed(cfg.Reconciler, cfg.Writeback, cfg.KPI); err != nil {
		return nil, err
	}
	return Check(ev, cfg.Options)
}

// source reads the evidence of a live run. The context lives as long as one call of Run.
type source struct {
	ctx   context.Context
	cfg   *Config
	admin *kadm.Client
}

// records reads all that is committed of a topic. It ends by position: control records are kept, as the last
// offset may be that of one.
func (s *source) records(topic string, visit func(*Record) error) error {
	starts, err := s.admin.ListStartOffsets(s.ctx, topic)
	if err != nil {
		return fmt.Errorf("audit %s: start offsets: %w", topic, err)
	}
	ends, err := s.admin.ListCommittedOffsets(s.ctx, topic)
	if err != nil {
		return fmt.Errorf("audit %s: end offsets: %w", topic, err)
	}
	left := make(map[int32]int64)
	from := make(map[int32]kgo.Offset)
	var bad error
	ends.Each(func(o kadm.ListedOffset) {
		switch start, ok := starts.Lookup(topic, o.Partition); {
		case errors.Is(o.Err, kerr.UnknownTopicOrPartition):
		case o.Err != nil:
			bad = o.Err
		case ok && o.Offset > start.Offset:
			left[o.Partition] = o.Offset
			from[o.Partition] = kgo.NewOffset().At(start.Offset)
		}
	})
	if bad != nil {
		return fmt.Errorf("audit %s: end offsets: %w", topic, bad)
	}
	if len(left) == 0 {
		return nil
	}
	opts := append([]kgo.Opt{}, s.cfg.Kafka...)
	opts = append(
		opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxBytes(16<<20),
	)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("audit %s: kafka client: %w", topic, err)
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(s.ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("audit %s: %w", topic, err)
		}
		var failed error
		fetches.EachRecord(func(r *kgo.Record) {
			end, open := left[r.Partition]
			if !open || failed != nil {
				return
			}
			if r.Offset < end && !r.Attrs.IsControl() {
				out := Record{Topic: topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value, Time: r.Timestamp}
				for _, h := range r.Headers {
					out.Headers = append(out.Headers, Header{h.Key, h.Value})
				}
				failed = visit(&out)
			}
			if r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
		if failed != nil {
			return failed
		}
	}
	return nil
}

// committed reads the groups' offsets.
func (s *source) committed(groups ...string) (map[string]map[TopicPartition]int64, error) {
	out := make(map[string]map[TopicPartition]int64)
	for _, group := range groups {
		if group == "" {
			continue
		}
		offsets, err := s.admin.FetchOffsets(s.ctx, group)
		if err != nil {
			return nil, fmt.Errorf("audit: offsets of group %s: %w", group, err)
		}
		out[group] = make(map[TopicPartition]int64)
		offsets.Each(func(o kadm.OffsetResponse) { out[group][TopicPartition{o.Topic, o.Partition}] = o.At })
	}
	return out, nil
}

// get opens a path of an instance. The caller closes the body.
func (s *source) get(system, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.cfg.Tenants[system]+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("audit: read %s of %s: %w", path, system, err)
	}
	res, err := s.cfg.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("audit: read %s of %s: %w", path, system, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("audit: read %s of %s: status %d", path, system, res.StatusCode), res.Body.Close())
	}
	return res, nil
}

func (s *source) journal(visit func(*Entry) error) error {
	return s.each(func(system string) error {
		return s.journalOf(system, func(e *Entry) error {
			e.System = system
			return visit(e)
		})
	})
}

// each calls visit for every instance, in order.
func (s *source) each(visit func(system string) error) error {
	for _, system := range sortedKeys(s.cfg.Tenants) {
		if err := visit(system); err != nil {
			return err
		}
	}
	return nil
}

func (s *source) journalOf(system string, visit func(*Entry) error) (err error) {
	res, err := s.get(system, "/_sim/journal")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	if n, bad := strconv.ParseUint(res.Header.Get("X-Sim-Journal-Dropped"), 10, 64); bad != nil || n > 0 {
		return fmt.Errorf("audit: the journal has lost entries: dropped %q", res.Header.Get("X-Sim-Journal-Dropped"))
	}
	return lines(res.Body, visit)
}

func (s *source) store(visit func(*StoreApplication) error) error {
	return s.each(func(system string) error {
		return s.storeOf(system, func(a *StoreApplication) error {
			a.System = system
			return visit(a)
		})
	})
}

func (s *source) storeOf(system string, visit func(*StoreApplication) error) (err error) {
	res, err := s.get(system, "/_sim/applications?format=jsonl")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	return lines(res.Body, visit)
}

func (s *source) fired() (map[string]uint64, error) {
	all := make(map[string]uint64)
	return all, s.each(func(system string) error { return s.firedAt(system, all) })
}

func (s *source) firedAt(system string, all map[string]uint64) (err error) {
	res, err := s.get(system, "/_sim/faults")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	var out struct {
		Fired map[string]uint64 `json:"fired"`
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		return fmt.Errorf("audit: read faults: %w", err)
	}
	for name, n := range out.Fired {
		all[name] += n
	}
	return nil
}

// lines decodes JSON values until the end.
func lines[T any](in io.Reader, visit func(*T) error) error {
	dec := json.NewDecoder(bufio.NewReaderSize(in, 64<<10))
	for {
		var v T
		switch err := dec.Decode(&v); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("audit: read lines: %w", err)
		}
		if err := visit(&v); err != nil {
			return err
		}
	}
}
