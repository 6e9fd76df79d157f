//go:build e2e && unix

package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// arming names one attempt.
type arming struct {
	application string
	revision    int64
	number      int32
}

// attempts follows the committed write attempts that have no outcome yet, and who made them.
type attempts struct {
	r      *run
	client *kgo.Client
	admin  *kadm.Client
	ended  chan struct{}

	mu     sync.Mutex
	open   map[arming]int64 // producer id
	owners map[int64]*process
	news   chan struct{}
}

// watchAttempts follows ats.outcomes from its end; stop it before the test ends.
func watchAttempts(r *run) (*attempts, error) {
	client, err := kgo.NewClient(append(
		slices.Clone(r.kafka), kgo.ConsumeTopics(topics.ATSOutcomes), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(20*time.Millisecond),
	)...)
	if err != nil {
		return nil, err
	}
	a := &attempts{r: r, client: client, admin: kadm.NewClient(client), ended: make(chan struct{}), open: make(map[arming]int64), owners: make(map[int64]*process), news: make(chan struct{}, 1)}
	go func() {
		defer close(a.ended)
		for {
			fetches := client.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			a.mu.Lock()
			fetches.EachRecord(a.record)
			a.mu.Unlock()
			select {
			case a.news <- struct{}{}:
			default:
			}
		}
	}()
	return a, nil
}

func (a *attempts) stop() {
	a.client.Close()
	<-a.ended
}

// record is called with the lock held.
func (a *attempts) record(r *kgo.Record) {
	var o wire.Outcome
	if _, avro, err := wire.Split(r.Value); err != nil || o.DecodeAvro(avro) != nil || o.Kind == wire.CommandKindRefresh {
		return
	}
	key := arming{o.ApplicationID, o.Revision, o.Arming}
	if o.Outcome == wire.OutcomeKindAttempt {
		a.open[key] = r.ProducerID
		return
	}
	for k := range a.open { // an arming that ends without an outcome of its own is followed by the next
		if k.application == key.application && (k.revision < key.revision || k.revision == key.revision && k.number <= key.number) {
			delete(a.open, k)
		}
	}
}

// learn finds out which producer ids are whose.
func (a *attempts) learn(ctx context.Context) error {
	ids := make(map[string]*process)
	var names []string
	for _, p := range a.r.role("writeback") {
		for session := range 2 {
			name := fmt.Sprintf("%s.writeback.%s-%d", a.r.group, p.name, session)
			ids[name], names = p, append(names, name)
		}
	}
	described, err := a.admin.DescribeTransactions(ctx, names...)
	if err != nil {
		return fmt.Errorf("whose producers: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range described {
		if d.Err == nil {
			a.owners[d.ProducerID] = ids[d.TxnID]
		}
	}
	return nil
}

// victim waits until a running writer has an attempt out, and returns it with the attempts it has out.
func (a *attempts) victim(ctx context.Context) (*process, []arming, error) {
	for {
		unknown := false
		a.mu.Lock()
		byOwner := make(map[*process][]arming)
		for key, producer := range a.open {
			p := a.owners[producer]
			unknown = unknown || p == nil
			if p != nil && p.running() {
				byOwner[p] = append(byOwner[p], key)
			}
		}
		a.mu.Unlock()
		var most *process
		for _, p := range a.r.role("writeback") {
			if most == nil || len(byOwner[p]) > len(byOwner[most]) {
				most = p
			}
		}
		if len(byOwner[most]) > 0 {
			return most, byOwner[most], nil
		}
		if unknown {
			if err := a.learn(ctx); err != nil {
				return nil, nil, err
			}
		}
		select {
		case <-a.news:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}
