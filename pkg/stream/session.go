package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/store"
)

// session is one group member with one transactional id. The goroutine in loop
// owns every field that is not said to be shared.
type session[S any] struct {
	cfg   *Config
	codec Codec[S]
	env   Env
	plan  *plan
	id    int
	txnID string
	log   *zap.Logger
	proc  Processor[S]

	gts    *kgo.GroupTransactSession
	cl     *kgo.Client
	fenced chan struct{} // closed once the transactional id is ours alone

	// Shared with the group's callbacks, the restores and Ready.
	mu        sync.Mutex
	owned     map[int32]*Partition[S]
	release   context.CancelFunc // ends the contexts of owned
	restored  []*Partition[S]    // waiting to become active
	partial   time.Time          // since when an assignment has been incomplete
	failed    error              // found by a callback or a restore; ends the session
	status    string             // what the session waits for, in words
	trouble   string             // why it had to try again, in words
	troubled  time.Time          // when it last had to
	poll      context.CancelFunc
	woken     bool
	revoked   atomic.Bool  // partitions went away since the last End
	hurry     atomic.Bool  // a rebalance waits for the running transaction
	heartbeat atomic.Int64 // when the last answered heartbeat was sent, ns
	polled    atomic.Int64 // when the loop last came round, ns
	begun     atomic.Int64 // when the running transaction began, ns; 0 none
	submits   chan submission[S]
	restores  sync.WaitGroup

	active []*Partition[S] // by number
	cache  cache[S]
	tx     Tx[S]

	transaction[S]
	prepares int // over all incarnations: see Faults.CrashAfterPrepare
	ended    int
	stamped  time.Time
	readBuf  []byte
	turn     int // of active: whose records were taken last
}

type submission[S any] struct {
	p  *Partition[S]
	fn func(tx *Tx[S]) error
}

// errRebuild ends a session that has to be closed and built again: the outcome
// of its transaction, or what it holds in memory, is not known.
var (
	errRebuild    = errors.New("session has to start again")
	errStuckTimer = errors.New("fire left the due time as it was")
	errPanic      = errors.New("handler panicked")
	errCrash      = errors.New("crashed on purpose")
)

const (
	maxPoll       = 10_000
	idlePoll      = time.Second
	idlePollClock = 100 * time.Millisecond // when timers follow another clock than poll does
	submitQueue   = 1_024
	stampInterval = time.Minute
)

func (r *Runner[S]) newSession(id int) *session[S] {
	s := &session[S]{
		cfg: &r.cfg, codec: r.codec, id: id,
		txnID: fmt.Sprintf("%s-%d", r.cfg.TransactionalID, id),
		log:   r.cfg.Logger.With(zap.String("group", r.cfg.Group), zap.Int("session", id)),
	}
	s.cache.max = r.cfg.CacheBytes / int64(r.cfg.Sessions)
	s.tx.s = s
	s.status = "starting"
	return s
}

// open builds the client, joins the group, and fences what was before.
func (s *session[S]) open(ctx context.Context, pl *plan, newProcessor func(Env) (Processor[S], error)) error {
	s.plan, s.env = pl, pl.env
	s.env.Session = s.id
	proc, err := newProcessor(s.env)
	if err != nil {
		return Fatal(fmt.Errorf("build processor: %w", err))
	}
	s.proc = proc
	s.owned = make(map[int32]*Partition[S])
	s.restored, s.active, s.failed, s.partial = nil, nil, nil, time.Time{}
	s.revoked.Store(false)
	s.hurry.Store(false)
	s.begun.Store(0)
	s.fenced = make(chan struct{})
	s.submits = make(chan submission[S], submitQueue)
	s.cache.ring, s.cache.used, s.cache.hand = nil, 0, 0
	s.transaction = transaction[S]{}
	s.onProduced = func(_ *kgo.Record, err error) { s.noteProduced(err) }
	s.heartbeat.Store(time.Now().UnixNano())
	s.polled.Store(time.Now().UnixNano())
	s.stamped = time.Now()

	gts, err := kgo.NewGroupTransactSession(s.options()...)
	if err != nil {
		return Fatal(fmt.Errorf("build session client: %w", err))
	}
	s.gts, s.cl = gts, gts.Client()
	s.setStatus("joining the group")
	// Loading the producer id now ends the transaction a dead predecessor left
	// open, which would otherwise hold back every reader until it times out.
	if _, _, err := s.cl.ProducerID(ctx); err != nil {
		return fmt.Errorf("take over transactional id %s: %w", s.txnID, err)
	}
	close(s.fenced)
	return nil
}

