package ashby

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// DefaultBaseURL is the published address.
const DefaultBaseURL = "https://api.ashbyhq.com"

// Config is what a client needs.
type Config struct {
	// BaseURL is the API's scheme and host; DefaultBaseURL when empty.
	BaseURL string
	// APIKey is the credential; it is never logged.
	APIKey string
	// Mapping: a field's key is the custom field's id.
	Mapping ats.Mapping
	HTTP    ats.HTTPConfig
	// ReadLag is how long a read may show the state before a write; 5 s when 0. Ashby publishes none.
	ReadLag time.Duration
	// Rate is the starting point of the organization's rate limit; not known when zero.
	Rate ats.Rate
}

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() error {
	faults := ats.CheckConfig(&c.Mapping, c.ReadLag, c.BaseURL, "")
	if c.APIKey == "" {
		faults = append(faults, errors.New("api key: is needed"))
	}
	return errors.Join(faults...)
}

// Client is an ats.Client for one Ashby organization. It is safe for concurrent use.
type Client struct {
	cfg    Config
	http   *ats.HTTP
	header http.Header
	caps   ats.Capabilities

	mu    sync.Mutex
	plans map[string]plan // by interview plan
}

// plan are the stages of an interview plan that close an application.
type plan struct{ archived, hired string }

var _ ats.Client = (*Client)(nil)

// New returns a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("ashby: %w", err)
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.ReadLag == 0 {
		cfg.ReadLag = ats.DefaultReadLag
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	cfg.HTTP.Bases = []string{cfg.BaseURL}
	c := &Client{cfg: cfg, http: ats.NewHTTP(cfg.HTTP), plans: map[string]plan{}, header: http.Header{
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(cfg.APIKey+":"))},
	}}
	c.caps = ats.Capabilities{
		Name:       "ashby",
		Elements:   cfg.Mapping.Writable(),
		NoteMarker: noteMarker("APPLICATION"),
		Move:       true, Reject: true, Unreject: true, Hire: true,
		MoveTriggers: ats.TriggerRules, RejectTriggers: ats.TriggerRules,
		ReadLag: cfg.ReadLag, Rate: cfg.Rate,
		ReadRequests: 1, MoveRequests: 2, StatusRequests: 3,
		Answer: ats.AnswerVerdict, Region: true,
	}
	if cfg.Mapping.Notes() {
		c.caps.ReadRequests = 2
	}
	return c, nil
}

// noteMarker is what a note of an application begins with: notes are the candidate's, who may have other applications.
func noteMarker(application string) string { return "[concord %s of " + application + "]" }

// Close drops idle connections.
func (c *Client) Close() { c.http.Close() }

// Capabilities implements ats.Client.
func (c *Client) Capabilities() ats.Capabilities { return c.caps }

// answer is what every endpoint answers.
type answer struct {
	Success   *bool        `json:"success"`
	Errors    []loose.Text `json:"errors"`
	ErrorInfo struct {
		Code loose.Text `json:"code"`
	} `json:"errorInfo"`
	Results           json.RawMessage `json:"results"`
	MoreDataAvailable bool            `json:"moreDataAvailable"`
	NextCursor        string          `json:"nextCursor"`
	SyncToken         string          `json:"syncToken"`
}

func (a *answer) code() string {
	if a.ErrorInfo.Code == "" && len(a.Errors) > 0 {
		return string(a.Errors[0])
	}
	return string(a.ErrorInfo.Code)
}

// call makes one call. An answer 200 that says it failed is an error, and so is one that says nothing.
func (c *Client) call(ctx context.Context, op, endpoint string, write bool, body map[string]any) (answer, ats.Response, error) {
	res, err := c.http.Send(ctx, ats.Request{
		Op: op, Method: http.MethodPost, URL: c.cfg.BaseURL + "/" + endpoint, Header: c.header, Body: ats.JSON(body), Write: write,
	})
	if err != nil {
		return answer{}, res, err
	}
	var a answer
	if json.Unmarshal(res.Body, &a) != nil || a.Success == nil {
		e := &ats.Error{Class: ats.NotExecuted, Code: ats.CodeBadResponse, Op: op, Status: res.Status, Err: errShape}
		if write {
			e.Class = ats.Unknown
		}
		return answer{}, res, e
	}
	if !*a.Success {
		e := failure(op, write, a.code(), res.Status)
		e.AsOf = res.AsOf()
		return a, res, e
	}
	return a, res, nil
}

// failure classes an answer that says it failed. What Ashby names means that nothing was changed; what it calls an
// error of its own proves nothing.
func failure(op string, write bool, code string, status int) *ats.Error {
	e := &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: op, Status: status}
	switch {
	case strings.HasSuffix(code, "not_found"):
		e.Code = ats.CodeNotFound
	case code == "missing_endpoint_permission" || code == "forbidden":
		e.Class, e.Code = ats.NotExecuted, ats.CodeForbidden
	case code == "unauthorized" || code == "invalid_api_key":
		e.Class, e.Code = ats.NotExecuted, ats.CodeUnauthorised
	case strings.HasPrefix(code, "rate_limit"):
		e.Class, e.Code = ats.NotExecuted, ats.CodeRateLimited
	case strings.Contains(code, "server_error"):
		e.Class, e.Code = ats.Unknown, ats.CodeServerError
	case !write:
		e.Class, e.Code = ats.NotExecuted, ats.CodeBadResponse
	}
	if !write && e.Class == ats.Unknown {
		e.Class = ats.NotExecuted
	}
	return e
}

