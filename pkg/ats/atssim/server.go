package atssim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

var errFull = errors.New("store is full")

// Server is one simulated ATS. It is safe for concurrent use.
type Server struct {
	cfg     Config
	dialect Dialect
	mux     *http.ServeMux
	// closing ends the silence of hanging answers when Run ends.
	closing chan struct{}
	once    sync.Once

	mu        sync.Mutex
	apps      map[int64]*record
	order     []int64         // ids as they were added; only ever grows
	sorted    []int64         // order, newest id first; made when a page of it is asked for
	places    map[int64]place // by job
	offices   []string        // in the order they were first seen
	journal   *journal
	rates     Rates
	only      []string // the kinds of requests that faults hit; empty for all
	current   string   // the kind of the request being decided
	fired     map[Fault]uint64
	limited   uint64 // requests over the real rate limit
	revoked   bool
	denied    bool
	tokens    []token
	tokenSeq  uint64
	requests  uint64
	running   int
	listing   int // of those running, the lists
	meter     meter
	scheduled schedule
	deliver   delivery
}

type token struct {
	value   string
	expires time.Time // true time
}

// New returns a simulator. It serves at once; webhooks and actions set for later need Run too.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("atssim: %w", err)
	}
	cfg.defaults()
	s := &Server{
		cfg: cfg, dialect: cfg.Dialect, mux: http.NewServeMux(), closing: make(chan struct{}),
		apps: map[int64]*record{}, places: map[int64]place{}, journal: newJournal(cfg.MaxJournal), rates: Rates{}, fired: map[Fault]uint64{},
	}
	for _, f := range Faults() {
		s.rates[f] = cfg.Faults[f]
	}
	s.deliver.init(&s.cfg)
	s.dialect.routes(s)
	s.control()
	return s, nil
}

// ServeHTTP implements http.Handler. A fault that breaks the connection panics with http.ErrAbortHandler, as
// net/http has it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// atsNow is the ATS's own time.
func (s *Server) atsNow() time.Time { return stamp(s.cfg.Now().Add(s.cfg.ClockOffset)) }

// answer is a response decided under the lock and sent outside it.
type answer struct {
	status int
	body   any
	header http.Header
	slow   bool
	hang   bool
	reset  bool
}

func (s *Server) send(w http.ResponseWriter, r *http.Request, a answer) {
	if a.slow {
		s.wait(r.Context(), s.cfg.Latency)
	}
	if a.hang {
		s.wait(r.Context(), s.cfg.Hang)
	}
	if a.hang || a.reset {
		panic(http.ErrAbortHandler)
	}
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.Header().Set("Date", s.atsNow().Format(http.TimeFormat))
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body) // the client is gone: nobody is left to tell
}

func (s *Server) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-s.closing:
	}
}

// kindList is the kind of a request for a page of applications.
const kindList = "list"

// call is one API request under way.
type call struct {
	kind, requestID, method, path string
	id                            int64
	n                             uint64  // the application's how-manieth request, from 1
	rec                           *record // nil when there is no such application
	fault                         Fault   // what was injected
}

// api runs one request through all that comes before and after what it does: switches, credentials, limits,
// faults, the journal. Kind and id are for the journal; id is 0 for a request about none or several. What the
// request does is do, under the lock; a dialect's refuse makes the answer to what it does not do.
func (s *Server) api(w http.ResponseWriter, r *http.Request, kind string, id int64, do func(c *call) answer) {
	defer func() {
		s.mu.Lock()
		s.running--
		if kind == kindList {
			s.listing--
		}
		s.mu.Unlock()
	}()
	s.send(w, r, s.decideCall(r, kind, id, do))
}

// decideCall makes the answer to a request, under the lock.
func (s *Server) decideCall(r *http.Request, kind string, id int64, do func(c *call) answer) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running++
	if kind == kindList {
		s.listing++
	}
	c, header, a, ok := s.begin(r, kind, id)
	if ok {
		a = do(&c)
		if a.status < 300 && !a.hang && !a.reset && s.hits(FaultEmptyAnswer, id, c.n) {
			a.body = nil
			if c.fault == "" {
				c.fault = FaultEmptyAnswer
			}
		}
	}
	for k, v := range a.header {
		header[k] = v
	}
	a.header = header
	return s.finish(&c, a)
}

// begin numbers a request and checks what comes before any effect. When ok is false the answer is final. The lock
// is held.
func (s *Server) begin(r *http.Request, kind string, id int64) (c call, header http.Header, a answer, ok bool) {
	s.runDue()
	s.requests++
	s.current = kind
	c = call{kind: kind, requestID: r.Header.Get("X-Request-Id"), method: r.Method, path: r.URL.Path, id: id, n: s.requests}
	if c.requestID == "" || len(c.requestID) > 128 {
		c.requestID = "req-" + strconv.FormatUint(s.requests, 10)
	}
	if rec := s.apps[id]; rec != nil && !rec.deleted {
		rec.requests++
		c.rec, c.n = rec, rec.requests
	}
	header = http.Header{}
	limit := s.meter.count(s.cfg.RateLimit, s.running, s.cfg.Now(), s.atsNow())
	s.dialect.limits(header, limit)
	refuse := func(status int, message string) (call, http.Header, answer, bool) {
		return c, header, s.dialect.refuse(status, "", message), false
	}
	if s.denied {
		return refuse(http.StatusForbidden, "This credential lacks the scope")
	}
	if s.revoked || !s.dialect.admits(s, r) {
		return refuse(http.StatusUnauthorized, "Invalid access token")
	}
	if limit.Over || s.cfg.RateLimit.Lists > 0 && kind == kindList && s.listing > s.cfg.RateLimit.Lists {
		s.limited++
		return refuse(http.StatusTooManyRequests, "Rate limit exceeded")
	}
	if c.fault = s.firstOf(before, id, c.n); c.fault != "" {
		return c, header, s.spoil(c.fault, r, header), false
	}
	return c, header, answer{}, true
}

