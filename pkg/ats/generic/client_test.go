package generic_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/generic"
	"github.com/concord-ats/concord/pkg/wire"
)

// wireLog is an ATS that answers what it is told, and remembers what it was asked, with the header a test is about.
type wireLog struct {
	mu      sync.Mutex
	answers map[string]answer // by method and URL
	header  string
	asked   []string
}

type answer struct {
	status int
	body   string
	header http.Header
}

// ServeHTTP implements http.Handler.
func (l *wireLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	line := r.Method + " " + r.URL.RequestURI()
	a, ok := l.answers[line]
	if l.header != "" && r.Header.Get(l.header) != "" {
		line += " " + r.Header.Get(l.header)
	}
	l.asked = append(l.asked, strings.TrimSpace(line+" "+string(body)))
	if !ok {
		a.status = http.StatusNotFound
	}
	for k, v := range a.header {
		w.Header()[k] = v
	}
	w.WriteHeader(max(a.status, http.StatusOK))
	_, _ = io.WriteString(w, a.body)
}

// took returns what was asked since the last time, and forgets it.
func (l *wireLog) took() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.asked
	l.asked = nil
	return out
}

// frame is a description around the parts a test is about.
const frame = `
name: test
auth: {scheme: bearer}
record: {stage: /stage, status: [{is: rejected, at: /rejected}, {is: active}], reason: /rejected, candidate: /person, updated_at: /at, fields: {at: "/fields/{key}"}}
read: {request: "GET /a/{id}"}
list: {request: GET /a, query: {since: "{since}"}}
`

// instead replaces the lines of the frame whose keys are given anew, and adds the others.
func instead(parts string) string {
	out := frame
	for line := range strings.Lines(parts) {
		key, _, ok := strings.Cut(line, ":")
		if !ok || strings.HasPrefix(line, " ") {
			continue
		}
		for old := range strings.Lines(out) {
			if strings.HasPrefix(old, key+":") {
				out = strings.Replace(out, old, "", 1)
			}
		}
	}
	return out + strings.TrimLeft(parts, "\n")
}

func open(t *testing.T, parts string, answers map[string]answer, more ...func(*generic.Config)) (*generic.Client, *wireLog) {
	t.Helper()
	d, err := generic.Parse("ats.yaml", []byte(instead(parts)))
	if err != nil {
		t.Fatal(err)
	}
	l := &wireLog{answers: answers}
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	cfg := generic.Config{Description: d, BaseURL: srv.URL, ClientSecret: "s3cret", Mapping: ats.Mapping{
		System: "test", RejectReason: "8", WithdrawReasons: []string{"40"},
		Fields: []ats.Field{{Element: "score", Key: "score", Type: ats.FieldNumber}, {Element: "advice", Key: "a/b"}, {Element: "summary", Type: ats.FieldNote}},
	}}
	for _, change := range more {
		change(&cfg)
	}
	c, err := generic.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, l
}

const openOne = `{"id":"7","stage":"s1","person":9,"at":"2026-03-01T10:00:00Z","fields":{"score":81.50,"a/b":"yes"}}`

