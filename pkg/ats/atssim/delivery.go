package atssim

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxIdle bounds how long Run sleeps, so that a clock that is moved by hand is noticed.
const maxIdle = 50 * time.Millisecond

// hook is one webhook on its way.
type hook struct {
	due time.Time // true time
	seq uint64
	id  string
	message
	at      time.Time // ATS time of the event
	about   int64     // the application, or the candidate
	attempt int       // made so far
}

// before orders by due time, then by order of the events.
func (h hook) before(other hook) bool {
	return cmp.Or(h.due.Compare(other.due), cmp.Compare(h.seq, other.seq)) < 0
}

// WebhookStats counts webhooks. Every event that was not dropped or lost to the cap ends as delivered or
// failed; Pending are under way.
type WebhookStats struct {
	Events     uint64 `json:"events"`     // changes announced
	Duplicated uint64 `json:"duplicated"` // sent twice by seed
	Reordered  uint64 `json:"reordered"`  // held back by seed
	Dropped    uint64 `json:"dropped"`    // never sent by seed
	Overflowed uint64 `json:"overflowed"` // never sent, as too many were pending
	Attempts   uint64 `json:"attempts"`
	Delivered  uint64 `json:"delivered"` // answered as the dialect wants it
	Failed     uint64 `json:"failed"`    // given up
	Pending    int    `json:"pending"`
}

// delivery is the queue of webhooks. The server's lock guards all but the wake channel.
type delivery struct {
	cfg    *WebhookConfig
	client *http.Client
	wake   chan struct{}
	queue  queue[hook]
	seq    uint64
	people uint64
	flying int
	stats  WebhookStats
}

func (d *delivery) init(cfg *Config) {
	d.cfg = &cfg.Webhooks
	d.wake = make(chan struct{}, 1)
	d.client = &http.Client{
		Timeout:       cfg.Webhooks.Timeout,
		Transport:     &http.Transport{MaxIdleConnsPerHost: cfg.Webhooks.Workers, IdleConnTimeout: 15 * time.Second},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (d *delivery) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// announce queues the webhooks of a change. The lock is held.
func (s *Server) announce(rec *record, was *Application, kind string) {
	if s.cfg.Webhooks.URL == "" {
		return
	}
	cause := rec.events + 1
	for _, m := range s.dialect.hooks(s, kind, was, &rec.app) {
		m.cause = cause
		rec.events++
		s.enqueue(m, rec.app.ID, rec.events)
	}
}

// announcePerson queues the webhooks of a merge or an anonymisation.
func (s *Server) announcePerson(a *Action) {
	if s.cfg.Webhooks.URL == "" {
		return
	}
	cause := s.deliver.people + 1
	for _, m := range s.dialect.people(s, a) {
		m.cause = cause
		s.deliver.people++
		s.enqueue(m, a.Candidate, s.deliver.people)
	}
}

// enqueue plans the delivery of a webhook: dropped, delayed or doubled by seed. The lock is held.
func (s *Server) enqueue(m message, about int64, n uint64) {
	d := &s.deliver
	d.stats.Events++
	roll := func(what string, rate float64) bool {
		return rate > 0 && chance(s.cfg.Seed, "webhook "+what+" "+m.event, about, n) < rate
	}
	if roll("drop", d.cfg.Drop) {
		d.stats.Dropped++
		return
	}
	if len(d.queue)+d.flying >= s.cfg.MaxPending {
		d.stats.Overflowed++
		return
	}
	d.seq++
	h := hook{
		due: s.cfg.Now(), seq: d.seq, message: m, at: s.atsNow(), about: about,
		id: fmt.Sprintf("%016x-%d", draw(s.cfg.Seed, "event "+m.event, about, n), d.seq),
	}
	if roll("reorder", d.cfg.Reorder) {
		d.stats.Reordered++
		h.due = h.due.Add(d.cfg.ReorderDelay)
	}
	d.queue.push(h)
	if roll("duplicate", d.cfg.Duplicate) {
		d.stats.Duplicated++
		d.seq++
		again := h
		again.seq, again.due = d.seq, h.due.Add(d.cfg.ReorderDelay/2)
		d.queue.push(again)
	}
	d.poke()
}

// Run delivers webhooks and performs scheduled actions until ctx ends, then waits for the attempts under way.
// It may run once. Answers that hang are let go when it ends.
func (s *Server) Run(ctx context.Context) error {
	defer s.once.Do(func() { close(s.closing) })
	slots := make(chan struct{}, s.cfg.Webhooks.Workers)
	var flying sync.WaitGroup
	defer func() {
		flying.Wait()
		s.deliver.client.CloseIdleConnections()
	}()
	idle := time.NewTimer(0)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.deliver.wake:
		case <-idle.C:
		}
		for {
			h, wait, ok := s.nextHook()
			if !ok {
				idle.Reset(wait)
				break
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				s.settle(h, 0)
				return nil
			}
			flying.Go(func() {
				defer func() { <-slots }()
				s.settle(h, s.attempt(ctx, h))
			})
		}
	}
}

// nextHook takes the next due webhook, or says how long to wait for one.
func (s *Server) nextHook() (hook, time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runDue()
	d, now := &s.deliver, s.cfg.Now()
	if len(d.queue) == 0 {
		return hook{}, maxIdle, false
	}
	if wait := d.queue[0].due.Sub(now); wait > 0 {
		return hook{}, min(wait, maxIdle), false
	}
	d.flying++
	d.stats.Attempts++
	return d.queue.pop(), 0, true
}

// attempt sends a webhook once, and returns the status it was answered with; 0 when it was not.
func (s *Server) attempt(ctx context.Context, h hook) int {
	s.mu.Lock()
	body, header := s.dialect.post(s, &h)
	s.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.deliver.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := s.deliver.client.Do(req)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // for the connection's sake only
	_ = res.Body.Close()
	return res.StatusCode
}

func hmacSHA256(secret string, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, p := range parts {
		mac.Write(p)
	}
	return mac.Sum(nil)
}

// plainJSON encodes what the simulator made itself.
func plainJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("atssim: encode: %v", err)) // only raw values that were parsed before
	}
	return b
}

// settle counts an attempt, and plans the next one when it failed.
func (s *Server) settle(h hook, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.deliver
	d.flying--
	h.attempt++
	done, again := s.dialect.acked(status)
	switch {
	case done:
		d.stats.Delivered++
	case !again, h.attempt > len(d.cfg.Schedule):
		d.stats.Failed++
	default:
		pause := time.Duration(float64(d.cfg.Schedule[h.attempt-1]) * d.cfg.Scale)
		h.due = s.cfg.Now().Add(pause)
		d.queue.push(h)
		d.poke()
	}
}