// stage is currentInterviewStage.
type stage struct {
	ID    loose.Text `json:"id"`
	Title loose.Text `json:"title"`
	Type  loose.Text `json:"type"`
	Plan  loose.Text `json:"interviewPlanId"`
}

// closes reports whether the stage is one that closes an application, and says nothing of where it stood.
func (s *stage) closes() bool { return s.Type == "Archived" || s.Type == "Hired" }

// Read implements ats.Client with application.info, and candidate.listNotes where an element is kept in a note. The
// version is updatedAt.
func (c *Client) Read(ctx context.Context, applicationID string) (ats.Reading, error) {
	a, _, res, err := c.info(ctx, applicationID)
	if err != nil {
		return ats.Reading{}, err
	}
	r := c.reading(&a, &res)
	if c.cfg.Mapping.Notes() {
		notes, err := c.notes(ctx, r.CandidateID)
		if err != nil {
			return ats.Reading{}, err
		}
		c.cfg.Mapping.AddNotes(&r.Tuple, noteMarker(applicationID), notes)
	}
	return r, nil
}

func (c *Client) info(ctx context.Context, id string) (application, stage, ats.Response, error) {
	if err := ats.CheckID("read", id); err != nil {
		return application{}, stage{}, ats.Response{}, err
	}
	got, res, err := c.call(ctx, "read", "application.info", false, map[string]any{"applicationId": id})
	if err != nil {
		return application{}, stage{}, res, err
	}
	var a application
	if json.Unmarshal(got.Results, &a) != nil || string(a.ID) != id {
		return application{}, stage{}, res, res.Bad("read", "not the application that was asked for")
	}
	return a, a.stage(), res, nil
}

func (a *application) stage() stage {
	var s stage
	if len(a.Stage) > 0 && json.Unmarshal(a.Stage, &s) != nil {
		return stage{}
	}
	return s
}

func (c *Client) reading(a *application, res *ats.Response) ats.Reading {
	m := &c.cfg.Mapping
	t := wire.Tuple{Reason: string(a.ArchiveReason), Status: statusOf(m, a), Version: int64(a.UpdatedAt.Micros())}
	out := ats.Reading{CandidateID: string(a.Candidate), Requisition: a.Job.requisition(m), UpdatedAt: a.UpdatedAt.Time, AsOf: res.AsOf()}
	if s := a.stage(); !s.closes() {
		t.Stage, out.StageName = string(s.ID), string(s.Title)
	}
	t.Elements = m.Elements(func(f ats.Field) (json.RawMessage, bool) {
		if v, ok := a.field(f.Key); ok {
			return v, true
		}
		return json.RawMessage("null"), true // a field without a value is not listed
	})
	out.Tuple = t
	return out
}

// maxNotePages bounds how far back notes are read.
const maxNotePages = 5

func (c *Client) notes(ctx context.Context, candidate string) ([]ats.Note, error) {
	var out []ats.Note
	body := map[string]any{"candidateId": candidate, "limit": 100}
	for range maxNotePages {
		got, res, err := c.call(ctx, "read", "candidate.listNotes", false, body)
		if err != nil {
			return nil, err
		}
		var page []struct {
			Content   loose.Text `json:"content"`
			CreatedAt loose.Time `json:"createdAt"`
		}
		if json.Unmarshal(got.Results, &page) != nil {
			return nil, res.Bad("read", "notes of an unexpected shape")
		}
		for _, n := range page {
			out = append(out, ats.Note{Text: string(n.Content), Order: int64(n.CreatedAt.Micros())})
		}
		if !got.MoreDataAvailable || got.NextCursor == "" {
			break
		}
		body["cursor"] = got.NextCursor
	}
	return out, nil
}

// ListChanged implements ats.Client with application.list: a full walk first, then with the sync token each walk
// returns at its end. What is kept in notes is not listed.
func (c *Client) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	body := map[string]any{"limit": 100}
	if from.Sync != "" {
		body["syncToken"] = from.Sync
	}
	if from.Next != "" {
		body["cursor"] = from.Next
	}
	got, res, err := c.call(ctx, "read", "application.list", false, body)
	if err != nil {
		if from.Sync != "" && got.code() == "sync_token_expired" { // back to a full walk, of what is newer than the last one
			return ats.Page{Next: ats.Cursor{Since: from.Since}, More: true}, nil
		}
		if (from.Next != "" || from.Sync != "") && got.code() != "" && ats.CodeOf(err) == ats.CodeBadResponse {
			return ats.Page{}, ats.Refuse("read", ats.CodeInvalid, "the cursor or the sync token is not taken")
		}
		return ats.Page{}, err
	}
	var rows []application
	if json.Unmarshal(got.Results, &rows) != nil || got.MoreDataAvailable && got.NextCursor == "" {
		return ats.Page{}, res.Bad("read", "a page of an unexpected shape")
	}
	next := ""
	if got.MoreDataAvailable {
		next = got.NextCursor
	}
	out := ats.Page{Next: from.Turn(next, &res, c.cfg.ReadLag), More: got.MoreDataAvailable}
	if !out.More {
		out.Next.Sync = got.SyncToken
	}
	for i := range rows {
		a := &rows[i]
		if a.ID == "" || from.Sync == "" && a.UpdatedAt.Before(from.Since) {
			continue
		}
		out.Changed = append(out.Changed, ats.Changed{ApplicationID: string(a.ID), Reading: c.reading(a, &res)})
	}
	return out, nil
}
