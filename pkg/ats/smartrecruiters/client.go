package smartrecruiters

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// DefaultBaseURL is the published address.
const DefaultBaseURL = "https://api.smartrecruiters.com"

// Config is what a client needs.
type Config struct {
	// BaseURL is the API's scheme and host; DefaultBaseURL when empty.
	BaseURL string
	// TokenURL is the OAuth2 token endpoint; /identity/oauth/token below BaseURL when empty.
	TokenURL string
	// ClientID and ClientSecret are an OAuth2 client's; without a ClientID the secret is an API key. It is never logged.
	ClientID, ClientSecret string
	// Mapping: a stage is a status, with its sub-status behind a slash where it has one: "IN_REVIEW/Assessment". A field's
	// key is the id of a candidate property.
	Mapping ats.Mapping
	HTTP    ats.HTTPConfig
	// ReadLag is how long a read may show the state before a write; 5 s when 0. SmartRecruiters publishes none.
	ReadLag time.Duration
	// Rate is the starting point of the credential's rate limit; 10 requests a second and 8 at once when zero.
	Rate ats.Rate
	// Now tells the time for token renewal and how old a look-up is; time.Now when nil.
	Now func() time.Time
}

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() error {
	faults := ats.CheckConfig(&c.Mapping, c.ReadLag, c.BaseURL, c.TokenURL)
	if c.ClientSecret == "" {
		faults = append(faults, errors.New("client secret: is needed, or an API key in its place"))
	}
	return errors.Join(faults...)
}

// Client is an ats.Client for one SmartRecruiters account. It is safe for concurrent use.
type Client struct {
	cfg    Config
	http   *ats.HTTP
	tokens *ats.Tokens // nil with an API key
	header http.Header
	caps   ats.Capabilities
	fields bool          // an element is kept in a property
	list   chan struct{} // holds the one list at once
	jobs   ats.Jobs
}

var _ ats.Client = (*Client)(nil)

