package generic

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
)

// Config is what a client needs beside its description.
type Config struct {
	// Description says how the ATS is spoken to.
	Description *Description
	// BaseURL is the scheme and host, and perhaps a path, below which every address is.
	BaseURL string
	// TokenURL is the OAuth2 token endpoint, where it is not below BaseURL.
	TokenURL string
	// ClientID and ClientSecret are the credentials; the secret is never logged.
	ClientID, ClientSecret string
	// UserID is {user}: on whose behalf changes are made.
	UserID  string
	Mapping ats.Mapping
	HTTP    ats.HTTPConfig
	// ReadLag is how long a read may show the state before a write; 5 s when 0.
	ReadLag time.Duration
	// Now tells the time for token renewal; time.Now when nil.
	Now func() time.Time
}

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() error {
	if c.Description == nil {
		return errors.New("description: is needed")
	}
	d := c.Description
	faults := ats.CheckConfig(&c.Mapping, c.ReadLag, c.BaseURL, c.TokenURL)
	if c.BaseURL == "" {
		faults = append(faults, errors.New("base url: is needed"))
	}
	if c.ClientSecret == "" {
		faults = append(faults, errors.New("client secret: is needed"))
	}
	if d.Auth.Scheme == "oauth2" && c.ClientID == "" {
		faults = append(faults, errors.New("client id: is needed, as the description says oauth2"))
	}
	if d.Auth.Scheme == "oauth2" && c.TokenURL == "" && d.Auth.Token == "" {
		faults = append(faults, errors.New("token url: is needed, as the description says oauth2 and has no auth.token"))
	}
	if c.UserID == "" && slices.Contains(d.names(), "user") {
		faults = append(faults, errors.New("user id: is needed, as the description has {user}"))
	}
	return errors.Join(faults...)
}

// names are the placeholders of every request.
func (d *Description) names() []string {
	out := append(d.Read.Request.Path.names(), d.List.Request.Path.names()...)
	queries := []map[string]Template{d.Headers, d.Read.Query, d.List.Query}
	if d.Notes != nil {
		out = append(out, d.Notes.Request.Path.names()...)
		queries = append(queries, d.Notes.Query)
	}
	for _, q := range queries {
		for _, t := range q {
			out = append(out, t.names()...)
		}
	}
	for _, w := range d.Writes.all() {
		out = append(out, w.is.names()...)
	}
	return out
}

// Client is an ats.Client for one instance of a described ATS. It is safe for concurrent use.
type Client struct {
	cfg    Config
	d      *Description
	reader reader
	http   *ats.HTTP
	tokens *ats.Tokens // nil without oauth2
	header http.Header // of every request
	caps   ats.Capabilities
}

var _ ats.Client = (*Client)(nil)

// New returns a client. It opens no connection.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("generic: %w", err)
	}
	if cfg.ReadLag == 0 {
		cfg.ReadLag = ats.DefaultReadLag
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	d := cfg.Description
	if cfg.TokenURL == "" && d.Auth.Scheme == "oauth2" {
		cfg.TokenURL = cfg.BaseURL + string(d.Auth.Token)
	}
	cfg.HTTP.Bases = []string{cfg.BaseURL}
	if cfg.TokenURL != "" {
		cfg.HTTP.Bases = append(cfg.HTTP.Bases, cfg.TokenURL)
	}
	c := &Client{cfg: cfg, d: d, http: ats.NewHTTP(cfg.HTTP), header: http.Header{}}
	c.reader = newReader(d, &c.cfg.Mapping)
	for name, t := range d.Headers {
		text, _ := c.values(nil).fill(t, nil)
		c.header.Set(name, text)
	}
	c.admit()
	c.caps = c.capabilities()
	return c, nil
}

// admit prepares how the client shows who it is.
func (c *Client) admit() {
	switch a := c.d.Auth; a.Scheme {
	case "bearer":
		c.header.Set("Authorization", "Bearer "+c.cfg.ClientSecret)
	case "basic":
		user, password := c.cfg.ClientID, c.cfg.ClientSecret
		if user == "" {
			user, password = password, ""
		}
		c.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
	case "header":
		c.header.Set(a.Header, a.Prefix+c.cfg.ClientSecret)
	case "oauth2":
		form := url.Values{}
		for k, v := range a.Form {
			form.Set(k, v)
		}
		c.tokens = ats.NewTokens(c.http, ats.TokenConfig{
			URL: c.cfg.TokenURL, ClientID: c.cfg.ClientID, ClientSecret: c.cfg.ClientSecret, Form: form, InForm: a.Sends == "form", Now: c.cfg.Now,
		})
	}
}

