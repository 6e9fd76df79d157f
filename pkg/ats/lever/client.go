package lever

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// DefaultBaseURL is the published address; accounts in the EU have another one.
const DefaultBaseURL = "https://api.lever.co"

// Config is what a client needs.
type Config struct {
	// BaseURL is the API's scheme and host, without /v1; DefaultBaseURL when empty.
	BaseURL string
	// APIKey is the credential; it is never logged.
	APIKey string
	// UserID is the Lever user the writes are made as; empty for the key's own.
	UserID string
	// Mapping: a field's key is what a tag begins with before its colon.
	Mapping ats.Mapping
	HTTP    ats.HTTPConfig
	// ReadLag is how long a read may show the state before a write; 5 s when 0. Lever publishes none.
	ReadLag time.Duration
	// Rate is the starting point of the account's rate limit; 10 requests a second and a burst of 20 when zero.
	Rate ats.Rate
	// Now tells how old a look-up is; time.Now when nil.
	Now func() time.Time
}

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() error {
	faults := ats.CheckConfig(&c.Mapping, c.ReadLag, c.BaseURL, "")
	if c.APIKey == "" {
		faults = append(faults, errors.New("api key: is needed"))
	}
	return errors.Join(append(faults, c.Mapping.CheckTagKeys())...)
}

// Client is an ats.Client for one Lever account. It is safe for concurrent use.
type Client struct {
	cfg    Config
	http   *ats.HTTP
	header http.Header
	caps   ats.Capabilities
	jobs   ats.Jobs
}

var _ ats.Client = (*Client)(nil)

// New returns a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lever: %w", err)
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.ReadLag == 0 {
		cfg.ReadLag = ats.DefaultReadLag
	}
	if cfg.Rate == (ats.Rate{}) {
		cfg.Rate = ats.Rate{Requests: 10, Window: time.Second, Burst: 20}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	cfg.HTTP.Bases = []string{cfg.BaseURL}
	c := &Client{cfg: cfg, http: ats.NewHTTP(cfg.HTTP), header: http.Header{
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(cfg.APIKey+":"))},
	}}
	c.jobs.Mapping, c.jobs.Now, c.jobs.Places = &c.cfg.Mapping, cfg.Now, c.places
	c.caps = ats.Capabilities{
		Name:       "lever",
		Elements:   cfg.Mapping.Writable(),
		NoteMarker: ats.NoteMarker,
		Move:       true, Reject: true, Unreject: true, Hire: cfg.Mapping.HireReason != "",
		MoveTriggers: ats.TriggerRules, RejectTriggers: ats.TriggerRules,
		ReadLag: cfg.ReadLag, Rate: cfg.Rate,
		ReadRequests: 1, ElementRequests: 3, Region: true,
		Answer: ats.AnswerMirror, Archived: true, ShowsAnonymized: true,
	}
	if cfg.Mapping.Notes() {
		c.caps.ReadRequests = 2
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.Close() }

// Capabilities implements ats.Client. A posting is looked up once in ten minutes, and not among the requests that are
// declared.
func (c *Client) Capabilities() ats.Capabilities { return c.caps }

// opportunity is what a read or a list shows, with stage and applications expanded.
type opportunity struct {
	ID       loose.Text `json:"id"`
	Contact  loose.Ref  `json:"contact"`
	Stage    stage      `json:"stage"`
	Archived *struct {
		Reason loose.Text `json:"reason"`
	} `json:"archived"`
	Tags         ats.Tags        `json:"tags"`
	UpdatedAt    loose.Time      `json:"updatedAt"`
	Applications json.RawMessage `json:"applications"`
	Anonymized   bool            `json:"isAnonymized"`
}

// stage is an id, or an object.
type stage struct{ id, name string }

// UnmarshalJSON implements json.Unmarshaler.
func (s *stage) UnmarshalJSON(b []byte) error {
	var ref loose.Ref
	if err := ref.UnmarshalJSON(b); err != nil {
		return err
	}
	var named struct {
		Text loose.Text `json:"text"`
	}
	if json.Unmarshal(b, &named) != nil {
		named.Text = "" // an id alone has no name
	}
	*s = stage{string(ref), string(named.Text)}
	return nil
}

const expanded = "expand=applications&expand=stage"

func (c *Client) get(ctx context.Context, path string) (ats.Response, error) {
	return c.http.Send(ctx, ats.Request{Op: "read", Method: http.MethodGet, URL: c.cfg.BaseURL + "/v1/" + path, Header: c.header})
}

// Read implements ats.Client with GET /v1/opportunities/{id}, and the notes where an element is kept in one. The
// version is updatedAt.
func (c *Client) Read(ctx context.Context, applicationID string) (ats.Reading, error) {
	o, res, err := c.opportunity(ctx, applicationID)
	if err != nil {
		return ats.Reading{}, err
	}
	r, err := c.reading(ctx, &o, &res)
	if err != nil {
		return ats.Reading{}, err
	}
	if c.cfg.Mapping.Notes() {
		notes, err := c.notes(ctx, applicationID)
		if err != nil {
			return ats.Reading{}, err
		}
		c.cfg.Mapping.AddNotes(&r.Tuple, c.caps.NoteMarker, notes)
	}
	return r, nil
}

