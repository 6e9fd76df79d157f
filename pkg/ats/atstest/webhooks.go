package atstest

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/webhook"
)

// hookSecret signs the simulator's webhooks.
const hookSecret = "conformance-webhook-secret"

// RunWebhooks sends every webhook of a dialect to the reader of its vendor's: each has to verify, with the right secret
// alone, and to be read; the answer the reader gives has to be the one the vendor takes for delivered. Announced are the
// kinds of changes the vendor tells of.
func RunWebhooks(t *testing.T, d atssim.Dialect, reader func(m ats.Mapping, secrets ...string) webhook.Sender, announced ...string) {
	t.Run(d.Name(), func(t *testing.T) {
		m := mapping(d)
		in := &inbox{t: t, right: reader(m, "old-secret", hookSecret), wrong: reader(m, "other-secret"), refuse: 1}
		receiver := httptest.NewServer(in)
		t.Cleanup(receiver.Close)
		sim, err := atssim.New(atssim.Config{Dialect: d, Seed: 3, Webhooks: atssim.WebhookConfig{URL: receiver.URL, Secret: hookSecret, Scale: 1e-4}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- sim.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
		stages := atssim.DefaultStages()
		for _, a := range []atssim.Action{
			{Kind: "create", New: &atssim.Application{ID: appNumber, CandidateID: candidate, JobID: job}},
			{Kind: "move", Application: appNumber, Stage: stages[2].ID},
			{Kind: "reject", Application: appNumber, Reason: 8},
			{Kind: "unreject", Application: appNumber},
			{Kind: "edit", Application: appNumber, Fields: map[string]json.RawMessage{fieldScore: json.RawMessage("81.5")}},
			{Kind: "hire", Application: appNumber},
			{Kind: "merge", Candidate: candidate, NewCandidate: 77},
			{Kind: "anonymize", Candidate: 77},
			{Kind: "delete", Application: appNumber},
		} {
			before := sim.Stats().Webhooks.Events
			if r := sim.Act(a); !r.OK {
				t.Fatalf("%s: %s", a.Kind, r.Error)
			}
			if tells := sim.Stats().Webhooks.Events > before; tells != slices.Contains(announced, a.Kind) {
				t.Errorf("%s: a webhook was sent: %v", a.Kind, tells)
			}
		}
		until(t, "every webhook is delivered or given up", func() bool { return sim.Stats().Webhooks.Pending == 0 })
		if w := sim.Stats().Webhooks; w.Delivered != w.Events || w.Attempts != w.Events+1 {
			t.Errorf("%+v: want all delivered, the first at its second attempt", w)
		}
		in.mu.Lock()
		defer in.mu.Unlock()
		if want := m.ApplicationID(d.Spell(atssim.KindApplication, appNumber)); len(in.about) == 0 || len(in.about) == 1 && !in.about[want] || len(in.about) > 2 {
			t.Errorf("events about %v, want %s", slices.Collect(maps.Keys(in.about)), want)
		}
		if len(in.ids) != int(sim.Stats().Webhooks.Events) {
			t.Errorf("%d identities of %d webhooks", len(in.ids), sim.Stats().Webhooks.Events)
		}
	})
}

// inbox is a receiver that checks all it is sent.
type inbox struct {
	t            *testing.T
	right, wrong webhook.Sender

	mu     sync.Mutex
	refuse int // how many it still answers 503
	about  map[string]bool
	ids    map[string]bool
}

// ServeHTTP implements http.Handler.
func (in *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		in.t.Error(err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.refuse > 0 {
		in.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	now := time.Now()
	if err := in.right.Verify(r.Header, body, now); err != nil {
		in.t.Errorf("%v: %s", err, body)
	}
	if in.wrong.Verify(r.Header, body, now) == nil {
		in.t.Errorf("verifies with another secret: %s", body)
	}
	events, err := in.right.Parse(r.Header, body, now)
	if err != nil || len(events) == 0 {
		in.t.Errorf("%d events, %v: %s", len(events), err, body)
	}
	if in.about == nil {
		in.about, in.ids = map[string]bool{}, map[string]bool{}
	}
	for _, e := range events {
		in.ids[e.Wire().Envelope().ID] = true
		if e.Change != nil {
			in.about[e.Change.ApplicationID] = true
		}
	}
	w.WriteHeader(in.right.Terms().Accepted)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	(&rig{T: t}).until(what, ok)
}
