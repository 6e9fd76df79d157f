package writeback

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// tenant is one ATS instance: its queue, its calls, its breaker. Tenants share no lock and no goroutine, so that
// one which hangs holds up nobody else. Safe for concurrent use.
type tenant struct {
	w      *Worker
	system string
	slots  chan struct{}
	most   int // active at once: what is being worked on cannot make room for others
	line   line
	reads  int // requests of a read

	mu      sync.Mutex
	queue   []*entry
	active  int
	breaker breaker
	retries budget
	paused  time.Time // a penalty the ATS asked for
	// refusals for the rate in a row, each after the penalty of the one before; trying: a call is out that tells whether
	// that is over.
	refusals int
	trying   bool
	lastOK   time.Time     // end of the last call that worked
	changed  chan struct{} // closed and replaced when breaker or pause changed
	lost     map[wire.Digest]lost
	unread   map[bool]int // writes that are out and not read back, by whether they are finals
}

// lost is a policy that cannot be used, and how many jobs have a command of it.
type lost struct {
	jobs int
	why  string
}

func newTenant(w *Worker, name string, s System) *tenant {
	caps := s.Client.Capabilities()
	n := s.Concurrency
	if n <= 0 {
		n = 8
	}
	if most := caps.Rate.Concurrent; most > 0 {
		n = min(n, most)
	}
	return &tenant{
		w: w, system: name, reads: caps.Reads(), lost: map[wire.Digest]lost{}, unread: map[bool]int{},
		slots:   make(chan struct{}, n),
		most:    min(w.cfg.MaxActive, max(1, w.cfg.MaxQueued/(len(w.cfg.Systems)+1))),
		breaker: breaker{first: w.cfg.ProbeFirst, max: w.cfg.ProbeMax, limit: w.cfg.ParkAfter},
		retries: budget{left: budgetMost, every: w.cfg.RepeatEvery},
		changed: make(chan struct{}),
	}
}

// enqueue puts an entry at the end of the queue and starts what may start.
func (t *tenant) enqueue(e *entry) {
	t.mu.Lock()
	t.queue = append(t.queue, e)
	t.mu.Unlock()
	t.pump()
}

// remove takes an entry out of the queue; false means that it has started.
func (t *tenant) remove(e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.queue, e)
	if i < 0 {
		return false
	}
	t.queue = slices.Delete(t.queue, i, i+1)
	return true
}

// drop forgets the queue of a partition that is gone.
func (t *tenant) drop(p *part) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = slices.DeleteFunc(t.queue, func(e *entry) bool { return e.part == p })
}

// pump starts a job for each entry that may be worked on, finals first.
func (t *tenant) pump() {
	for {
		t.mu.Lock()
		if len(t.queue) == 0 || t.active >= t.most || !t.w.begin() {
			t.mu.Unlock()
			return
		}
		i := max(slices.IndexFunc(t.queue, (*entry).final), 0)
		e := t.queue[i]
		t.queue = slices.Delete(t.queue, i, i+1)
		t.active++
		e.started.Store(true)
		t.mu.Unlock()
		go func() {
			defer t.w.jobs.Done()
			newJob(t, e).run()
			t.mu.Lock()
			t.active--
			t.mu.Unlock()
			t.pump()
		}()
	}
}

// snapshot is what the gauges show.
type tenantSnapshot struct {
	active, queued int
	oldest         time.Duration
	parked         bool
	lost           int // jobs whose command's policy cannot be used
}

func (t *tenant) snapshot() tenantSnapshot {
	now := t.w.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := tenantSnapshot{active: t.active, queued: len(t.queue), parked: t.breaker.open}
	for _, l := range t.lost {
		s.lost += l.jobs
	}
	if len(t.queue) > 0 {
		s.oldest = now.Sub(time.UnixMicro(t.queue[0].since))
	}
	return s
}

// health is what an incident about the system needs to know.
func (t *tenant) health() (open bool, lastOK time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.breaker.open, t.lastOK
}

// reopens is when it is worth trying again: the end of a penalty or the next probe, at least now.
func (t *tenant) reopens(now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := now
	if t.paused.After(at) {
		at = t.paused
	}
	if t.breaker.open && t.breaker.until.After(at) {
		at = t.breaker.until
	}
	return at
}

// standing is why the system is not called now, or none.
func (t *tenant) standing(now time.Time) Detail {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.breaker.open:
		return Detail(t.breaker.code)
	case t.paused.After(now):
		return Detail(ats.CodeRateLimited)
	}
	return DetailNone
}

// signal tells everyone who waits that the breaker or the pause changed. The caller holds the lock.
func (t *tenant) signal() {
	close(t.changed)
	t.changed = make(chan struct{})
}

func newTenants(w *Worker) (byName map[string]*tenant, all []*tenant) {
	byName = make(map[string]*tenant, len(w.cfg.Systems))
	for _, name := range slices.Sorted(maps.Keys(w.cfg.Systems)) {
		t := newTenant(w, name, w.cfg.Systems[name])
		byName[name] = t
		all = append(all, t)
	}
	return byName, all
}

// youngest returns the newest entry of a partition that waits in the queue, nil for none.
func (t *tenant) youngest(p *part) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range slices.Backward(t.queue) {
		if e.part == p {
			return e
		}
	}
	return nil
}
