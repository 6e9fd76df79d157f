package workable

import (
	"context"
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

// Config is what a client needs.
type Config struct {
	// BaseURL is the account's scheme and host, https://<subdomain>.workable.com, without /spi/v3.
	BaseURL string
	// Token is the access token; it is never logged.
	Token string
	// MemberID is the member the writes are made as.
	MemberID string
	// Mapping: a field's key is what a tag begins with before its colon, a stage its slug.
	Mapping ats.Mapping
	HTTP    ats.HTTPConfig
	// ReadLag is how long a read may show the state before a write; 5 s when 0. Workable publishes none.
	ReadLag time.Duration
	// Rate is the starting point of the account's rate limit; 10 requests in 10 seconds when zero.
	Rate ats.Rate
	// Now tells how old a look-up is; time.Now when nil.
	Now func() time.Time
}

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() error {
	faults := ats.CheckConfig(&c.Mapping, c.ReadLag, c.BaseURL, "")
	if c.BaseURL == "" {
		faults = append(faults, errors.New("base url: is needed, as every account has its own"))
	}
	if c.Token == "" {
		faults = append(faults, errors.New("token: is needed"))
	}
	if c.MemberID == "" {
		faults = append(faults, errors.New("member id: is needed, as every change names who makes it"))
	}
	return errors.Join(append(faults, c.Mapping.CheckTagKeys())...)
}

// Client is an ats.Client for one Workable account. It is safe for concurrent use.
type Client struct {
	cfg    Config
	http   *ats.HTTP
	header http.Header
	caps   ats.Capabilities
	names  names
	jobs   ats.Jobs
}

var _ ats.Client = (*Client)(nil)

// New returns a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("workable: %w", err)
	}
	if cfg.ReadLag == 0 {
		cfg.ReadLag = ats.DefaultReadLag
	}
	if cfg.Rate == (ats.Rate{}) {
		cfg.Rate = ats.Rate{Requests: 10, Window: 10 * time.Second}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	cfg.HTTP.Bases = []string{cfg.BaseURL}
	c := &Client{cfg: cfg, http: ats.NewHTTP(cfg.HTTP), header: http.Header{"Authorization": {"Bearer " + cfg.Token}}}
	c.names = names{get: c.get, now: cfg.Now, kept: map[string]*lookup{}}
	c.jobs.Mapping, c.jobs.Now, c.jobs.Places = &c.cfg.Mapping, cfg.Now, c.places
	c.caps = ats.Capabilities{
		Name:       "workable",
		Elements:   cfg.Mapping.Writable(),
		NoteMarker: ats.NoteMarker,
		Move:       true, Reject: true, Unreject: true, Hire: true,
		MoveTriggers: ats.TriggerRules, RejectTriggers: ats.TriggerRules,
		ReadLag: cfg.ReadLag, Rate: cfg.Rate,
		ReadRequests: 1, ElementRequests: 2, StatusRequests: 2, Region: true,
		Archived: true, ShowsAnonymized: true,
	}
	if cfg.Mapping.Notes() {
		c.caps.ReadRequests = 2
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.Close() }

// Capabilities implements ats.Client. What names and regions are looked up by is kept for ten minutes, and not among
// the requests that are declared.
func (c *Client) Capabilities() ats.Capabilities { return c.caps }

// candidate is what a read or a list shows.
type candidate struct {
	ID  loose.Text `json:"id"`
	Job struct {
		Shortcode loose.Text `json:"shortcode"`
	} `json:"job"`
	Stage        loose.Text `json:"stage"`
	StageKind    loose.Text `json:"stage_kind"`
	Disqualified bool       `json:"disqualified"`
	Withdrew     bool       `json:"withdrew"`
	Reason       loose.Text `json:"disqualification_reason"`
	UpdatedAt    loose.Time `json:"updated_at"`
	Tags         ats.Tags   `json:"tags"`
	Anonymized   bool       `json:"anonymized"` // not in a list
}

func (c *Client) get(ctx context.Context, path string) (ats.Response, error) {
	return c.http.Send(ctx, ats.Request{Op: "read", Method: http.MethodGet, URL: c.cfg.BaseURL + "/spi/v3/" + path, Header: c.header})
}

// Read implements ats.Client with GET /candidates/{id}, and its activities where an element is kept in a comment. The
// version is updated_at.
func (c *Client) Read(ctx context.Context, applicationID string) (ats.Reading, error) {
	one, res, err := c.candidate(ctx, applicationID)
	if err != nil {
		return ats.Reading{}, err
	}
	r, err := c.reading(ctx, &one, &res)
	if err != nil {
		return ats.Reading{}, err
	}
	r.Tuple.Elements = c.cfg.Mapping.TagElements(one.Tags)
	if c.cfg.Mapping.Notes() {
		notes, err := c.notes(ctx, applicationID)
		if err != nil {
			return ats.Reading{}, err
		}
		c.cfg.Mapping.AddNotes(&r.Tuple, c.caps.NoteMarker, notes)
	}
	return r, nil
}

func (c *Client) candidate(ctx context.Context, id string) (candidate, ats.Response, error) {
	if err := ats.CheckID("read", id); err != nil {
		return candidate{}, ats.Response{}, err
	}
	res, err := c.get(ctx, "candidates/"+id)
	if err != nil {
		return candidate{}, res, err
	}
	var body struct {
		Candidate candidate `json:"candidate"`
	}
	if err := res.Decode("read", &body); err != nil {
		return candidate{}, res, err
	}
	if string(body.Candidate.ID) != id {
		return candidate{}, res, res.Bad("read", "not the candidate that was asked for")
	}
	return body.Candidate, res, nil
}

// reading is a candidate without its elements.
func (c *Client) reading(ctx context.Context, one *candidate, res *ats.Response) (ats.Reading, error) {
	at := ats.Proved(one.UpdatedAt.Time, res.AsOf())
	region, err := c.jobs.Region(ctx, string(one.Job.Shortcode))
	if err != nil {
		return ats.Reading{}, err
	}
	out := ats.Reading{
		Tuple:       wire.Tuple{Status: wire.ApplicationStatusActive},
		CandidateID: string(one.ID), Anonymized: one.Anonymized, UpdatedAt: at, Requisition: wire.Requisition{ID: string(one.Job.Shortcode), Region: region}, AsOf: res.AsOf(),
	}
	if !at.IsZero() {
		out.Tuple.Version = at.UnixMicro()
	}
	t := &out.Tuple
	if one.StageKind == kindHired { // says nothing of where it stood
		t.Status = wire.ApplicationStatusHired
	} else {
		slug, err := c.names.slug(ctx, out.Requisition.ID, string(one.Stage))
		if err != nil {
			return ats.Reading{}, err
		}
		t.Stage, out.StageName = slug, string(one.Stage)
	}
	if !one.Disqualified {
		return out, nil
	}
	reason, err := c.names.reason(ctx, string(one.Reason))
	if err != nil {
		return ats.Reading{}, err
	}
	t.Reason, t.Status = reason, wire.ApplicationStatusRejected
	if one.Withdrew || c.cfg.Mapping.Rejected(reason) == wire.ApplicationStatusWithdrawn {
		t.Status = wire.ApplicationStatusWithdrawn
	}
	return out, nil
}

// places are the country a job is in, by its code and its name, GET /jobs/{shortcode}. Its further locations say nothing of
// an application.
func (c *Client) places(ctx context.Context, shortcode string) ([]string, error) {
	res, err := c.get(ctx, "jobs/"+shortcode)
	if err != nil {
		return nil, err
	}
	var body struct {
		Shortcode loose.Text `json:"shortcode"`
		Location  struct {
			Code    loose.Text `json:"country_code"`
			Country loose.Text `json:"country"`
		} `json:"location"`
	}
	if err := res.Decode("read", &body); err != nil {
		return nil, err
	}
	if string(body.Shortcode) != shortcode {
		return nil, res.Bad("read", "not the job that was asked for")
	}
	return append(ats.Country(string(body.Location.Code)), string(body.Location.Country)), nil
}

// maxNotePages bounds how far the activities are read, at 100 a page.
const maxNotePages = 5

// paging is where the next page of a list is.
type paging struct {
	Next string `json:"next"`
}

// query is the next page's, to be asked for at our own address; empty when there is none.
func (p paging) query() (string, bool) {
	if p.Next == "" {
		return "", true
	}
	u, err := url.Parse(p.Next)
	if err != nil || u.RawQuery == "" {
		return "", false
	}
	return u.RawQuery, true
}

func (c *Client) notes(ctx context.Context, id string) ([]ats.Note, error) {
	var out []ats.Note
	query := "limit=100"
	for range maxNotePages {
		res, err := c.get(ctx, "candidates/"+id+"/activities?"+query)
		if err != nil {
			return nil, err
		}
		var page struct {
			Activities *[]struct {
				Action    loose.Text `json:"action"`
				Body      loose.Text `json:"body"`
				CreatedAt loose.Time `json:"created_at"`
			} `json:"activities"`
			Paging paging `json:"paging"`
		}
		if err := res.Decode("read", &page); err != nil {
			return nil, err
		}
		next, ok := page.Paging.query()
		if page.Activities == nil || !ok {
			return nil, res.Bad("read", "a page without activities, or with no address of the next one")
		}
		for _, a := range *page.Activities {
			if a.Action == "comment" {
				out = append(out, ats.Note{Text: string(a.Body), Order: int64(a.CreatedAt.Micros())})
			}
		}
		if query = next; query == "" {
			break
		}
	}
	return out, nil
}

// ListChanged implements ats.Client with GET /candidates?updated_after=. Elements are not listed.
func (c *Client) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	query := from.Next
	if query == "" {
		query = "limit=100"
		if !from.Since.IsZero() {
			query += "&updated_after=" + url.QueryEscape(from.Since.UTC().Format(time.RFC3339))
		}
	}
	res, err := c.get(ctx, "candidates?"+query)
	if err != nil {
		return ats.Page{}, err
	}
	var body struct {
		Candidates *[]candidate `json:"candidates"`
		Paging     paging       `json:"paging"`
	}
	if err := res.Decode("read", &body); err != nil {
		return ats.Page{}, err
	}
	next, ok := body.Paging.query()
	if body.Candidates == nil || !ok {
		return ats.Page{}, res.Bad("read", "a page without candidates, or with no address of the next one")
	}
	out := ats.Page{Next: from.Turn(next, &res, c.cfg.ReadLag), More: next != ""}
	for i := range *body.Candidates {
		one := &(*body.Candidates)[i]
		if one.ID == "" {
			return ats.Page{}, res.Bad("read", "a candidate without an id")
		}
		r, err := c.reading(ctx, one, &res)
		if err != nil {
			return ats.Page{}, err
		}
		out.Changed = append(out.Changed, ats.Changed{ApplicationID: string(one.ID), Reading: r})
	}
	return out, nil
}
