package atssim_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/ats/atstest"
	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/wire"
)

// until polls a condition; the test's own deadline bounds it.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// gateway receives webhooks, checks each signature and parses each body.
type gateway struct {
	mu     sync.Mutex
	events []wire.AtsChange
	ids    []string
	people []wire.CandidateEvent
	status func(n int) int // what the n-th delivery is answered
	seen   int
}

func (g *gateway) serve(t *testing.T) string {
	m := greenhouse.Mapping(atstest.GreenhouseMapping("gh-main"))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if err := greenhouse.VerifySignature(body, r.Header.Get(greenhouse.SignatureHeader), "old", "hush"); err != nil {
			t.Error(err)
		}
		if strings.ContainsFunc(string(body), func(r rune) bool { return r > 126 }) {
			t.Errorf("not escaped: %s", body)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.seen++
		if g.status != nil {
			if status := g.status(g.seen); status != http.StatusOK {
				w.WriteHeader(status)
				return
			}
		}
		events, err := m.ParseWebhook(body, r.Header, time.Now())
		if err != nil {
			t.Errorf("%v: %s", err, body)
		}
		for _, e := range events {
			g.ids = append(g.ids, r.Header.Get(greenhouse.EventIDHeader))
			if e.Change != nil {
				g.events = append(g.events, *e.Change)
			} else {
				g.people = append(g.people, *e.Candidate)
			}
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// start runs a simulator until the test ends.
func start(t *testing.T, cfg atssim.Config) *atssim.Server {
	t.Helper()
	s, err := atssim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestWebhooksTellWhatHappened(t *testing.T) {
	t.Parallel()
	var g gateway
	s := start(t, atssim.Config{Webhooks: atssim.WebhookConfig{URL: g.serve(t), Secret: "hush", Workers: 1}})
	act := func(a atssim.Action) {
		t.Helper()
		if r := s.Act(a); !r.OK {
			t.Fatalf("%+v: %s", a, r.Error)
		}
	}
	act(atssim.Action{Kind: "create", New: &atssim.Application{ID: 5, CandidateID: 6, JobID: 7, Office: "London", EmploymentType: "Full Time"}})
	act(atssim.Action{Kind: "move", Application: 5, Stage: 1002})
	act(atssim.Action{Kind: "edit", Application: 5, Fields: map[string]json.RawMessage{"screening_status": json.RawMessage(`"prêt 😀"`)}})
	act(atssim.Action{Kind: "touch", Application: 5})
	act(atssim.Action{Kind: "reject", Application: 5, Reason: 40})
	act(atssim.Action{Kind: "unreject", Application: 5})
	act(atssim.Action{Kind: "hire", Application: 5})
	act(atssim.Action{Kind: "merge", Candidate: 6, NewCandidate: 60})
	act(atssim.Action{Kind: "anonymize", Candidate: 60})
	until(t, "all delivered", func() bool { w := s.Stats().Webhooks; return w.Delivered == w.Events && w.Pending == 0 })

	g.mu.Lock()
	defer g.mu.Unlock()
	var types []string
	for _, e := range g.events {
		types = append(types, strings.TrimPrefix(e.Type, "application."))
		if e.ApplicationID != "gh-main/5" || e.CandidateID != "6" || e.Requisition != (wire.Requisition{ID: "7", Type: "full_time", Region: "gb"}) {
			t.Errorf("%+v", e)
		}
	}
	if got := strings.Join(types, " "); got != "created stage_changed updated withdrawn unrejected hired" {
		t.Errorf("webhooks: %s", got)
	}
	if g.events[2].Elements[0].Value != "prêt 😀" || g.events[1].Stage.ID != "1002" || g.events[3].Reason != "40" {
		t.Errorf("%+v", g.events)
	}
	if len(g.people) != 2 || g.people[0].NewCandidateID != "60" || g.people[1].Type != "candidate.anonymized" {
		t.Errorf("%+v", g.people)
	}
}

func TestWebhookRetries(t *testing.T) {
	t.Parallel()
	g := gateway{status: func(n int) int { return []int{500, 202, 404, 200}[min(n-1, 3)] }}
	cfg := atssim.WebhookConfig{URL: g.serve(t), Secret: "hush", Scale: 1.0 / 60000, Workers: 1} // 1 ms, 15 ms, …
	s := start(t, atssim.Config{Webhooks: cfg})
	s.Act(atssim.Action{Kind: "create", New: &atssim.Application{ID: 5}})
	until(t, "delivered at the fourth attempt", func() bool { w := s.Stats().Webhooks; return w.Delivered == 1 && w.Attempts == 4 })

	never := gateway{status: func(int) int { return http.StatusServiceUnavailable }}
	cfg.URL, cfg.Scale = never.serve(t), 1.0/6_000_000
	s = start(t, atssim.Config{Webhooks: cfg})
	s.Act(atssim.Action{Kind: "create", New: &atssim.Application{ID: 5}})
	until(t, "given up after seven attempts", func() bool { w := s.Stats().Webhooks; return w.Failed == 1 && w.Attempts == 7 && w.Pending == 0 })
}

func TestWebhooksDoubledReorderedDropped(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (atssim.WebhookStats, *gateway) {
		g := &gateway{}
		s := start(t, atssim.Config{Seed: seed, Webhooks: atssim.WebhookConfig{
			URL: g.serve(t), Secret: "hush", Duplicate: 0.2, Reorder: 0.2, Drop: 0.1, ReorderDelay: 10 * time.Millisecond,
		}})
		for id := range int64(100) {
			s.Act(atssim.Action{Kind: "create", New: &atssim.Application{ID: id + 1}})
			s.Act(atssim.Action{Kind: "move", Application: id + 1, Stage: 1002})
		}
		until(t, "queue empty", func() bool { return s.Stats().Webhooks.Pending == 0 })
		return s.Stats().Webhooks, g
	}
	t.Log("seeds 1, 1, 2")
	a, g := run(1)
	b, _ := run(1)
	c, _ := run(2)
	if a != b {
		t.Errorf("one seed, two runs: %+v and %+v", a, b)
	}
	if a == c {
		t.Errorf("the seed changes nothing: %+v", a)
	}
	if a.Events != 200 || a.Duplicated < 15 || a.Reordered < 15 || a.Dropped < 5 {
		t.Errorf("tame: %+v", a)
	}
	if a.Delivered != a.Events-a.Dropped+a.Duplicated {
		t.Errorf("delivered %d of %+v", a.Delivered, a)
	}
	distinct := map[string]bool{}
	for _, id := range g.ids {
		distinct[id] = true
	}
	if uint64(len(distinct)) != a.Events-a.Dropped {
		t.Errorf("%d distinct event ids, want %d: a doubled webhook keeps its id", len(distinct), a.Events-a.Dropped)
	}
	inverted := 0
	last := map[string]wire.Micros{}
	for _, e := range g.events {
		if e.Type == "application.created" && last[e.ApplicationID] != 0 {
			inverted++
		}
		if e.Type == "application.stage_changed" {
			last[e.ApplicationID] = e.OccurredAt
		}
	}
	if inverted == 0 {
		t.Error("no creation came after its move")
	}
}

func TestPendingWebhooksAreCapped(t *testing.T) {
	t.Parallel()
	s, err := atssim.New(atssim.Config{MaxPending: 10, Webhooks: atssim.WebhookConfig{URL: "http://127.0.0.1:9", Secret: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	for id := range int64(15) {
		s.Act(atssim.Action{Kind: "create", New: &atssim.Application{ID: id + 1}})
	}
	if w := s.Stats().Webhooks; w.Pending != 10 || w.Overflowed != 5 {
		t.Errorf("%+v", w)
	}
}