// What a record shows, and what it cannot be taken for.
func TestReading(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC) // cut to the second, which is over when it is read
	for name, c := range map[string]struct {
		parts, body string
		stage       string
		status      wire.ApplicationStatus
		reason      string
		elements    []wire.Element
		version     int64
		code        ats.Code
	}{
		"open":                       {body: openOne, stage: "s1", status: wire.ApplicationStatusActive, elements: []wire.Element{{Name: "advice", Value: "yes"}, {Name: "score", Value: "81.5"}}, version: at.UnixMicro() + 999_999},
		"rejected":                   {body: `{"id":7,"stage":"s1","rejected":8,"fields":{}}`, stage: "s1", status: wire.ApplicationStatusRejected, reason: "8", elements: []wire.Element{{Name: "advice"}, {Name: "score"}}},
		"withdrawn by its reason":    {body: `{"id":"7","rejected":"40","fields":null}`, status: wire.ApplicationStatusWithdrawn, reason: "40"},
		"no place for fields":        {body: `{"id":"7","stage":null}`, status: wire.ApplicationStatusActive},
		"a stage of another shape":   {body: `{"id":"7","stage":{"id":"s1"}}`, code: ats.CodeBadResponse},
		"open without a stage":       {body: `{"id":"7"}`, code: ats.CodeBadResponse},
		"a time that is none":        {body: `{"id":"7","stage":"s1","at":"soon"}`, code: ats.CodeBadResponse},
		"another application":        {body: `{"id":"8","stage":"s1"}`, code: ats.CodeBadResponse},
		"fields of another shape":    {body: `{"id":"7","stage":"s1","fields":[]}`, code: ats.CodeBadResponse},
		"an id with a path":          {body: `{"id":"7/../8","stage":"s1"}`, code: ats.CodeBadResponse},
		"more than one value":        {body: openOne + openOne, code: ats.CodeBadResponse},
		"below a member":             {parts: "read: {request: 'GET /a/{id}', record: /data/0}", body: `{"data":[` + openOne + `]}`, stage: "s1", status: wire.ApplicationStatusActive, elements: []wire.Element{{Name: "advice", Value: "yes"}, {Name: "score", Value: "81.5"}}, version: at.UnixMicro() + 999_999},
		"an empty list is nobody":    {parts: "read: {request: 'GET /a/{id}', record: /data/0}", body: `{"data":[]}`, code: ats.CodeNotFound},
		"no list is no answer":       {parts: "read: {request: 'GET /a/{id}', record: /data/0}", body: `{"data":{}}`, code: ats.CodeBadResponse},
		"seconds":                    {parts: "times: unix", body: `{"id":"7","stage":"s1","at":1772359200}`, stage: "s1", status: wire.ApplicationStatusActive, version: 1772359200_999_999},
		"a finer time":               {body: `{"id":"7","stage":"s1","at":"2026-03-01T10:00:00.000Z"}`, stage: "s1", status: wire.ApplicationStatusActive, version: at.UnixMicro()},
		"milliseconds":               {parts: "times: unix_ms", body: `{"id":"7","stage":"s1","at":1772359200125}`, stage: "s1", status: wire.ApplicationStatusActive, version: 1772359200_125_000},
		"a revision":                 {parts: "record: {stage: /stage, status: [{is: active}], revision: /at}", body: `{"id":"7","stage":"s1","at":17}`, stage: "s1", status: wire.ApplicationStatusActive, version: 17},
		"a revision that is none":    {parts: "record: {stage: /stage, status: [{is: active}], revision: /at}", body: `{"id":"7","stage":"s1","at":"x"}`, code: ats.CodeBadResponse},
		"fields in a list":           {parts: "record: {stage: /stage, status: [{is: active}], fields: {list: /f, key: /k, value: /v}}", body: `{"id":"7","stage":"s1","f":[{"k":"score","v":"7.0"}]}`, stage: "s1", status: wire.ApplicationStatusActive, elements: []wire.Element{{Name: "advice"}, {Name: "score", Value: "7"}}},
		"a status by its value":      {parts: "record: {stage: /stage, status: [{is: hired, at: /done, in: [true]}, {is: active, at: /done, in: [false]}]}", body: `{"id":"7","stage":"s1","done":true}`, stage: "s1", status: wire.ApplicationStatusHired},
		"a status nobody knows":      {parts: "record: {stage: /stage, status: [{is: hired, at: /done, in: [true]}, {is: active, at: /open}]}", body: `{"id":"7","stage":"s1","done":"x"}`, stage: "s1", status: wire.ApplicationStatusUnspecified},
		"a name with a slash in it":  {parts: "record: {stage: /a~1b/~0, status: [{is: active}]}", body: `{"id":"7","a/b":{"~":"s1"}}`, stage: "s1", status: wire.ApplicationStatusActive},
		"a failure under 200":        {parts: "answers: [{status: 2xx, at: /ok, in: [false], means: invalid}]", body: `{"ok":false}`, code: ats.CodeBadResponse},
		"nobody there, under 200":    {parts: "answers: [{status: 200, at: /error, in: [no_such], means: not_found}]", body: `{"error":"no_such"}`, code: ats.CodeNotFound},
		"a rule that does not match": {parts: "answers: [{status: 200, at: /error, means: not_found}]", body: openOne, stage: "s1", status: wire.ApplicationStatusActive, elements: []wire.Element{{Name: "advice", Value: "yes"}, {Name: "score", Value: "81.5"}}, version: at.UnixMicro() + 999_999},
	} {
		client, _ := open(t, c.parts, map[string]answer{"GET /a/7": {body: c.body}})
		got, err := client.Read(t.Context(), "7")
		if ats.CodeOf(err) != c.code || err != nil && ats.ClassOf(err) == ats.Unknown {
			t.Errorf("%s: %v, want %q", name, err, c.code)
			continue
		}
		want := wire.Tuple{Stage: c.stage, Status: c.status, Reason: c.reason, Elements: c.elements, Version: c.version}
		if diff := cmp.Diff(want, got.Tuple); c.code == "" && diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// An application's id can have several parts, each of which an address can name.
func TestIDOfParts(t *testing.T) {
	t.Parallel()
	client, l := open(t, `
id: {form: "{job}-{number}", at: {job: /job, number: /number}}
read: {request: "GET /jobs/{job}/people/{number}", query: {of: "{id}"}}
`, map[string]answer{
		"GET /jobs/12/people/7?of=12-7": {body: `{"job":12,"number":"7","stage":"s1"}`},
		"GET /a":                        {body: `[{"job":12,"number":"7","stage":"s1"}]`},
	})
	if got, err := client.Read(t.Context(), "12-7"); err != nil || got.Tuple.Stage != "s1" {
		t.Errorf("%+v, %v", got, err)
	}
	page, err := client.ListChanged(t.Context(), ats.Cursor{})
	if err != nil || len(page.Changed) != 1 || page.Changed[0].ApplicationID != "12-7" {
		t.Errorf("%+v, %v", page, err)
	}
	l.took()
	for _, id := range []string{"127", "12-", "-7", "12-7/x", ""} {
		if _, err := client.Read(t.Context(), id); ats.CodeOf(err) != ats.CodeInvalid || len(l.took()) > 0 {
			t.Errorf("%q: %v", id, err)
		}
	}
	// A part that holds what stands between the parts could be another's.
	client, _ = open(t, `id: {form: "{job}-{number}", at: {job: /job, number: /number}}`, map[string]answer{"GET /a": {body: `[{"job":"1-2","number":"7","stage":"s1"}]`}})
	if _, err := client.ListChanged(t.Context(), ats.Cursor{}); ats.CodeOf(err) != ats.CodeBadResponse {
		t.Errorf("%v", err)
	}
}

// Callers are admitted in each of the ways there are, and the secret is in no error.
func TestAuth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		auth, id, header, want string
	}{
		"bearer":    {"auth: {scheme: bearer}", "", "Authorization", "Bearer s3cret"},
		"basic":     {"auth: {scheme: basic}", "me", "Authorization", "Basic bWU6czNjcmV0"},
		"basic key": {"auth: {scheme: basic}", "", "Authorization", "Basic czNjcmV0Og=="},
		"header":    {"auth: {scheme: header, header: X-Token, prefix: 'Key '}", "", "X-Token", "Key s3cret"},
		"oauth2":    {"auth: {scheme: oauth2, token: /token, form: {scope: all}}", "me", "Authorization", "Bearer abc"},
		"a header":  {"headers: {X-Tenant: acme, X-As: '{user}'}", "", "X-As", "u1"},
	} {
		client, l := open(t, c.auth, map[string]answer{"GET /a/7": {status: 500}, "POST /token": {body: `{"access_token":"abc","expires_in":60}`}}, func(cfg *generic.Config) {
			cfg.ClientID, cfg.UserID = c.id, "u1"
		})
		l.header = c.header
		_, err := client.Read(t.Context(), "7")
		asked := l.took()
		if last := asked[len(asked)-1]; last != "GET /a/7 "+c.want {
			t.Errorf("%s: %q", name, asked)
		}
		if err == nil || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "abc") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "oauth2" && !strings.Contains(asked[0], "grant_type=client_credentials&scope=all") {
			t.Errorf("%s: %q", name, asked[0])
		}
	}
	for name, c := range map[string]struct{ parts, want string }{
		"no client":  {"auth: {scheme: oauth2, token: /token}", "client id"},
		"no address": {"auth: {scheme: oauth2}", "token url"},
		"no user":    {"headers: {X-As: '{user}'}", "user id"},
	} {
		d, err := generic.Parse("ats.yaml", []byte(instead(c.parts)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = generic.New(generic.Config{Description: d, BaseURL: "https://ats.example", ClientSecret: "s3cret", Mapping: ats.Mapping{System: "test"}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Lists go on in each of the ways there are, at the configured host alone, and end.
func TestPages(t *testing.T) {
	t.Parallel()
	row := func(id string) string {
		return `{"id":"` + id + `","stage":"s1","at":"2026-03-01T10:00:0` + id + `Z"}`
	}
	since := ats.Cursor{Since: time.Date(2026, 3, 1, 10, 0, 2, 0, time.UTC)}
	link := func(to string) http.Header {
		return http.Header{"Link": {`<https://x/a?p=0>; rel="prev", <` + to + `>; rel=next`}}
	}
	for name, c := range map[string]struct {
		parts   string
		answers map[string]answer
		ids     string
		broken  bool
	}{
		"one page":       {"", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: "[" + row("2") + "]"}}, "2", false},
		"sifted":         {"list: {request: GET /a}", map[string]answer{"GET /a": {body: "[" + row("1") + "," + row("2") + "," + row("3") + "]"}}, "2 3", false},
		"a cursor":       {"list: {request: GET /a, records: /rows, query: {since: '{since}'}, pages: {by: cursor, next: /next, parameter: c}}", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: `{"rows":[` + row("2") + `],"next":"x&y"}`}, "GET /a?c=x%26y&since=2026-03-01T10%3A00%3A02.000Z": {body: `{"rows":[` + row("3") + `],"next":null}`}}, "2 3", false},
		"a cursor alone": {"list: {request: GET /a, records: /rows, query: {since: '{since}'}, pages: {by: cursor, next: /next, parameter: c, alone: true}}", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: `{"rows":[` + row("2") + `],"next":5}`}, "GET /a?c=5": {body: `{"rows":[` + row("3") + `]}`}}, "2 3", false},
		"the same again": {"list: {request: GET /a, records: /rows, query: {since: '{since}'}, pages: {by: cursor, next: /next, parameter: c, alone: true}}", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: `{"rows":[],"next":5}`}, "GET /a?c=5": {body: `{"rows":[],"next":5}`}}, "", true},
		"numbers":        {"list: {request: GET /a, query: {since: '{since}'}, pages: {by: page, parameter: p, size: 2, first: 0}}", map[string]answer{"GET /a?p=0&since=2026-03-01T10%3A00%3A02.000Z": {body: "[" + row("2") + "," + row("3") + "]"}, "GET /a?p=1&since=2026-03-01T10%3A00%3A02.000Z": {body: "[" + row("4") + "]"}}, "2 3 4", false},
		"a link":         {"list: {request: GET /a, query: {since: '{since}'}, pages: {by: link}}", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: "[" + row("2") + "]", header: link("https://elsewhere.example/b?p=2")}, "GET /a?p=2": {body: "[" + row("3") + "]"}}, "2 3", false},
		"an address":     {"list: {request: GET /a, records: /rows, query: {since: '{since}'}, pages: {by: link, next: /next}}", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: `{"rows":[` + row("2") + `],"next":"https://elsewhere.example/?p=2"}`}, "GET /a?p=2": {body: `{"rows":[` + row("3") + `],"next":""}`}}, "2 3", false},
		"a link to it":   {"list: {request: GET /a, query: {since: '{since}'}, pages: {by: link}}", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: "[]", header: link("/a?since=2026-03-01T10%3A00%3A02.000Z")}}, "", true},
		"a bare link":    {"list: {request: GET /a, query: {since: '{since}'}, pages: {by: link}}", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: "[]", header: link("/a/2")}}, "", true},
		"no list":        {"", map[string]answer{"GET /a?since=2026-03-01T10%3A00%3A02.000Z": {body: "{}"}}, "", true},
	} {
		client, l := open(t, c.parts, c.answers)
		var ids []string
		var err error
		more := true
		for at := since; more && err == nil && len(ids) < 10; {
			var page ats.Page
			page, err = client.ListChanged(t.Context(), at)
			for _, x := range page.Changed {
				ids = append(ids, x.ApplicationID)
			}
			more, at = page.More, page.Next
		}
		if (err != nil) != c.broken || !c.broken && strings.Join(ids, " ") != c.ids || err != nil && ats.CodeOf(err) != ats.CodeBadResponse {
			t.Errorf("%s: %q, %v; asked %q", name, ids, err, l.took())
		}
	}
}

