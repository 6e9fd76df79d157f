package ats

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats/loose"
)

// TokenConfig is an OAuth2 client-credentials grant (RFC 6749, 4.4).
type TokenConfig struct {
	URL                    string
	ClientID, ClientSecret string
	// Form is sent besides grant_type. With InForm the credentials go there, not into HTTP Basic.
	Form   url.Values
	InForm bool
	// Now tells the time for renewal; time.Now when nil.
	Now func() time.Time
}

// Tokens keeps one OAuth2 access token and fetches it once for however many callers wait. It is safe for
// concurrent use. Neither the token nor the secret is ever part of an error.
type Tokens struct {
	http   *HTTP
	url    string
	header http.Header
	form   string
	now    func() time.Time

	mu      sync.Mutex
	token   string
	renewAt time.Time
	flight  *flight
}

// renewalMargin is how long before its end a token is renewed, at most a tenth of its life.
const renewalMargin = time.Minute

type flight struct {
	done  chan struct{}
	token string
	err   error
}

// NewTokens returns a keeper of tokens. It asks for none yet.
func NewTokens(h *HTTP, cfg TokenConfig) *Tokens {
	form := url.Values{"grant_type": {"client_credentials"}}
	for k, v := range cfg.Form {
		form[k] = v
	}
	t := &Tokens{http: h, url: cfg.URL, now: cfg.Now, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}
	if cfg.InForm {
		form.Set("client_id", cfg.ClientID)
		form.Set("client_secret", cfg.ClientSecret)
	} else {
		t.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(cfg.ClientID+":"+cfg.ClientSecret)))
	}
	t.form = form.Encode()
	if t.now == nil {
		t.now = time.Now
	}
	return t
}

// Send makes a call with a token. An answer 401 proves that it was not executed: the token is renewed, by
// one caller for all, and the call goes once more.
func (t *Tokens) Send(ctx context.Context, r Request) (Response, error) {
	given, stale := r.Header, ""
	for {
		token, err := t.get(ctx, stale)
		if err != nil {
			return Response{}, err
		}
		r.Header = given.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := t.http.Send(ctx, r)
		if err == nil || stale != "" || CodeOf(err) != CodeUnauthorised {
			return res, err
		}
		stale = token
	}
}

// get returns a token that is not stale: the one that an answer 401 has just refused, or "". One caller
// fetches; the others wait for it under their own deadlines, so a caller that gives up hurts nobody.
func (t *Tokens) get(ctx context.Context, stale string) (string, error) {
	t.mu.Lock()
	if t.token != "" && t.token != stale && t.now().Before(t.renewAt) {
		defer t.mu.Unlock()
		return t.token, nil
	}
	f := t.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		t.flight = f
		go t.fetch(context.WithoutCancel(ctx), f)
	}
	t.mu.Unlock()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return "", GaveUp(ctx, "token")
	}
}

// fetch asks for a token once. It ends by itself: the sender bounds every call.
func (t *Tokens) fetch(ctx context.Context, f *flight) {
	token, ttl, err := t.ask(ctx)
	t.mu.Lock()
	if err == nil {
		t.token = token
		t.renewAt = t.now().Add(ttl - min(renewalMargin, ttl/10))
	}
	t.flight = nil
	f.token, f.err = token, err
	t.mu.Unlock()
	close(f.done)
}

func (t *Tokens) ask(ctx context.Context) (string, time.Duration, error) {
	res, err := t.http.Send(ctx, Request{Op: "token", Method: http.MethodPost, URL: t.url, Body: []byte(t.form), Header: t.header})
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Class = NotExecuted // the call it was for has not been sent
			if e.Status == http.StatusBadRequest {
				e.Code = CodeUnauthorised // invalid_client, unauthorized_client, invalid_grant (RFC 6749, 5.2)
			}
		}
		return "", 0, err
	}
	var body struct {
		AccessToken string     `json:"access_token"`
		ExpiresIn   float64    `json:"expires_in"`
		ExpiresAt   loose.Time `json:"expires_at"`
	}
	if json.Unmarshal(res.Body, &body) != nil || body.AccessToken == "" {
		return "", 0, &Error{Class: NotExecuted, Code: CodeBadResponse, Op: "token", Status: res.Status}
	}
	ttl := time.Duration(body.ExpiresIn * float64(time.Second))
	if ttl <= 0 && !body.ExpiresAt.IsZero() {
		from := res.Date // the server's own clock: ours may be off
		if from.IsZero() {
			from = t.now()
		}
		ttl = body.ExpiresAt.Sub(from)
	}
	return body.AccessToken, min(max(ttl, time.Second), 24*time.Hour), nil
}