// capabilities is what the description declares.
func (c *Client) capabilities() ats.Capabilities {
	d, w := c.d, &c.d.Writes
	look := 0 // the read before each write that is compared by version
	if d.Compares == "version" {
		look = 1
	}
	caps := ats.Capabilities{
		Name:     d.Name,
		CASStage: d.Compares == "stage", CASVersion: d.Compares == "version",
		Move: w.Move != nil, Reject: w.Reject != nil, Unreject: w.Unreject != nil, Hire: w.Hire != nil,
		MoveTriggers: triggers[d.SetsOff.Move], RejectTriggers: triggers[d.SetsOff.Reject],
		ReadLag: c.cfg.ReadLag,
		Rate: ats.Rate{
			Requests: d.Limits.Requests, Window: time.Duration(d.Limits.Per), Burst: d.Limits.Burst, Concurrent: d.Limits.Concurrent, Daily: d.Limits.Daily,
		},
		ReadRequests: 1, ElementRequests: 1 + look, MoveRequests: 1 + look, StatusRequests: 1 + look,
		Archived: d.Archived, Region: d.Record.Region != "",
	}
	fields := 0
	for _, f := range c.cfg.Mapping.Writable() {
		if f.Note && d.Notes != nil || !f.Note && w.Elements != nil {
			caps.Elements = append(caps.Elements, f)
		}
		if !f.Note {
			fields++
		}
	}
	if w.Elements != nil && w.Elements.each() {
		caps.ElementRequests *= max(1, fields)
	}
	if d.Notes != nil {
		caps.NoteMarker = c.marker("APPLICATION")
		if d.Notes.Request.Method != "" && c.cfg.Mapping.Notes() {
			caps.ReadRequests = 2
		}
	}
	if d.Mirrors {
		caps.Answer = ats.AnswerMirror
	}
	for _, r := range d.Answers {
		switch {
		case strings.HasPrefix(string(r.Status), "2"):
			caps.Answer = ats.AnswerVerdict
		case r.Means == "not_found_or_denied":
			caps.NotFoundMayMeanDenied = true
		case r.Status == "5xx" && r.At == "" && r.Means == "not_executed":
			caps.ServerErrorNotExecuted = true
		}
	}
	return caps
}

// marker is what a note of an application begins with, %s being the element.
func (c *Client) marker(application string) string {
	v := values{text: map[string]string{"id": application, "element": "\x00"}}
	text, _ := v.fill(c.d.Notes.Marker, nil)
	return strings.ReplaceAll(strings.ReplaceAll(text, "%", "%%"), "\x00", "%s")
}

// Close drops idle connections.
func (c *Client) Close() { c.http.Close() }

// Capabilities implements ats.Client.
func (c *Client) Capabilities() ats.Capabilities { return c.caps }

// values are the placeholders that every request has, with some of its own.
func (c *Client) values(own map[string]string) values {
	v := values{text: map[string]string{"user": c.cfg.UserID}}
	maps.Copy(v.text, own)
	return v
}

// about are the placeholders that name an application.
func (c *Client) about(op, id string) (values, error) {
	if err := ats.CheckID(op, id); err != nil {
		return values{}, err
	}
	parts, ok := c.reader.ids.parts(id)
	if !ok {
		return values{}, ats.Refuse(op, ats.CodeInvalid, "application id has not the form "+string(c.d.ID.Form))
	}
	return c.values(parts), nil
}

// send makes one call, and says what its answer means.
func (c *Client) send(ctx context.Context, r ats.Request) (ats.Response, error) {
	own := r.Header
	r.Header = c.header.Clone()
	maps.Copy(r.Header, own)
	var res ats.Response
	var err error
	if c.tokens != nil {
		res, err = c.tokens.Send(ctx, r)
	} else {
		res, err = c.http.Send(ctx, r)
	}
	return res, c.d.judge(&r, &res, err)
}
