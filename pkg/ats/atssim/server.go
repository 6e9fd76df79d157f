package atssim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

var errFull = errors.New("store is full")

// Server is one simulated ATS. It is safe for concurrent use.
type Server struct {
	cfg Config
	mux *http.ServeMux
	// closing ends the silence of hanging answers when Run ends.
	closing chan struct{}
	once    sync.Once

	mu        sync.Mutex
	apps      map[int64]*record
	order     []int64 // ids as they were added; only ever grows
	sorted    []int64 // order, newest id first; made when a page of it is asked for
	journal   *journal
	rates     Rates
	fired     map[Fault]uint64
	limited   uint64 // requests over the real rate limit
	revoked   bool
	denied    bool
	tokens    []token
	tokenSeq  uint64
	requests  uint64
	window    time.Time
	used      int
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
		cfg: cfg, mux: http.NewServeMux(), closing: make(chan struct{}),
		apps: map[int64]*record{}, journal: newJournal(cfg.MaxJournal), rates: Rates{}, fired: map[Fault]uint64{},
	}
	for _, f := range Faults() {
		s.rates[f] = cfg.Faults[f]
	}
	s.deliver.init(&s.cfg)
	s.mux.HandleFunc("POST /token", s.serveToken)
	s.mux.HandleFunc("POST /auth/token", s.serveToken)
	s.mux.HandleFunc("GET /v3/applications", s.serveList)
	s.mux.HandleFunc("PATCH /v3/applications/{id}", s.serveWrite("edit"))
	for _, kind := range []string{"move", "reject", "unreject", "hire"} {
		s.mux.HandleFunc("POST /v3/applications/{id}/"+kind, s.serveWrite(kind))
	}
	s.control()
	return s, nil
}

// ServeHTTP implements http.Handler. A fault that breaks the connection panics with http.ErrAbortHandler, as
// net/http has it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve answers on a listener and runs until ctx ends, then drains for up to a second.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		err := srv.Serve(l)
		cancel()
		served <- err
	}()
	runErr := s.Run(ctx)
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close() // still busy: cut them off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return runErr
}

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

func refusal(status int, field, message string) answer {
	e := map[string]string{"message": message}
	if field != "" {
		e["field"] = field
	}
	return answer{status: status, body: map[string]any{"message": message, "errors": []any{e}}}
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

// call is one API request under way.
type call struct {
	kind, requestID, method, path string
	id                            int64
	n                             uint64 // the application's how-manieth request, from 1
	rec                           *record
}

// begin numbers a request and checks what comes before any effect: switches, token, limits and faults. When
// ok is false the answer is final and journalled. The lock is held.
func (s *Server) begin(r *http.Request, kind string, id int64) (c call, a answer, ok bool) {
	s.runDue()
	s.requests++
	c = call{kind: kind, requestID: r.Header.Get("X-Request-Id"), method: r.Method, path: r.URL.Path, id: id, n: s.requests}
	if c.requestID == "" || len(c.requestID) > 128 {
		c.requestID = "req-" + strconv.FormatUint(s.requests, 10)
	}
	if rec := s.apps[id]; rec != nil && !rec.deleted {
		rec.requests++
		c.rec, c.n = rec, rec.requests
	}
	header, within := s.limit()
	stop := func(f Fault, a answer) (call, answer, bool) {
		a.header = header
		return c, s.finish(&c, f, a), false
	}
	if s.denied {
		return stop("", refusal(http.StatusForbidden, "", "This credential lacks the scope"))
	}
	if s.revoked || !s.tokenValid(r.Header.Get("Authorization")) {
		return stop("", refusal(http.StatusUnauthorized, "", "Invalid access token"))
	}
	if !within {
		s.limited++
		return stop("", refusal(http.StatusTooManyRequests, "", "Rate limit exceeded"))
	}
	if f := s.firstOf(before, id, c.n); f != "" {
		return stop(f, s.spoil(f, r, header))
	}
	return c, answer{header: header}, true
}

// spoil is the answer of a fault that keeps a request from being executed. The lock is held.
func (s *Server) spoil(f Fault, r *http.Request, header http.Header) answer {
	if f == FaultTokenExpired {
		s.dropToken(r.Header.Get("Authorization"))
		return refusal(http.StatusUnauthorized, "", "Access token expired")
	}
	if f == FaultRateLimited {
		seconds := max(1, int64((s.cfg.RetryAfter+time.Second-1)/time.Second))
		header.Set("Retry-After", strconv.FormatInt(seconds, 10))
		return refusal(http.StatusTooManyRequests, "", "Rate limit exceeded")
	}
	if f == FaultRateLimitedBare {
		header.Del("Retry-After")
		header.Del("X-RateLimit-Reset")
		return refusal(http.StatusTooManyRequests, "", "Rate limit exceeded")
	}
	if f == FaultServerErrorBefore {
		return refusal(http.StatusInternalServerError, "", "Something went wrong")
	}
	return answer{reset: true} // FaultResetBefore
}

// finish journals a request with the answer it gets. The lock is held.
func (s *Server) finish(c *call, f Fault, a answer) answer {
	a.slow = s.hits(FaultLatency, c.id, c.n)
	status := a.status
	if a.hang || a.reset {
		status = 0
	}
	if f == "" && a.slow {
		f = FaultLatency
	}
	s.journal.add(Entry{
		Time: s.cfg.Now(), Type: EntryRequest, Application: c.id, Kind: c.kind, RequestID: c.requestID,
		Method: c.method, Path: c.path, Status: status, Fault: f,
	})
	return a
}

// limit counts a request against the real rate limit.
func (s *Server) limit() (http.Header, bool) {
	h := http.Header{}
	l := s.cfg.RateLimit
	if l.Requests == 0 {
		return h, true
	}
	now := s.cfg.Now()
	if now.Sub(s.window) >= l.Window || now.Before(s.window) {
		s.window, s.used = now, 0
	}
	s.used++
	left := s.window.Add(l.Window).Sub(now)
	h.Set("X-RateLimit-Limit", strconv.Itoa(l.Requests))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, l.Requests-s.used)))
	if s.used <= l.Requests {
		return h, true
	}
	h.Set("X-RateLimit-Reset", strconv.FormatInt(s.atsNow().Add(left+time.Second).Unix(), 10))
	h.Set("Retry-After", strconv.FormatInt(max(1, int64((left+time.Second-1)/time.Second)), 10))
	return h, false
}

// readBody reads a bounded request body.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
}