func (c *Client) opportunity(ctx context.Context, id string) (opportunity, ats.Response, error) {
	if err := ats.CheckID("read", id); err != nil {
		return opportunity{}, ats.Response{}, err
	}
	res, err := c.get(ctx, "opportunities/"+id+"?"+expanded)
	if err != nil {
		return opportunity{}, res, err
	}
	var body struct {
		Data opportunity `json:"data"`
	}
	if err := res.Decode("read", &body); err != nil {
		return opportunity{}, res, err
	}
	if string(body.Data.ID) != id {
		return opportunity{}, res, res.Bad("read", "not the opportunity that was asked for")
	}
	return body.Data, res, nil
}

func (c *Client) reading(ctx context.Context, o *opportunity, res *ats.Response) (ats.Reading, error) {
	m := &c.cfg.Mapping
	posting := o.posting()
	region, err := c.jobs.Region(ctx, posting)
	if err != nil {
		return ats.Reading{}, err
	}
	t := wire.Tuple{Stage: o.Stage.id, Status: wire.ApplicationStatusActive, Version: int64(o.UpdatedAt.Micros())}
	if o.Archived != nil {
		t.Reason = string(o.Archived.Reason)
		t.Status = m.Rejected(t.Reason)
	}
	t.Elements = m.TagElements(o.Tags) // what a key had before goes with the next write
	return ats.Reading{
		Tuple: t, StageName: o.Stage.name, CandidateID: string(o.Contact), Anonymized: o.Anonymized, UpdatedAt: o.UpdatedAt.Time,
		Requisition: wire.Requisition{ID: posting, Region: region}, AsOf: res.AsOf(),
	}, nil
}

// places are where a posting is, GET /v1/postings/{id}: its location as the account calls it, and its country.
func (c *Client) places(ctx context.Context, posting string) ([]string, error) {
	res, err := c.get(ctx, "postings/"+posting)
	if err != nil {
		return nil, err
	}
	var body struct {
		Data struct {
			ID         loose.Text `json:"id"`
			Country    loose.Text `json:"country"`
			Categories struct {
				Location loose.Text `json:"location"`
			} `json:"categories"`
		} `json:"data"`
	}
	if err := res.Decode("read", &body); err != nil {
		return nil, err
	}
	if string(body.Data.ID) != posting {
		return nil, res.Bad("read", "not the posting that was asked for")
	}
	return append([]string{string(body.Data.Categories.Location)}, ats.Country(string(body.Data.Country))...), nil
}

// posting is the job of the newest application that has one.
func (o *opportunity) posting() string {
	var list []json.RawMessage
	if json.Unmarshal(o.Applications, &list) != nil {
		return ""
	}
	posting := ""
	for _, raw := range list {
		var a struct {
			Posting loose.Ref `json:"posting"`
		}
		if json.Unmarshal(raw, &a) == nil && a.Posting != "" {
			posting = string(a.Posting)
		}
	}
	return posting
}

// maxNotePages bounds how far back notes are read, at 100 a page, the newest first.
const maxNotePages = 5

func (c *Client) notes(ctx context.Context, id string) ([]ats.Note, error) {
	var out []ats.Note
	offset := ""
	for range maxNotePages {
		path := "opportunities/" + id + "/notes?limit=100"
		if offset != "" {
			path += "&offset=" + url.QueryEscape(offset)
		}
		res, err := c.get(ctx, path)
		if err != nil {
			return nil, err
		}
		var page struct {
			Data []struct {
				CreatedAt loose.Time `json:"createdAt"`
				DeletedAt loose.Time `json:"deletedAt"`
				Fields    []struct {
					Value loose.Text `json:"value"`
				} `json:"fields"`
			} `json:"data"`
			HasNext bool   `json:"hasNext"`
			Next    string `json:"next"`
		}
		if err := res.Decode("read", &page); err != nil {
			return nil, err
		}
		for _, n := range page.Data {
			for _, f := range n.Fields {
				if n.DeletedAt.IsZero() {
					out = append(out, ats.Note{Text: string(f.Value), Order: int64(n.CreatedAt.Micros())})
				}
			}
		}
		if offset = page.Next; !page.HasNext || offset == "" {
			break
		}
	}
	return out, nil
}

// ListChanged implements ats.Client with GET /v1/opportunities?updated_at_start=. What is kept in notes is not listed.
func (c *Client) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	q := "limit=100&" + expanded
	if !from.Since.IsZero() {
		q += "&updated_at_start=" + strconv.FormatInt(from.Since.UnixMilli(), 10)
	}
	if from.Next != "" {
		q += "&offset=" + url.QueryEscape(from.Next)
	}
	res, err := c.get(ctx, "opportunities?"+q)
	if err != nil {
		return ats.Page{}, err
	}
	var body struct {
		Data    *[]opportunity `json:"data"`
		HasNext bool           `json:"hasNext"`
		Next    string         `json:"next"`
	}
	if err := res.Decode("read", &body); err != nil {
		return ats.Page{}, err
	}
	if body.Data == nil || body.HasNext && body.Next == "" {
		return ats.Page{}, res.Bad("read", "a page without data, or without the next one's offset")
	}
	next := ""
	if body.HasNext {
		next = body.Next
	}
	out := ats.Page{Next: from.Turn(next, &res, c.cfg.ReadLag), More: body.HasNext}
	for i := range *body.Data {
		o := &(*body.Data)[i]
		r, err := c.reading(ctx, o, &res)
		if err != nil {
			return ats.Page{}, err
		}
		out.Changed = append(out.Changed, ats.Changed{ApplicationID: string(o.ID), Reading: r})
	}
	return out, nil
}
