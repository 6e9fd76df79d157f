package greenhouse

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

// Published addresses of Harvest v3.
const (
	DefaultBaseURL  = "https://harvest.greenhouse.io"
	DefaultTokenURL = "https://auth.greenhouse.io/token"
)

// Config is what a client needs.
type Config struct {
	// BaseURL is the API's scheme and host, without /v3; DefaultBaseURL when empty.
	BaseURL string
	// TokenURL is the OAuth2 token endpoint; DefaultTokenURL when empty.
	TokenURL string
	// ClientID and ClientSecret are the credential's; the secret is never logged.
	ClientID, ClientSecret string
	// UserID is the Greenhouse user the writes are made as; empty for the credential's service user.
	UserID string
	// OpeningID fills which opening a hire closes; empty when a job has one open.
	OpeningID string
	Mapping   Mapping
	HTTP      ats.HTTPConfig
	// ReadLag is how long a read may show the state before a write; 5 s when 0. Greenhouse publishes none.
	ReadLag time.Duration
	// Rate is the starting point of the tenant's rate limit; 50 requests in 10 s when zero.
	Rate ats.Rate
	// Now tells the time for token renewal; time.Now when nil.
	Now func() time.Time
}

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() error {
	faults := ats.CheckConfig(c.Mapping.all(), c.ReadLag, c.BaseURL, c.TokenURL)
	if c.ClientID == "" || c.ClientSecret == "" {
		faults = append(faults, errors.New("client id and client secret: both are needed"))
	}
	return errors.Join(faults...)
}

// Client is an ats.Client for one Greenhouse tenant. It is safe for concurrent use.
type Client struct {
	cfg    Config
	http   *ats.HTTP
	tokens *ats.Tokens
	jobs   jobs
	caps   ats.Capabilities
}

var _ ats.Client = (*Client)(nil)