// New returns a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("smartrecruiters: %w", err)
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.TokenURL == "" {
		cfg.TokenURL = cfg.BaseURL + "/identity/oauth/token"
	}
	if cfg.ReadLag == 0 {
		cfg.ReadLag = ats.DefaultReadLag
	}
	if cfg.Rate == (ats.Rate{}) {
		cfg.Rate = ats.Rate{Requests: 10, Window: time.Second, Concurrent: 8}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.HTTP.Bases = []string{cfg.BaseURL, cfg.TokenURL}
	c := &Client{cfg: cfg, http: ats.NewHTTP(cfg.HTTP), list: make(chan struct{}, 1)}
	if cfg.ClientID == "" {
		c.header = http.Header{"X-SmartToken": {cfg.ClientSecret}}
	} else {
		c.tokens = ats.NewTokens(c.http, ats.TokenConfig{URL: cfg.TokenURL, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, InForm: true, Now: cfg.Now})
	}
	c.jobs.Mapping, c.jobs.Now, c.jobs.Places = &c.cfg.Mapping, cfg.Now, c.places
	c.caps = ats.Capabilities{
		Name:       "smartrecruiters",
		Elements:   cfg.Mapping.Writable(),
		NoteMarker: noteMarker("APPLICATION"),
		Move:       true, Reject: true, Unreject: true, Hire: true,
		MoveTriggers: ats.TriggerRules, RejectTriggers: ats.TriggerRules,
		ReadLag: cfg.ReadLag, Rate: cfg.Rate,
		ReadRequests: 1, MoveRequests: 2, StatusRequests: 2, Region: true,
	}
	for _, f := range cfg.Mapping.Fields {
		c.fields = c.fields || f.Type != ats.FieldNote
	}
	if c.fields {
		c.caps.ReadRequests++
	}
	if cfg.Mapping.Notes() {
		c.caps.ReadRequests++
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.Close() }

// Capabilities implements ats.Client. A job is looked up once in ten minutes, and not among the requests that are declared.
func (c *Client) Capabilities() ats.Capabilities { return c.caps }

// NativeID is the second half of an application's id: a candidate in a job.
func NativeID(candidate, job string) string { return candidate + "_" + job }

// halves are the candidate and the job of a native id.
func halves(op, id string) (candidate, job string, err error) {
	if err := ats.CheckID(op, id); err != nil {
		return "", "", err
	}
	candidate, job, _ = strings.Cut(id, "_")
	if candidate == "" || job == "" || strings.Contains(job, "_") {
		return "", "", ats.Refuse(op, ats.CodeInvalid, "application id is not a candidate's and a job's")
	}
	return candidate, job, nil
}

func (c *Client) send(ctx context.Context, r ats.Request) (ats.Response, error) {
	r.URL = c.cfg.BaseURL + r.URL
	if c.tokens != nil {
		return c.tokens.Send(ctx, r)
	}
	r.Header = c.header
	return c.http.Send(ctx, r)
}

// get reads what is at a path below the base.
func (c *Client) get(ctx context.Context, path string, v any) (ats.Response, error) {
	res, err := c.send(ctx, ats.Request{Op: "read", Method: http.MethodGet, URL: path})
	if err != nil {
		return res, err
	}
	return res, res.Decode("read", v)
}

// Read implements ats.Client with GET /candidates/{id}, the candidate's properties in the job where an element is kept in one, and
// the messages about the candidate where one is kept in a note. The version is the candidate's updatedOn.
func (c *Client) Read(ctx context.Context, applicationID string) (ats.Reading, error) {
	id, job, err := halves("read", applicationID)
	if err != nil {
		return ats.Reading{}, err
	}
	one, res, err := c.candidate(ctx, id)
	if err != nil {
		return ats.Reading{}, err
	}
	a := one.in(job)
	if a == nil {
		return ats.Reading{}, &ats.Error{Class: ats.Refused, Code: ats.CodeNotFound, Op: "read", Status: res.Status, AsOf: res.AsOf(), Err: errors.New("the candidate is not in the job")}
	}
	r, err := one.reading(a, &res)
	if err != nil {
		return ats.Reading{}, err
	}
	if r.Requisition.Region, err = c.jobs.Region(ctx, job); err != nil {
		return ats.Reading{}, err
	}
	if c.fields {
		if r.Tuple.Elements, err = c.properties(ctx, id, job); err != nil {
			return ats.Reading{}, err
		}
	}
	if c.cfg.Mapping.Notes() {
		notes, err := c.notes(ctx, id, job)
		if err != nil {
			return ats.Reading{}, err
		}
		c.cfg.Mapping.AddNotes(&r.Tuple, noteMarker(applicationID), notes)
	}
	return r, nil
}

func (c *Client) candidate(ctx context.Context, id string) (candidate, ats.Response, error) {
	var one candidate
	res, err := c.get(ctx, "/candidates/"+id, &one)
	if err == nil && string(one.ID) != id {
		err = res.Bad("read", "not the candidate that was asked for")
	}
	return one, res, err
}

// places are the country a job is in, by its code and its name, GET /jobs/{id}.
func (c *Client) places(ctx context.Context, job string) ([]string, error) {
	var body struct {
		ID       loose.Text `json:"id"`
		Location struct {
			Code    loose.Text `json:"countryCode"`
			Country loose.Text `json:"country"`
		} `json:"location"`
	}
	res, err := c.get(ctx, "/jobs/"+job, &body)
	if err == nil && string(body.ID) != job {
		err = res.Bad("read", "not the job that was asked for")
	}
	return append(ats.Country(string(body.Location.Code)), string(body.Location.Country)), err
}

// properties are the elements that are kept in properties of the candidate in the job.
func (c *Client) properties(ctx context.Context, id, job string) ([]wire.Element, error) {
	var body struct {
		Content *[]struct {
			ID    loose.Text      `json:"id"`
			Value json.RawMessage `json:"value"`
		} `json:"content"`
	}
	res, err := c.get(ctx, "/candidates/"+id+"/jobs/"+job+"/properties", &body)
	if err != nil {
		return nil, err
	}
	if body.Content == nil {
		return nil, res.Bad("read", "no list of properties")
	}
	return c.cfg.Mapping.Elements(func(f ats.Field) (json.RawMessage, bool) {
		for _, p := range *body.Content {
			if string(p.ID) == f.Key {
				return p.Value, true
			}
		}
		return json.RawMessage("null"), true
	}), nil
}

// maxNotePages bounds how far the messages are read, at 100 a page.
const maxNotePages = 5

// noteMarker is what a note of an application begins with: a message is about the candidate, who may be in other jobs.
func noteMarker(application string) string { return "[concord %s of " + application + "]" }

func (c *Client) notes(ctx context.Context, id, job string) ([]ats.Note, error) {
	var out []ats.Note
	query := url.Values{"candidateId": {id}, "jobId": {job}, "limit": {"100"}}
	for range maxNotePages {
		var page struct {
			Content *[]struct {
				Content   loose.Text `json:"content"`
				CreatedOn loose.Time `json:"createdOn"`
			} `json:"content"`
			Next string `json:"nextPageId"`
		}
		res, err := c.get(ctx, "/messages?"+query.Encode(), &page)
		if err != nil {
			return nil, err
		}
		if page.Content == nil {
			return nil, res.Bad("read", "a page without messages")
		}
		for _, m := range *page.Content {
			text := string(m.Content)
			if i := strings.LastIndexByte(text, '\n'); i >= 0 { // the last line is the tag
				text = text[:i]
			}
			out = append(out, ats.Note{Text: text, Order: int64(m.CreatedOn.Micros())})
		}
		if page.Next == "" {
			break
		}
		query.Set("pageId", page.Next)
	}
	return out, nil
}