// What is sent for each write, and what its answers mean.
func TestWrites(t *testing.T) {
	t.Parallel()
	shown := wire.Tuple{Stage: "4", Status: wire.ApplicationStatusActive, Version: 1}
	score := wire.Tuple{Elements: []wire.Element{{Name: "score", Value: "7"}, {Name: "advice", Value: "no"}}}
	for name, c := range map[string]struct {
		parts   string
		desired wire.Tuple
		answer  map[string]answer
		asked   []string
		class   ats.Class
		code    ats.Code
	}{
		"texts and numbers": {
			parts: "writes: {move: {request: 'PUT /a/{id}/stage', query: {as: '{user}'}, body: {to: ['{stage:number}', '{stage}', 1.50, true, 'x {stage} y', '{null}']}}}", desired: wire.Tuple{Stage: "05"},
			asked: []string{`PUT /a/7/stage?as=u+1 {"to":[5,"05",1.50,true,"x 05 y",null]}`},
		},
		"a number that is none": {
			parts: "writes: {move: {request: 'PUT /a/{id}', body: {to: '{stage:number}'}}}", desired: wire.Tuple{Stage: "new"}, class: ats.Refused, code: ats.CodeInvalid,
		},
		"a stage in the path": {
			parts: "writes: {move: {request: 'POST /a/{id}/to/{stage}'}}", desired: wire.Tuple{Stage: "a b/c?d"}, asked: []string{"POST /a/7/to/a%20b%2Fc%3Fd {}"},
		},
		"a path that would lead elsewhere": {
			parts: "writes: {move: {request: 'POST /a/{id}/to/{stage}'}}", desired: wire.Tuple{Stage: ".."}, class: ats.Refused, code: ats.CodeInvalid,
		},
		"a path with nothing in it": {
			parts: "writes: {hire: {request: 'POST /a/{id}/to/{reason}'}}", desired: wire.Tuple{Status: wire.ApplicationStatusHired}, class: ats.Refused, code: ats.CodeInvalid,
		},
		"a withdrawal of its own": {
			parts: "writes: {reject: {request: 'POST /a/{id}/no'}, withdraw: {request: 'POST /a/{id}/bye', body: {why: '{reason}'}}}", desired: wire.Tuple{Status: wire.ApplicationStatusWithdrawn}, asked: []string{`POST /a/7/bye {"why":"40"}`},
		},
		"a withdrawal as a rejection": {
			parts: "writes: {reject: {request: 'POST /a/{id}/no', body: {why: '{reason}'}}}", desired: wire.Tuple{Status: wire.ApplicationStatusWithdrawn}, asked: []string{`POST /a/7/no {"why":"40"}`},
		},
		"what is not described": {
			parts: "writes: {reject: {request: 'POST /a/{id}/no'}}", desired: wire.Tuple{Stage: "5"}, class: ats.Refused, code: ats.CodeUnsupported,
		},
		"fields as an object": {
			parts: "writes: {elements: {request: 'PATCH /a/{id}', headers: {Content-Type: application/merge-patch+json}, body: {fields: '{fields}'}}}", desired: score, asked: []string{`PATCH /a/7 {"fields":{"a/b":"no","score":7}}`},
		},
		"fields as a list": {
			parts: "writes: {elements: {request: 'PATCH /a/{id}', body: '{fields}', field: {k: '{key}', v: ['{value}']}}}", desired: score, asked: []string{`PATCH /a/7 [{"k":"score","v":[7]},{"k":"a/b","v":["no"]}]`},
		},
		"each field by itself": {
			parts: "writes: {elements: {request: 'PUT /a/{id}/f/{key}', body: {v: '{value}'}}}", desired: score, asked: []string{`PUT /a/7/f/score {"v":7}`, `PUT /a/7/f/a%2Fb {"v":"no"}`},
		},
		"each field, the first refused": {
			parts: "writes: {elements: {request: 'PUT /a/{id}/f/{key}', body: {v: '{value}'}}}", desired: score, answer: map[string]answer{"PUT /a/7/f/score": {status: 400}}, asked: []string{`PUT /a/7/f/score {"v":7}`}, class: ats.Refused, code: ats.CodeInvalid,
		},
		"a refusal that a rule explains": {
			parts: "writes: {move: {request: 'PUT /a/{id}', body: {to: '{stage}'}}}\nanswers: [{status: 4xx, at: /code, in: [closed], means: not_applicable}, {status: 400, means: stale}]", desired: wire.Tuple{Stage: "5"},
			answer: map[string]answer{"PUT /a/7": {status: 400, body: `{"code":"closed"}`}}, asked: []string{`PUT /a/7 {"to":"5"}`}, class: ats.Refused, code: ats.CodeNotApplicable,
		},
		"the next rule": {
			parts: "writes: {move: {request: 'PUT /a/{id}', body: {to: '{stage}'}}}\nanswers: [{status: 4xx, at: /code, in: [closed], means: not_applicable}, {status: 400, means: stale}]", desired: wire.Tuple{Stage: "5"},
			answer: map[string]answer{"PUT /a/7": {status: 400, body: `<html>`}}, asked: []string{`PUT /a/7 {"to":"5"}`}, class: ats.NotExecuted, code: ats.CodeStaleVersion,
		},
		"a success that failed": {
			parts: "writes: {move: {request: 'PUT /a/{id}', body: {to: '{stage}'}}}\nanswers: [{status: 2xx, at: /ok, in: [false], means: invalid}]", desired: wire.Tuple{Stage: "5"},
			answer: map[string]answer{"PUT /a/7": {body: `{"ok":false}`}}, asked: []string{`PUT /a/7 {"to":"5"}`}, class: ats.Refused, code: ats.CodeInvalid,
		},
		"an unknown outcome": {
			parts: "writes: {move: {request: 'PUT /a/{id}', body: {to: '{stage}'}}}\nanswers: [{status: 409, means: unknown}]", desired: wire.Tuple{Stage: "5"},
			answer: map[string]answer{"PUT /a/7": {status: 409}}, asked: []string{`PUT /a/7 {"to":"5"}`}, class: ats.Unknown, code: ats.CodeServerError,
		},
		"a 5xx that is promised to do nothing": {
			parts: "writes: {move: {request: 'PUT /a/{id}', body: {to: '{stage}'}}}\nanswers: [{status: 5xx, means: not_executed}]", desired: wire.Tuple{Stage: "5"},
			answer: map[string]answer{"PUT /a/7": {status: 503}}, asked: []string{`PUT /a/7 {"to":"5"}`}, class: ats.NotExecuted, code: ats.CodeServerError,
		},
		"412 is stale by itself": {
			parts: "writes: {move: {request: 'PUT /a/{id}', body: {to: '{stage}'}}}", desired: wire.Tuple{Stage: "5"},
			answer: map[string]answer{"PUT /a/7": {status: 412}}, asked: []string{`PUT /a/7 {"to":"5"}`}, class: ats.NotExecuted, code: ats.CodeStaleVersion,
		},
	} {
		answers := map[string]answer{
			"PUT /a/7/stage?as=u+1": {}, "POST /a/7/to/a%20b%2Fc%3Fd": {}, "POST /a/7/bye": {}, "POST /a/7/no": {}, "PATCH /a/7": {}, "PUT /a/7/f/score": {}, "PUT /a/7/f/a%2Fb": {},
		}
		for k, v := range c.answer {
			answers[k] = v
		}
		client, l := open(t, c.parts, answers, func(cfg *generic.Config) { cfg.UserID = "u 1" })
		err := client.Apply(t.Context(), "7", shown, c.desired)
		if diff := cmp.Diff(c.asked, l.took()); diff != "" {
			t.Errorf("%s: asked %s", name, diff)
		}
		if (err != nil) != (c.code != "") || ats.CodeOf(err) != c.code || err != nil && ats.ClassOf(err) != c.class {
			t.Errorf("%s: %v, want %s %s", name, err, c.class, c.code)
		}
	}
}