// close ends the session. Polite or not, the partitions' contexts end first.
func (s *session[S]) close() {
	s.dropAll()
	if s.gts == nil {
		return
	}
	// Leaving tells the group at once that the partitions are free. Where the
	// broker does not answer, it finds out by itself.
	s.gts.AllowRebalance()
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout/2)
	defer cancel()
	if err := s.cl.LeaveGroupContext(ctx); err != nil {
		s.log.Debug("leave the group", zap.Error(err))
	}
	s.gts.CloseAllowingRebalance()
	s.dropAll()
	s.restores.Wait()
	s.gts, s.cl = nil, nil
}

// run runs the session until ctx ends or an error is fatal, building it again
// whenever it has to be.
func (s *session[S]) run(ctx context.Context, pl *plan, newProcessor func(Env) (Processor[S], error)) error {
	var delay backoff
	for {
		err := s.open(ctx, pl, newProcessor)
		if err == nil {
			delay.reset()
			err = s.loop(ctx)
		}
		s.close()
		switch {
		case ctx.Err() != nil && (err == nil || !isFatal(err)):
			return nil
		case isFatal(err):
			return err
		case errors.Is(err, store.ErrCorrupt):
			s.cfg.Metrics.heals.WithLabelValues("store_corrupt").Inc()
			s.log.Warn("local store is corrupt: wiping it, the changelog rebuilds it", zap.Error(err))
			if err := s.cfg.Store.Reset(); err != nil {
				return fmt.Errorf("%w: %w", ErrStore, err)
			}
		case errors.Is(err, store.ErrWrite), errors.Is(err, store.ErrClosed):
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
		if err == nil {
			err = errRebuild
		}
		s.cfg.Metrics.heals.WithLabelValues("session").Inc()
		s.setTrouble(err)
		s.log.Warn("session starts again", zap.Error(err))
		if !delay.wait(ctx) {
			return nil
		}
	}
}

// loop polls and runs transactions until ctx ends or the session has to end.
func (s *session[S]) loop(ctx context.Context) error {
	var delay backoff
	for ctx.Err() == nil {
		s.polled.Store(time.Now().UnixNano())
		if err := s.housekeep(); err != nil {
			return err
		}
		wait, err := s.untilTimer(s.cfg.idle)
		if err != nil {
			return err
		}
		if len(s.retry) > 0 {
			wait = 0
		}
		fetches, held := s.pollRecords(ctx, s.untilTake(wait))
		if !held {
			continue
		}
		// From here to AllowRebalance no partition can be taken away.
		err = s.step(ctx, fetches)
		s.hurry.Store(false)
		s.gts.AllowRebalance()
		var again *retryError
		switch {
		case err == nil:
			delay.reset()
			if s.progressed {
				s.setTrouble(nil)
			}
		case errors.As(err, &again):
			s.cfg.Metrics.retries.Inc()
			s.setTrouble(again.err)
			s.log.Warn("transaction aborted, trying again", zap.Error(again.err))
			if !delay.wait(ctx) {
				return nil
			}
		default:
			return err
		}
	}
	return nil
}

// step does what can be done while the rebalance is held back.
func (s *session[S]) step(ctx context.Context, fetches kgo.Fetches) error {
	s.progressed = false
	if err := s.fetchErrors(fetches); err != nil {
		return err
	}
	if s.revoked.Swap(false) {
		// Until End is called the client would abort the next transaction and
		// keep quiet about the next revocation. What was just polled is
		// polled again.
		if _, err := s.gts.End(ctx, kgo.TryAbort); err != nil {
			return fmt.Errorf("%w: reset after a rebalance: %w", errRebuild, err)
		}
		s.forget()
		s.wake() // what woke this poll has not been looked at
		return nil
	}
	if err := s.activate(); err != nil {
		return err
	}
	if err := s.receive(fetches); err != nil {
		return err
	}
	return s.transact(ctx)
}

// activate makes restored partitions active.
func (s *session[S]) activate() error {
	s.mu.Lock()
	restored := s.restored
	s.restored = nil
	s.mu.Unlock()
	if len(restored) == 0 {
		return nil
	}
	slices.SortFunc(restored, func(a, b *Partition[S]) int { return int(a.num - b.num) })
	resume := make(map[string][]int32)
	for _, p := range restored {
		if p.ctx.Err() != nil {
			continue
		}
		batch, err := p.store.NewBatch()
		if err != nil {
			return err
		}
		p.batch = batch
		p.now = max(p.now, p.store.Mark().Now)
		p.checkCaughtUp()
		s.active = append(s.active, p)
		if err := s.guard(func() error { return s.proc.Assigned(p) }); err != nil {
			return fmt.Errorf("assign partition %d: %w", p.num, err)
		}
		for _, topic := range s.cfg.Inputs {
			resume[topic] = append(resume[topic], p.num)
		}
		s.log.Info("partition is active", zap.Int32("partition", p.num), zap.Int64("changelog_offset", p.store.Mark().Offset))
	}
	slices.SortFunc(s.active, func(a, b *Partition[S]) int { return int(a.num - b.num) })
	s.cl.ResumeFetchPartitions(resume)
	s.describe()
	return nil
}

// forget drops the partitions that are no longer owned from the loop's own
// books.
func (s *session[S]) forget() {
	s.active = slices.DeleteFunc(s.active, func(p *Partition[S]) bool {
		if p.ctx.Err() == nil {
			return false
		}
		s.cache.drop(p)
		s.discardBatch(p)
		return true
	})
	s.retry = slices.DeleteFunc(s.retry, func(sub submission[S]) bool { return sub.p.ctx.Err() != nil })
}

func (s *session[S]) discardBatch(p *Partition[S]) {
	if p.batch == nil {
		return
	}
	if err := p.batch.Close(); err != nil {
		s.log.Debug("close of a batch", zap.Error(err))
	}
	p.batch = nil
}

// housekeep looks at what others left for the loop.
func (s *session[S]) housekeep() error {
	s.forget()
	s.mu.Lock()
	failed, partial := s.failed, s.partial
	s.mu.Unlock()
	if failed != nil {
		return failed
	}
	if !partial.IsZero() && time.Since(partial) > s.cfg.RebalanceTimeout {
		return Fatal(fmt.Errorf("%w for %v: does another program use group %q?", ErrAssignment, s.cfg.RebalanceTimeout, s.cfg.Group))
	}
	if err := s.cfg.Store.Check(); err != nil {
		return err
	}
	if time.Since(s.stamped) < stampInterval {
		return nil
	}
	s.stamped = time.Now()
	for _, p := range s.active {
		m := p.store.Mark()
		m.Stamp = s.cfg.Clock().UnixMicro()
		if m.Offset == 0 {
			continue
		}
		if err := p.batch.Apply(m); err != nil && !errors.Is(err, store.ErrStale) {
			return err
		}
	}
	return nil
}

// pollRecords polls for up to wait. held says that rebalances are held back,
// which they are unless nothing at all was returned.
func (s *session[S]) pollRecords(ctx context.Context, wait time.Duration) (kgo.Fetches, bool) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	s.mu.Lock()
	if s.woken || wait <= 0 {
		// Somebody has work for us: take what is there without waiting. A poll
		// with an ended context returns nothing but holds rebalances back.
		s.woken = false
		cancel()
		s.mu.Unlock()
		if fetches := s.gts.PollRecords(nil, maxPoll); len(fetches) > 0 { //nolint:staticcheck // nil means do not wait
			return fetches, true
		}
		return s.gts.PollRecords(ctx, maxPoll), true
	}
	s.poll = cancel
	s.mu.Unlock()
	fetches := s.gts.PollRecords(ctx, maxPoll)
	s.mu.Lock()
	s.poll = nil
	held := len(fetches) > 0
	if held {
		s.woken = false // whatever it announced is looked at from here on
	}
	s.mu.Unlock()
	return fetches, held
}

// wake ends a poll under way, or the next one at once.
func (s *session[S]) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = true
	if s.poll != nil {
		s.poll()
	}
}

// fail ends the session from another goroutine.
func (s *session[S]) fail(err error) {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = err
	}
	s.mu.Unlock()
	s.wake()
}

// guard turns a panic of fn into an error, its stack into a log line.
func (s *session[S]) guard(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("handler panicked", zap.ByteString("stack", debug.Stack()))
			// Only the runtime's own panics are known to quote no data.
			what := fmt.Errorf("%w: %T", errPanic, r)
			if re, ok := r.(runtime.Error); ok {
				what = fmt.Errorf("%w: %w", errPanic, re)
			}
			err = Poison(s.cfg.PanicCause, what)
		}
	}()
	return fn()
}

func (s *session[S]) due(v S) int64 {
	if s.codec.Due == nil {
		return 0
	}
	return s.codec.Due(v)
}

func (s *session[S]) name() string { return strconv.Itoa(s.id) }

func isPoison(err error) bool {
	var p *PoisonError
	return errors.As(err, &p)
}

func isFatal(err error) bool {
	var f *fatalError
	return errors.As(err, &f)
}
