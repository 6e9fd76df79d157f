package atssim_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats/atssim"
)

func serve(t *testing.T, cfg atssim.Config) (*atssim.Server, string) {
	t.Helper()
	s, err := atssim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return s, srv.URL
}

func call(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return res, b.String()
}

func bearer(t *testing.T, url string) string {
	t.Helper()
	res, body := call(t, "POST", strings.Replace(url, "http://", "http://concord:secret@", 1)+"/token", "grant_type=client_credentials")
	var out struct {
		AccessToken string `json:"access_token"`
	}
	if res.StatusCode != 200 || json.Unmarshal([]byte(body), &out) != nil {
		t.Fatalf("token: %d %s", res.StatusCode, body)
	}
	return "Bearer " + out.AccessToken
}

// An outside program seeds, drives and audits the simulator over HTTP alone.
func TestControlOverHTTP(t *testing.T) {
	t.Parallel()
	_, url := serve(t, atssim.Config{})
	res, body := call(t, "POST", url+"/_sim/applications", `[{"id":1,"stage_id":1002},{"id":2,"status":"hired"}]`)
	if res.StatusCode != 200 || !strings.Contains(body, `"seeded":2`) {
		t.Fatalf("array: %d %s", res.StatusCode, body)
	}
	if res, body := call(t, "POST", url+"/_sim/applications", `{"id":3}`+"\n"+`{"id":4}`+"\n"); !strings.Contains(body, `"seeded":2`) {
		t.Fatalf("lines: %d %s", res.StatusCode, body)
	}
	if res, _ := call(t, "POST", url+"/_sim/applications", `[{"id":0}]`); res.StatusCode != 400 {
		t.Errorf("id 0: %d", res.StatusCode)
	}
	res, body = call(t, "POST", url+"/_sim/actions", `[
		{"kind":"move","application":1,"stage":71416,"actor":{"kind":"integration","id":"robot"}},
		{"kind":"reject","application":2},
		{"kind":"edit","application":1,"fields":{"screening_score":7}}]`)
	var acted struct{ Results []atssim.Result }
	if err := json.Unmarshal([]byte(body), &acted); err != nil || res.StatusCode != 422 || len(acted.Results) != 3 || !acted.Results[0].OK || acted.Results[1].OK || !acted.Results[2].OK {
		t.Fatalf("actions: %d %s", res.StatusCode, body)
	}
	auth := bearer(t, url)
	if res, body := call(t, "POST", url+"/v3/applications/1/move", `{"from_stage_id":71416,"to_stage_id":1004}`, "Authorization", auth, "X-Request-Id", "mine"); res.StatusCode != 204 || body != "" {
		t.Errorf("move: %d %s", res.StatusCode, body)
	}

	_, body = call(t, "GET", url+"/_sim/applications", "")
	var apps []atssim.Application
	if err := json.Unmarshal([]byte(body), &apps); err != nil || len(apps) != 4 || apps[0].StageID != 1004 || string(apps[0].Fields["screening_score"]) != "7" || apps[1].Status != "hired" {
		t.Errorf("store: %v %s", err, body)
	}
	if _, body := call(t, "GET", url+"/_sim/applications?format=jsonl", ""); strings.Count(body, "\n") != 4 {
		t.Errorf("store as lines: %s", body)
	}
	if res, body := call(t, "GET", url+"/_sim/applications/1", ""); res.StatusCode != 200 || !strings.Contains(body, `"stage_id":1004`) {
		t.Errorf("one: %d %s", res.StatusCode, body)
	}
	if res, _ := call(t, "GET", url+"/_sim/applications/9", ""); res.StatusCode != 404 {
		t.Errorf("none: %d", res.StatusCode)
	}

	entries := journal(t, url+"/_sim/journal?type=mutation")
	if len(entries) != 3 {
		t.Fatalf("%d mutations, want 3: %+v", len(entries), entries)
	}
	robot, api := entries[0], entries[2]
	if *robot.Actor != (atssim.Actor{Kind: "integration", ID: "robot"}) || robot.From.Stage != 1002 || robot.To.Stage != 71416 {
		t.Errorf("%+v", robot)
	}
	if api.RequestID != "mine" || api.Actor.Kind != "api" || api.From.Stage != 71416 || api.To.Stage != 1004 || string(api.From.Fields["screening_score"]) != "7" {
		t.Errorf("%+v", api)
	}
	if all := journal(t, fmt.Sprintf("%s/_sim/journal?since=%d", url, api.Seq)); len(all) != 1 || all[0].Kind != "move" || all[0].Status != 204 || all[0].RequestID != "mine" {
		t.Errorf("after the change stands its request: %+v", all)
	}

	if res, _ := call(t, "POST", url+"/_sim/faults", `{"rates":{"lost_write":2}}`); res.StatusCode != 400 {
		t.Errorf("rate 2: %d", res.StatusCode)
	}
	if res, _ := call(t, "POST", url+"/_sim/faults", `{"rates":{"gremlins":0.1}}`); res.StatusCode != 400 {
		t.Errorf("unknown fault: %d", res.StatusCode)
	}
	if res, body := call(t, "POST", url+"/_sim/faults", `{"rates":{"lost_write":1},"revoked":true}`); res.StatusCode != 200 || !strings.Contains(body, `"revoked":true`) || !strings.Contains(body, `"lost_write":1`) {
		t.Errorf("set: %d %s", res.StatusCode, body)
	}
	if res, _ := call(t, "GET", url+"/v3/applications?ids=1", "", "Authorization", auth); res.StatusCode != 401 {
		t.Errorf("revoked: %d", res.StatusCode)
	}
}