// Every write carries the version of the read right before it, and none is sent when that read shows something else than the
// caller expects.
func TestComparesVersions(t *testing.T) {
	t.Parallel()
	const parts = `
record: {stage: /stage, status: [{is: active}], updated_at: /at, revision: /rev}
compares: version
writes: {move: {request: "PUT /a/{id}", query: {if: "{revision}"}, headers: {If-Match: "{etag}"}, body: {to: "{stage}"}}, hire: {request: "POST /a/{id}/hire", body: {rev: "{revision:number}"}}}
`
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	body := `{"id":"7","stage":"s1","at":"2026-03-01T10:00:00Z","rev":17}`
	shown := wire.Tuple{Stage: "s1", Status: wire.ApplicationStatusActive, Version: at.UnixMicro()}
	tagged := http.Header{"Etag": {`"abc"`}}
	client, l := open(t, parts, map[string]answer{"GET /a/7": {body: body, header: tagged}, "PUT /a/7?if=17": {}})
	l.header = "If-Match"
	if err := client.Apply(t.Context(), "7", shown, wire.Tuple{Stage: "s2"}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"GET /a/7", `PUT /a/7?if=17 "abc" {"to":"s2"}`}, l.took()); diff != "" {
		t.Error(diff)
	}
	// The second write of one Apply is compared too: the ATS shows that the first one has not moved it.
	err := client.Apply(t.Context(), "7", shown, wire.Tuple{Stage: "s2", Status: wire.ApplicationStatusHired})
	var e *ats.Error
	if !errors.As(err, &e) || e.Class != ats.NotExecuted || e.Code != ats.CodeStaleVersion || e.Done != 1 || len(l.took()) != 3 {
		t.Errorf("%v", err)
	}
	for name, c := range map[string]struct {
		read   answer
		expect func(*wire.Tuple)
		code   ats.Code
	}{
		"another version":      {answer{body: body, header: tagged}, func(t *wire.Tuple) { t.Version-- }, ats.CodeStaleVersion},
		"another stage":        {answer{body: body, header: tagged}, func(t *wire.Tuple) { t.Stage, t.Version = "s0", 0 }, ats.CodeStaleVersion},
		"no version to carry":  {answer{body: body}, func(*wire.Tuple) {}, ats.CodeBadResponse},
		"a read that is amiss": {answer{status: 503}, func(*wire.Tuple) {}, ats.CodeServerError},
	} {
		client, l := open(t, parts, map[string]answer{"GET /a/7": c.read, "PUT /a/7?if=17": {}})
		expected := shown
		c.expect(&expected)
		err := client.Apply(t.Context(), "7", expected, wire.Tuple{Stage: "s2"})
		if ats.ClassOf(err) != ats.NotExecuted || ats.CodeOf(err) != c.code || len(l.took()) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	caps := client.Capabilities()
	if !caps.CASVersion || caps.Writes(ats.Difference{Stage: "x", Status: wire.ApplicationStatusHired}) != 4 {
		t.Errorf("%+v", caps)
	}
}