// spoil is the answer of a fault that keeps a request from being executed. The lock is held.
func (s *Server) spoil(f Fault, r *http.Request, header http.Header) answer {
	switch f {
	case FaultTokenExpired:
		s.dropToken(r.Header.Get("Authorization"))
		return s.dialect.refuse(http.StatusUnauthorized, "", "Access token expired")
	case FaultRateLimited:
		seconds := max(1, int64((s.cfg.RetryAfter+time.Second-1)/time.Second))
		header.Set("Retry-After", strconv.FormatInt(seconds, 10))
		return s.dialect.refuse(http.StatusTooManyRequests, "", "Rate limit exceeded")
	case FaultRateLimitedBare:
		for k := range header {
			if k == "Retry-After" || strings.HasSuffix(k, "-Reset") {
				delete(header, k)
			}
		}
		return s.dialect.refuse(http.StatusTooManyRequests, "", "Rate limit exceeded")
	case FaultServerErrorBefore:
		return s.dialect.refuse(http.StatusInternalServerError, "", "Something went wrong")
	case FaultFailureIn200:
		return answer{status: http.StatusOK, body: map[string]any{"success": false, "errors": []string{"something_went_wrong"}}}
	case FaultTimeoutBefore:
		return answer{hang: true}
	default:
		return answer{reset: true} // FaultResetBefore
	}
}

// finish journals a request with the answer it gets. The lock is held.
func (s *Server) finish(c *call, a answer) answer {
	a.slow = s.hits(FaultLatency, c.id, c.n)
	status := a.status
	if a.hang || a.reset {
		status = 0
	}
	if c.fault == "" && a.slow {
		c.fault = FaultLatency
	}
	s.journal.add(Entry{
		Time: s.cfg.Now(), Type: EntryRequest, Application: c.id, Kind: c.kind, RequestID: c.requestID,
		Method: c.method, Path: c.path, Status: status, Fault: c.fault,
	})
	return a
}

// write is the effect of a request that changes one application, with the faults that can meet it. Wrong is
// what is wrong with the request itself; done makes the answer that shows the application.
func (s *Server) write(c *call, wish change, wrong *problem, done func(*Application) answer) answer {
	refused := func(p *problem) answer {
		field := p.Field
		if s.cfg.OpaqueErrors {
			field = ""
		}
		return s.dialect.refuse(http.StatusUnprocessableEntity, field, p.Message)
	}
	rec := c.rec
	if rec == nil {
		return s.dialect.refuse(http.StatusNotFound, "", "Resource not found")
	}
	if wrong != nil {
		return refused(wrong)
	}
	wish.at, wish.requestID = s.atsNow(), c.requestID
	if wish.actor == (Actor{}) {
		wish.actor = Actor{Kind: "api", ID: s.cfg.ClientID}
	}
	if rec.app.Status == statusActive && s.hits(FaultHumanRace, c.id, c.n) {
		c.fault = FaultHumanRace
		s.humanMoves(rec, c.requestID, c.n)
	}
	if _, p := s.decide(rec.app, &wish); p != nil {
		return refused(p)
	}
	shown := func(a Application) answer {
		a.blank = s.hits(FaultBlankAnswer, c.id, c.n)
		if a.blank && c.fault == "" {
			c.fault = FaultBlankAnswer
		}
		return done(&a)
	}
	if s.hits(FaultLostWrite, c.id, c.n) {
		c.fault = FaultLostWrite
		return shown(rec.app)
	}
	stale := s.hits(FaultStaleRead, c.id, c.n)
	if f := s.firstOf(after, c.id, c.n); f != "" {
		c.fault = f
	} else if stale {
		c.fault = FaultStaleRead
	}
	wish.fault = c.fault
	was := rec.app
	if p := s.apply(rec, &wish); p != nil {
		return refused(p)
	}
	if stale {
		rec.stale, rec.staleUntil = &was, s.cfg.Now().Add(s.cfg.ReadLag)
	}
	switch wish.fault {
	case FaultServerErrorAfter:
		return s.dialect.refuse(http.StatusInternalServerError, "", "Something went wrong")
	case FaultTimeoutAfter:
		return answer{hang: true}
	case FaultResetAfter:
		return answer{reset: true}
	default:
		return shown(rec.app)
	}
}

// humanMoves is a person who is faster than the write under way.
func (s *Server) humanMoves(rec *record, requestID string, n uint64) {
	stages := s.cfg.Stages
	i := s.stageIndex(rec.app.StageID)
	to := (i + 1 + int(draw(s.cfg.Seed, "human", rec.app.ID, n)%uint64(max(1, len(stages)-1)))) % len(stages)
	_ = s.apply(rec, &change{ // an active application can always be moved to a known stage
		kind: "move", to: stages[to].ID, at: s.atsNow(), requestID: requestID,
		actor: Actor{Kind: "human", ID: "recruiter-race"}, fault: FaultHumanRace,
	})
}

// body reads a bounded request body; false when it was too large and has been answered.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	b, err := readBody(w, r, 1<<20)
	if err != nil {
		s.send(w, r, s.dialect.refuse(http.StatusRequestEntityTooLarge, "", "Body too large"))
		return nil, false
	}
	return b, true
}

// readBody reads a bounded request body.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
}
