package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/policy/policytest"
	"github.com/concord-ats/concord/pkg/policylog"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// records are what publishTogether makes.
func records(recs []*kgo.Record) func() ([]*kgo.Record, error) {
	return func() ([]*kgo.Record, error) { return recs, nil }
}

// putInForce publishes a bundle that all have signed, in so long.
func putInForce(t *testing.T, tools []string, co *policytest.Company, p *policy.Policy, id string, in time.Duration) {
	t.Helper()
	r := open(t, tools)
	text, err := p.Pack(co.All(t, p))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := publishTogether(t.Context(), r.opts, records(policylog.Records(r.schemas, p, text, &wire.Control{
		ID: id, Source: "/test", OccurredAt: wire.MicrosOf(now), EffectiveAt: wire.MicrosOf(now.Add(in)), Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "u2"},
	}, 2))); err != nil {
		t.Fatal(err)
	}
}

// The field an element is kept in changes by a bundle alone: without a restart of anything the ATS is written in the new field from its
// time on and in the old one before, and webhooks and walks are read by the one in force when they come.
func TestAMappingIsPublished(t *testing.T) {
	t.Parallel()
	m := newMachine(t, "ATS")
	gateway := freeAddress(t)
	sim, err := atssim.New(atssim.Config{
		Seed: 1, Fields: append(atssim.DefaultFields(), atssim.FieldDef{ID: 9103, Key: "score_2027", Type: "number"}),
		Webhooks: atssim.WebhookConfig{URL: "http://" + gateway + "/webhooks/greenhouse/gh-main", Secret: "w", Workers: 2},
	})
	if err != nil {
		t.Fatal(err)
	}
	ats := httptest.NewServer(sim)
	t.Cleanup(ats.Close)
	delivering, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go func() { _ = sim.Run(delivering) }() // ends with the test
	co, keys := policytest.NewCompany(t), filepath.Join(t.TempDir(), "allowed_signers")
	if err := os.WriteFile(keys, []byte(co.KeysFile()), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range m.env {
		m.env[i] = strings.Replace(m.env[i], "'ATS'", "'"+ats.URL+"'", 1)
	}
	m.env = append(m.env, "CONCORD_POLICY_SIGNERS="+keys, "CONCORD_GATEWAY_LISTEN="+gateway, "CONCORD_POLLER_EVERY=1s", "CONCORD_POLLER_SETTLE=1s", "CONCORD_POLLER_SHARE=1")
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	seed := func(id, stage int64, at time.Time, fields string) {
		t.Helper()
		a := atssim.Application{ID: id, CandidateID: id + 1000, JobID: 1, StageID: stage, AppliedAt: at, LastActivityAt: at}
		if err := json.Unmarshal([]byte(fields), &a.Fields); err != nil {
			t.Fatal(err)
		}
		if err := sim.Seed(a); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []int64{1, 2, 6} {
		seed(id, 71416, at, `{}`)
	}
	seed(3, 1001, at, `{"screening_score":33,"score_2027":44}`)
	seed(4, 1001, at, `{"screening_score":33,"score_2027":44}`)
	cmd := m.up(t, &buffer{})

	finished := func(id int64) {
		t.Helper()
		m.publish(t, topics.ATSChanges, fmt.Sprintf(`{"id":"c%d","source":"/ats/gh-main","type":"snapshot","system":"gh-main","occurred_at":%q,"time_basis":"record",`+
			`"application_id":"gh-main/%[1]d","candidate_id":"%[1]d","stage":{"id":"71416"},"status":"active"}`, id, at.Format(time.RFC3339)))
		m.publish(t, topics.ScreeningEvents, fmt.Sprintf(`{"id":"s%d","source":"/vendor","type":"screening.completed","system":"vendor","occurred_at":%[2]q,`+
			`"application_id":"gh-main/%[1]d","order_id":"o%[1]d","attempt":1,"result":{"status":"complete","recommendation":"advance",`+
			`"score":{"value":4,"min":1,"max":5,"scale":"raw"},"finished_at":%[2]q}}`, id, at.Add(time.Minute).Format(time.RFC3339)))
	}
	view := func(id int64) (view applicationView) {
		t.Helper()
		if got := concord(t, m.tools, "", "app", "show", fmt.Sprint("gh-main/", id), "--json"); got.code == exitOK {
			if err := json.Unmarshal([]byte(got.stdout), &view); err != nil {
				t.Fatal(err)
			}
		}
		return view
	}
	confirmed := func(id int64) bool {
		s := view(id).State
		return s != nil && s.ConfirmedRevision > 0 && s.Confirmed.Stage == "1004"
	}
	var r *reader
	// told is the score that a source has told of an application.
	told := func(source string, id int64) (score string) {
		t.Helper()
		_, ends, err := r.bounds(t.Context(), topics.ATSChanges)
		if err != nil {
			t.Fatal(err)
		}
		for n, o := range ends[topics.ATSChanges] {
			if err := r.scan(t.Context(), topics.ATSChanges, n, 0, o.Offset, func(rec *kgo.Record) error {
				var c wire.AtsChange
				if err := r.schemas.Decode(t.Context(), rec.Value, &c); err != nil {
					return err
				}
				for _, e := range c.Elements {
					if e.Name == "screening_score" && c.Source == source && c.ApplicationID == fmt.Sprint("gh-main/", id) {
						score = e.Value
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		return score
	}
	fields := func(id int64) string {
		a, _ := sim.Application(id)
		return fmt.Sprintf("%s %s", a.Fields["screening_score"], a.Fields["score_2027"])
	}
	move := func(id int64) {
		t.Helper()
		if r := sim.Act(atssim.Action{Kind: "move", Application: id, Stage: 1002, Actor: atssim.Actor{Kind: "human", ID: "1"}}); !r.OK {
			t.Fatal(r.Error)
		}
	}
	r = open(t, m.tools)
	finished(1)
	finished(6)
	move(3)
	await(t, func() bool { return confirmed(1) && confirmed(6) && told("/ats/gh-main", 3) == "33" })
	if got := fields(1); got != "75 " {
		t.Errorf("before: the fields are %q", got)
	}

	p := policytest.Edited(t, "version: 1.0.0", "version: 2.0.0",
		`screening_score: {type: number, id: "9003", writable: true}`, `screening_score: {type: number, id: "9003", writable: true}`+"\n        "+`score_2027: {type: number, id: "9103", writable: true}`,
		"screening_score: screening_score\n  screening_status: screening_status\n  start_date", "screening_score: score_2027\n  screening_status: screening_status\n  start_date")
	putInForce(t, m.tools, co, p, "renamed", 7*time.Second)
	await(t, func() bool {
		var h historyView
		if err := json.Unmarshal([]byte(concord(t, m.tools, "", "policy", "history", "--json").stdout), &h); err != nil {
			t.Fatal(err)
		}
		return len(h.Partitions) == 2 && h.Partitions[0].Digest != "" && h.Partitions[1].Digest != ""
	})
	finished(2)
	move(4)
	seed(5, 1001, time.Now().UTC(), `{"screening_score":33,"score_2027":55}`)
	await(t, func() bool { return confirmed(2) })
	if got := fields(2); got != " 75" {
		t.Errorf("after: the fields are %q", got)
	}
	// Of what was written before, the next value goes to the new field.
	m.publish(t, topics.ScreeningEvents, fmt.Sprintf(`{"id":"s1c","source":"/vendor","type":"screening.corrected","system":"vendor","occurred_at":%[1]q,`+
		`"application_id":"gh-main/1","order_id":"o1","attempt":1,"result":{"revision":2,"status":"complete","recommendation":"advance",`+
		`"score":{"value":5,"min":1,"max":5,"scale":"raw"},"finished_at":%[1]q}}`, at.Add(2*time.Minute).Format(time.RFC3339)))
	await(t, func() bool { return fields(1) == "75 100" })
	await(t, func() bool {
		s := view(1).State
		return s != nil && s.ConfirmedRevision == s.DesiredRevision && len(s.Incidents) == 0
	})
	await(t, func() bool { return told("/ats/gh-main", 4) == "44" })
	await(t, func() bool { return told(wire.SourcePoller, 5) == "55" })
	// What has not changed since is read again, and says nothing of the new field; a resync brings the value there.
	tools := append(m.tools, "CONCORD_REDIS_ADDR=127.0.0.1:1", "CONCORD_POLICY_SIGNERS="+keys, m.env[slices.IndexFunc(m.env, func(v string) bool { return strings.HasPrefix(v, "CONCORD_ATS=") })])
	if got := concord(t, tools, "", "backfill", "--ats", "gh-main"); got.code != exitOK {
		t.Fatalf("backfill: exit %d\n%s", got.code, got.stderr)
	}
	if got := fields(6); got != "75 " {
		t.Errorf("read again: the fields are %q", got)
	}
	if got := concord(t, m.tools, "", "control", "resync", "gh-main/6", "--actor", "u1", "--reason", "HR-1", "--yes"); got.code != exitOK {
		t.Fatalf("resync: exit %d\n%s", got.code, got.stderr)
	}
	await(t, func() bool {
		v := view(6)
		return fields(6) == "75 75" && v.State.ConfirmedRevision == v.State.DesiredRevision && len(v.State.Incidents) == 0
	})
	for _, d := range view(6).Decisions {
		if d.Reason == wire.ReasonTie {
			t.Errorf("two things are said of one moment: %s", d.EventID)
		}
	}
	if c := end(t, cmd, syscall.SIGTERM); c != exitOK {
		t.Errorf("SIGTERM: exit %d", c)
	}
}