// New returns a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("greenhouse: %w", err)
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.TokenURL == "" {
		cfg.TokenURL = DefaultTokenURL
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.ReadLag == 0 {
		cfg.ReadLag = ats.DefaultReadLag
	}
	if cfg.Rate == (ats.Rate{}) {
		cfg.Rate = ats.Rate{Requests: 50, Window: 10 * time.Second}
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	cfg.HTTP.Bases = []string{cfg.BaseURL, cfg.TokenURL}
	c := &Client{cfg: cfg, http: ats.NewHTTP(cfg.HTTP)}
	form := url.Values{}
	if cfg.UserID != "" {
		form.Set("sub", cfg.UserID)
	}
	c.tokens = ats.NewTokens(c.http, ats.TokenConfig{URL: cfg.TokenURL, ClientID: cfg.ClientID, ClientSecret: cfg.ClientSecret, Form: form, Now: cfg.Now})
	c.jobs = jobs{send: c.tokens.Send, base: cfg.BaseURL, now: cfg.Now, mapping: &c.cfg.Mapping}
	c.caps = ats.Capabilities{
		Name:     "greenhouse",
		CASStage: true, Region: true,
		Elements: cfg.Mapping.all().Writable(),
		Move:     true, Reject: true, Unreject: true, Hire: true,
		MoveTriggers: ats.TriggerRules, RejectTriggers: ats.TriggerNothing,
		ReadLag: cfg.ReadLag,
		Rate:    cfg.Rate,
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.Close() }

// Capabilities implements ats.Client. Looking jobs up is not among the requests that are declared.
func (c *Client) Capabilities() ats.Capabilities { return c.caps }

// row is an application as Harvest v3 lists it, with v1's names where they differ.
type row struct {
	ID                  nativeID   `json:"id"`
	CandidateID         nativeID   `json:"candidate_id"`
	JobID               nativeID   `json:"job_id"`
	JobInterviewStageID nativeID   `json:"job_interview_stage_id"`
	StageID             nativeID   `json:"stage_id"`
	StageName           loose.Text `json:"stage_name"`
	CurrentStage        *stage     `json:"current_stage"`
	Status              loose.Text `json:"status"`
	RejectionReasonID   nativeID   `json:"rejection_reason_id"`
	RejectionReason     *struct {
		ID nativeID `json:"id"`
	} `json:"rejection_reason"`
	LastActivityAt loose.Time   `json:"last_activity_at"`
	UpdatedAt      loose.Time   `json:"updated_at"`
	CustomFields   customFields `json:"custom_fields"`
	Jobs           []struct {
		ID nativeID `json:"id"`
	} `json:"jobs"`
}

type stage struct {
	ID   nativeID   `json:"id"`
	Name loose.Text `json:"name"`
}

// Read implements ats.Client with GET /v3/applications?ids=, and the job where it is not known. The version is last_activity_at, the one time
// that reads and webhooks share; updated_at stands in when it is missing.
func (c *Client) Read(ctx context.Context, applicationID string) (ats.Reading, error) {
	id, err := checkID("read", applicationID)
	if err != nil {
		return ats.Reading{}, err
	}
	res, err := c.tokens.Send(ctx, ats.Request{Op: "read", Method: http.MethodGet, URL: c.cfg.BaseURL + "/v3/applications?ids=" + id})
	if err != nil {
		return ats.Reading{}, err
	}
	rows, err := decodeRows(&res, func(row string) bool { return row == id })
	if err != nil {
		return ats.Reading{}, err
	}
	if len(rows) == 0 {
		return ats.Reading{}, &ats.Error{Class: ats.Refused, Code: ats.CodeNotFound, Op: "read", Status: res.Status, AsOf: res.AsOf()}
	}
	r := c.reading(&rows[0], &res)
	return r, c.jobs.fill(ctx, []*ats.Reading{&r})
}

// decodeRows reads the wanted rows of a list.
func decodeRows(res *ats.Response, want func(id string) bool) ([]row, error) {
	bad := func(what string) error {
		return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeBadResponse, Op: "read", Status: res.Status, Err: fmt.Errorf("%s: %w", what, errShape)}
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(res.Body, &raws); err != nil {
		return nil, bad("list")
	}
	var rows []row
	for _, raw := range raws {
		var head struct {
			ID nativeID `json:"id"`
		}
		if json.Unmarshal(raw, &head) != nil || head.ID == "" || !want(string(head.ID)) {
			continue
		}
		var r row
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, bad("application")
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// ListChanged implements ats.Client with GET /v3/applications?updated_at=gte|…, page by page.
func (c *Client) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	u := c.cfg.BaseURL + "/v3/applications?"
	switch {
	case from.Next != "": // a cursor must be the only parameter
		u += url.Values{"cursor": {from.Next}}.Encode()
	case from.Since.IsZero():
		u += "per_page=500"
	default:
		u += url.Values{"per_page": {"500"}, "updated_at": {"gte|" + from.Since.UTC().Format(timeLayout)}}.Encode()
	}
	res, err := c.tokens.Send(ctx, ats.Request{Op: "read", Method: http.MethodGet, URL: u})
	if err != nil {
		return ats.Page{}, err
	}
	rows, err := decodeRows(&res, func(string) bool { return true })
	if err != nil {
		return ats.Page{}, err
	}
	out := ats.Page{Next: from.Turn(nextCursor(res.Header), &res, c.cfg.ReadLag)}
	out.More = out.Next.Next != ""
	for i := range rows {
		out.Changed = append(out.Changed, ats.Changed{ApplicationID: string(rows[i].ID), Reading: c.reading(&rows[i], &res)})
	}
	readings := make([]*ats.Reading, len(out.Changed))
	for i := range out.Changed {
		readings[i] = &out.Changed[i].Reading
	}
	if err := c.jobs.fill(ctx, readings); err != nil {
		return ats.Page{}, err
	}
	return out, nil
}

const timeLayout = "2006-01-02T15:04:05.000Z"

// nextCursor reads the cursor of the next page from the Link header (RFC 8288).
func nextCursor(h http.Header) string {
	for _, link := range h.Values("Link") {
		for part := range strings.SplitSeq(link, ",") {
			target, params, ok := strings.Cut(part, ";")
			if !ok || !strings.Contains(params, `rel="next"`) {
				continue
			}
			u, err := url.Parse(strings.Trim(strings.TrimSpace(target), "<>"))
			if err == nil {
				return u.Query().Get("cursor")
			}
		}
	}
	return ""
}

func (c *Client) reading(r *row, res *ats.Response) ats.Reading {
	m := &c.cfg.Mapping
	stageID, stageName := r.JobInterviewStageID, r.StageName
	if r.CurrentStage != nil && stageID == "" {
		stageID = r.CurrentStage.ID
		if stageName == "" {
			stageName = r.CurrentStage.Name
		}
	}
	if stageID == "" {
		stageID = r.StageID
	}
	reason := string(r.RejectionReasonID)
	if reason == "" && r.RejectionReason != nil {
		reason = string(r.RejectionReason.ID)
	}
	updated := r.LastActivityAt
	if updated.IsZero() {
		updated = r.UpdatedAt
	}
	out := ats.Reading{
		Tuple: wire.Tuple{
			Stage: string(stageID), Status: m.status(string(r.Status), reason), Reason: reason,
			Elements: m.elements(r.CustomFields), Version: int64(updated.Micros()),
		},
		StageName:   string(stageName),
		CandidateID: string(r.CandidateID),
		Requisition: wire.Requisition{ID: string(r.JobID)},
		UpdatedAt:   updated.Time,
	}
	if out.Requisition.ID == "" && len(r.Jobs) > 0 {
		out.Requisition.ID = string(r.Jobs[0].ID)
	}
	out.AsOf = res.AsOf()
	return out
}

// checkID guards the URL: native application ids are positive integers.
func checkID(op, id string) (string, error) {
	var n nativeID
	if err := n.UnmarshalJSON([]byte(id)); err != nil || string(n) != id {
		return "", &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: op, Err: errors.New("application id is not a number")}
	}
	return id, nil
}