func journal(t *testing.T, url string) []atssim.Entry {
	t.Helper()
	_, body := call(t, "GET", url, "")
	var out []atssim.Entry
	for in := bufio.NewScanner(strings.NewReader(body)); in.Scan(); {
		var e atssim.Entry
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			t.Fatalf("%v: %s", err, in.Text())
		}
		out = append(out, e)
	}
	return out
}

func TestJournalReportsWhatItsCapCost(t *testing.T) {
	t.Parallel()
	s, url := serve(t, atssim.Config{MaxJournal: 8})
	for id := range int64(20) {
		s.Act(atssim.Action{Kind: "create", New: &atssim.Application{ID: id + 1}})
	}
	res, _ := call(t, "GET", url+"/_sim/journal", "")
	if h := res.Header; h.Get("X-Sim-Journal-First") != "13" || h.Get("X-Sim-Journal-Last") != "20" || h.Get("X-Sim-Journal-Dropped") != "12" {
		t.Errorf("%v", h)
	}
	entries := journal(t, url+"/_sim/journal?since=3")
	if len(entries) != 8 {
		t.Fatalf("%d entries, want 8", len(entries))
	}
	for i, e := range entries {
		if e.Seq != uint64(13+i) || e.Application != int64(13+i) {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
}

func TestStatusRules(t *testing.T) {
	t.Parallel()
	s, url := serve(t, atssim.Config{Fields: []atssim.FieldDef{{ID: 1, Key: "level", Type: "single_select", Options: []string{"Junior"}}}})
	auth := bearer(t, url)
	for i, status := range []string{"active", "rejected", "hired"} {
		if err := s.Seed(atssim.Application{ID: int64(i + 1), StageID: 1002, Status: status}); err != nil {
			t.Fatal(err)
		}
	}
	const active, rejected, hired = 1, 2, 3
	for _, c := range []struct {
		id               int
		op, body, blamed string
	}{
		{active, "move", `{"to_stage_id":1004}`, "from_stage_id"},
		{active, "move", `{"from_stage_id":1001,"to_stage_id":1004}`, "from_stage_id"},
		{active, "move", `{"from_stage_id":1002,"to_stage_id":7}`, "to_stage_id"},
		{active, "unreject", `{}`, "status"},
		{active, "reject", `{}`, "rejection_reason_id"},
		{active, "reject", `{"rejection_reason_id":99}`, "rejection_reason_id"},
		{active, "", `{"custom_fields":[{"id":2,"value":"x"}]}`, "custom_fields"},
		{active, "", `{"custom_fields":[{"id":1,"value":"Senior"}]}`, "custom_fields"},
		{rejected, "move", `{"from_stage_id":1002,"to_stage_id":1004}`, "status"},
		{rejected, "reject", `{"rejection_reason_id":8}`, "status"},
		{hired, "unreject", `{}`, "status"},
		{hired, "hire", `{}`, "status"},
	} {
		method, url := "POST", fmt.Sprintf("%s/v3/applications/%d/%s", url, c.id, c.op)
		if c.op == "" {
			method, url = "PATCH", strings.TrimSuffix(url, "/")
		}
		res, body := call(t, method, url, c.body, "Authorization", auth)
		if res.StatusCode != 422 || !strings.Contains(body, `"field":"`+c.blamed+`"`) {
			t.Errorf("%s %s: %d %s, want 422 for %s", c.op, c.body, res.StatusCode, body, c.blamed)
		}
	}
	for _, e := range s.Journal(0) {
		if e.Type == atssim.EntryMutation {
			t.Errorf("a refused write changed something: %+v", e)
		}
	}
	if res, _ := call(t, "POST", url+"/v3/applications/1/move", `{"from_stage_id":1002}`, "Authorization", auth); res.StatusCode != 204 {
		t.Errorf("advance: %d", res.StatusCode)
	}
	if a, _ := s.Application(1); a.StageID != 71416 {
		t.Errorf("advanced to %d", a.StageID)
	}
}

func TestActionsInTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, err := atssim.New(atssim.Config{Now: func() time.Time { return now }, ClockOffset: 300 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Seed(atssim.Application{ID: 1, AppliedAt: now.Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	past := now.Add(-time.Minute)
	r := s.Act(atssim.Action{Kind: "reject", Application: 1, At: past})
	if want := past.Add(300 * time.Second).UnixMicro(); !r.OK || r.Version != want {
		t.Errorf("%+v, want the ATS's own time %d", r, want)
	}
	if again := s.Act(atssim.Action{Kind: "unreject", Application: 1, At: past}); again.Version != r.Version {
		t.Errorf("a tie was broken: %+v", again)
	}
	if r := s.Act(atssim.Action{Kind: "move", Application: 1, Stage: 1004, At: now.Add(time.Second)}); !r.Scheduled {
		t.Errorf("%+v", r)
	}
	if r := s.Act(atssim.Action{Kind: "move", Application: 1, Stage: 1002, At: now.Add(time.Millisecond)}); !r.Scheduled {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		after time.Duration
		stage int64
	}{{0, 1001}, {2 * time.Millisecond, 1002}, {time.Second, 1004}} {
		now = now.Add(c.after)
		if a, _ := s.Application(1); a.StageID != c.stage {
			t.Errorf("after %v: stage %d, want %d", c.after, a.StageID, c.stage)
		}
	}
}

func TestListPages(t *testing.T) {
	t.Parallel()
	s, url := serve(t, atssim.Config{})
	for _, id := range []int64{5, 1, 4, 2, 3} {
		if err := s.Seed(atssim.Application{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	s.Act(atssim.Action{Kind: "delete", Application: 4})
	auth := bearer(t, url)
	var got []int64
	next := "/v3/applications?per_page=2"
	for pages := 0; next != "" && pages < 5; pages++ {
		res, body := call(t, "GET", url+next, "", "Authorization", auth)
		var rows []struct{ ID int64 }
		if err := json.Unmarshal([]byte(body), &rows); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		for _, r := range rows {
			got = append(got, r.ID)
		}
		next, _, _ = strings.Cut(strings.TrimPrefix(res.Header.Get("Link"), "<"), ">")
		if next != "" {
			if res, _ := call(t, "GET", url+next+"&per_page=2", "", "Authorization", auth); res.StatusCode != 422 {
				t.Errorf("a cursor with another parameter: %d", res.StatusCode)
			}
		}
	}
	if fmt.Sprint(got) != "[5 3 2 1]" {
		t.Errorf("listed %v", got)
	}
}

func TestServeStopsWithItsContext(t *testing.T) {
	t.Parallel()
	s, err := atssim.New(atssim.Config{Faults: atssim.Rates{atssim.FaultTimeoutAfter: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Seed(atssim.Application{ID: 1}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	url := "http://" + l.Addr().String()
	auth := bearer(t, url)
	hung := make(chan error, 1)
	go func() {
		req, err := http.NewRequest("POST", url+"/v3/applications/1/hire", nil)
		if err == nil {
			req.Header.Set("Authorization", auth)
			_, err = http.DefaultClient.Do(req)
		}
		hung <- err
	}()
	until(t, "the hire happened", func() bool { a, _ := s.Application(1); return a.Status == "hired" })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-hung; err == nil {
		t.Error("the silent answer was answered")
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := atssim.New(atssim.Config{
		Faults: atssim.Rates{"gremlins": 0.1, atssim.FaultLatency: -1}, Hang: -1, RateLimit: atssim.RateLimit{Requests: 1},
		Stages: []atssim.Stage{{ID: 1}, {ID: 1}}, Webhooks: atssim.WebhookConfig{URL: "nowhere", Drop: 2},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"gremlins", "latency", "hang", "rate limit", "stage 1", "webhook url", "secret", "drop"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}
