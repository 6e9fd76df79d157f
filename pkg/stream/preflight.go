package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/store"
)

// plan is what the check before the start found.
type plan struct {
	env             Env
	topics          []string      // inputs, changelog and outputs
	deleteRetention time.Duration // of the changelog's tombstones
}

const (
	transactionFeature     = "transaction.version"
	minTransactionVersion  = 2
	defaultDeleteRetention = 24 * time.Hour
)

// preflight checks the cluster before anything is consumed, trying again until
// StartTimeout while Kafka does not answer.
func (r *Runner[S]) preflight(ctx context.Context) (*plan, error) {
	cl, err := kgo.NewClient(r.cfg.Opts...)
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.StartTimeout)
	defer cancel()
	var (
		delay backoff
		last  error
	)
	for {
		r.wait("waiting for Kafka")
		pl, err := r.check(ctx, cl)
		if err == nil {
			return pl, r.remember(pl)
		}
		if isFatal(err) {
			return nil, err
		}
		if ctx.Err() == nil {
			last = err
			r.wait("waiting for Kafka: " + err.Error())
			r.cfg.Logger.Warn("waiting for Kafka", zap.Error(err))
		}
		if !delay.wait(ctx) {
			if last == nil {
				last = err
			}
			return nil, fmt.Errorf("%w: gave up after %v: %w", ErrStartTimeout, r.cfg.StartTimeout, last)
		}
	}
}

func (r *Runner[S]) check(ctx context.Context, cl *kgo.Client) (*plan, error) {
	// One try must not use up the whole start timeout.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := checkFeature(ctx, cl); err != nil {
		return nil, err
	}
	pl := &plan{deleteRetention: defaultDeleteRetention}
	pl.env.Group = r.cfg.Group
	if err := r.checkTopics(ctx, cl, pl); err != nil {
		return nil, err
	}
	configs, err := kadm.NewClient(cl).DescribeTopicConfigs(ctx, r.cfg.Changelog)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", r.cfg.Changelog, err)
	}
	for _, rc := range configs {
		if errors.Is(rc.Err, kerr.TopicAuthorizationFailed) {
			r.cfg.Logger.Warn("not allowed to read the changelog's settings, taking Kafka's default delete.retention.ms", zap.Duration("retention", pl.deleteRetention))
			continue
		} else if rc.Err != nil {
			return nil, fmt.Errorf("describe %s: %w", r.cfg.Changelog, rc.Err)
		}
		for _, c := range rc.Configs {
			if c.Key != "delete.retention.ms" || c.Value == nil {
				continue
			}
			if ms, err := strconv.ParseInt(*c.Value, 10, 64); err == nil {
				pl.deleteRetention = time.Duration(min(ms, int64(1<<62/time.Millisecond))) * time.Millisecond
			}
		}
	}
	return pl, nil
}

// checkFeature requires the cluster to have finalized the transaction protocol
// that fences each transaction by its own epoch.
func checkFeature(ctx context.Context, cl *kgo.Client) error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "concord", "1"
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == transactionFeature && f.MaxVersionLevel >= minTransactionVersion {
			return nil
		}
	}
	return Fatal(fmt.Errorf("%w: %s must be finalized at %d or above (Kafka 4.0, or kafka-features upgrade --feature %s=%d)",
		ErrOldBroker, transactionFeature, minTransactionVersion, transactionFeature, minTransactionVersion))
}

func (r *Runner[S]) checkTopics(ctx context.Context, cl *kgo.Client, pl *plan) error {
	names := append(slices.Clone(r.cfg.Inputs), r.cfg.Changelog)
	names = append(names, r.cfg.Outputs...)
	slices.Sort(names)
	names = slices.Compact(names)
	meta, err := kadm.NewClient(cl).Metadata(ctx, names...)
	if err != nil {
		return fmt.Errorf("read metadata: %w", err)
	}
	pl.topics = names
	pl.env.ClusterID = meta.Cluster
	pl.env.TopicIDs = make(map[string][16]byte)
	var (
		missing []string
		counts  bytes.Buffer
		equal   = true
	)
	pl.env.Partitions = -1
	for _, name := range names {
		t, ok := meta.Topics[name]
		if !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			missing = append(missing, name)
			continue
		}
		if t.Err != nil {
			return fmt.Errorf("read metadata of %s: %w", name, t.Err)
		}
		n := int32(len(t.Partitions))
		equal = equal && (pl.env.Partitions < 0 || pl.env.Partitions == n)
		pl.env.Partitions = n
		pl.env.TopicIDs[name] = t.ID
		fmt.Fprintf(&counts, " %s=%d", name, n)
	}
	if len(missing) > 0 {
		return Fatal(fmt.Errorf("%w: %v", ErrTopicsMissing, missing))
	}
	if !equal {
		return Fatal(fmt.Errorf("%w: one key must have one partition number in all of them:%s", ErrPartitionCount, counts.String()))
	}
	return nil
}

// remembered is what the local store knows of the topics it was built from.
type remembered struct {
	Partitions int32             `json:"partitions"`
	TopicIDs   map[string]string `json:"topic_ids"` // of the inputs
}

// remember compares the topics with what an earlier run saw, and stores them. It
// is the first to read the local store, and so may be the first to find it
// damaged.
func (r *Runner[S]) remember(pl *plan) error {
	err := r.compare(pl)
	if !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	r.cfg.Metrics.heals.WithLabelValues("store_corrupt").Inc()
	r.cfg.Logger.Warn("local store is corrupt: wiping it, the changelog rebuilds it", zap.Error(err))
	if err := r.cfg.Store.Reset(); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return r.compare(pl)
}

func (r *Runner[S]) compare(pl *plan) error {
	name := "stream/" + r.cfg.Group
	is := remembered{Partitions: pl.env.Partitions, TopicIDs: make(map[string]string)}
	for _, topic := range r.cfg.Inputs {
		id := pl.env.TopicIDs[topic]
		is.TopicIDs[topic] = fmt.Sprintf("%x", id[:])
	}
	value, err := json.Marshal(is)
	if err != nil {
		return err
	}
	stored, ok, err := r.cfg.Store.Meta(name)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	if ok && bytes.Equal(stored, value) {
		return nil
	}
	var was remembered
	if ok && json.Unmarshal(stored, &was) == nil {
		if was.Partitions != is.Partitions {
			return fmt.Errorf("%w: topics have %d partitions, the local store was built with %d; growing is a migration", ErrPartitionCount, is.Partitions, was.Partitions)
		}
		for _, topic := range r.cfg.Inputs {
			if id, ok := was.TopicIDs[topic]; ok && id != is.TopicIDs[topic] {
				err := fmt.Errorf("%w: topic %s was deleted and created again", ErrDataLoss, topic)
				if !r.cfg.AllowDataLoss {
					return err
				}
				r.cfg.Logger.Warn("going on with a recreated input", zap.Error(err))
			}
		}
	}
	if err := r.cfg.Store.SetMeta(name, value); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}
