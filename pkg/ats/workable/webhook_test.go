package workable_test

import (
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats/workable"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func body(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/webhooks/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignature(t *testing.T) {
	t.Parallel()
	text := body(t, "candidate_moved")
	valid := workable.Sign(text, "token")
	for name, c := range map[string]struct {
		signature string
		body      []byte
		secrets   []string
		ok        bool
	}{
		"signed":         {valid, text, []string{"token"}, true},
		"rotated":        {valid, text, []string{"new", "token"}, true},
		"another body":   {valid, append([]byte(" "), text...), []string{"token"}, false},
		"another secret": {valid, text, []string{"other"}, false},
		"no secret":      {valid, text, nil, false},
		"none":           {"", text, []string{"token"}, false},
	} {
		h := http.Header{}
		h.Set(workable.SignatureHeader, c.signature)
		if err := (workable.Webhooks{Secrets: c.secrets}).Verify(h, c.body, now); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	hooks := workable.Webhooks{System: "wk-main"}
	for file, c := range map[string]struct{ id, kind string }{"candidate_moved": {"4f6a1c", "application.stage_changed"}, "candidate_created": {"4f6a1b", "application.created"}} {
		want := []webhook.Event{{Change: &wire.AtsChange{
			ID: c.id, Source: "/ats/wk-main", Type: c.kind, System: "wk-main", ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt,
			ApplicationID: "wk-main/ce4da98", CandidateID: "ce4da98", Requisition: wire.Requisition{ID: "GROOV003"},
		}}}
		got, err := hooks.Parse(nil, body(t, file), now)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", file, err, diff)
		}
	}
	for name, c := range map[string]struct {
		body    string
		problem webhook.Problem
	}{
		"an employee":   {`{"event_type":"employee_created","data":{}}`, webhook.ProblemAction},
		"nobody":        {`{"event_type":"candidate_moved","data":{}}`, webhook.ProblemNoID},
		"no data":       {`{"event_type":"candidate_moved"}`, webhook.ProblemNoID},
		"an id as path": {`{"event_type":"candidate_moved","data":{"id":"../x"}}`, webhook.ProblemNoID},
		"data as text":  {`{"event_type":"candidate_moved","data":"x"}`, webhook.ProblemBadField},
		"no event":      {`{}`, webhook.ProblemMalformed},
	} {
		_, err := hooks.Parse(nil, []byte(c.body), now)
		var w *webhook.Error
		if !errors.As(err, &w) || w.Problem != c.problem {
			t.Errorf("%s: %v, want %s", name, err, c.problem)
		}
	}
}