// Notes are found again by their marker, in the record or at an address of their own, page by page.
func TestNotes(t *testing.T) {
	t.Parallel()
	const note = `writes: {note: {request: "POST /a/{id}/notes", body: {text: "{note}", about: "{element}"}}}` + "\n"
	marked := func(text, at string) string { return `{"text":"[concord summary of 7]\n` + text + `","at":` + at + `}` }
	for name, c := range map[string]struct {
		parts   string
		answers map[string]answer
		want    string
	}{
		"in the record": {"notes: {list: /notes, text: /text, marker: '[concord {element} of {id}]'}", map[string]answer{
			"GET /a/7": {body: `{"id":"7","stage":"s1","notes":[` + marked("old", "9") + `,` + marked("new", "1") + `,{"text":"[concord summary of 8]\nanother's"}]}`},
		}, "new"},
		"by time, over pages": {"times: unix\nnotes: {request: 'GET /p/{candidate}/notes', text: /text, at: /at, pages: {by: page, parameter: p, size: 1}, marker: '[concord {element} of {id}]'}", map[string]answer{
			"GET /a/7": {body: openOne}, "GET /p/9/notes?p=1": {body: "[" + marked("new", "9") + "]"}, "GET /p/9/notes?p=2": {body: "[" + marked("old", "1") + "]"}, "GET /p/9/notes?p=3": {body: "[]"},
		}, "new"},
		"none": {"notes: {list: /notes, text: /text}", map[string]answer{"GET /a/7": {body: `{"id":"7","stage":"s1","notes":[]}`}}, ""},
	} {
		parts := c.parts
		if strings.HasPrefix(parts, "times: unix") {
			parts += "\nrecord: {stage: /stage, status: [{is: active}], candidate: /person}"
		}
		client, l := open(t, parts+"\n"+note, c.answers)
		got, err := client.Read(t.Context(), "7")
		if value, _ := ats.ElementValue(got.Tuple.Elements, "summary"); err != nil || value != c.want {
			t.Errorf("%s: %q, %v; asked %q", name, value, err, l.took())
		}
	}
	client, l := open(t, "notes: {list: /notes, text: /text, marker: '100 % {element} of {id}:'}\n"+note, map[string]answer{"POST /a/7/notes": {}})
	if err := client.Apply(t.Context(), "7", wire.Tuple{}, wire.Tuple{Elements: []wire.Element{{Name: "summary", Value: "two\nlines"}}}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{`POST /a/7/notes {"about":"summary","text":"100 % summary of 7:\ntwo\nlines"}`}, l.took()); diff != "" {
		t.Error(diff)
	}
}
