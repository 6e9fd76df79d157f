package greenhouse

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
)

// tokens keeps one OAuth2 access token and fetches it once for however many callers wait. It is safe for
// concurrent use. Neither the token nor the secret is ever part of an error.
type tokens struct {
	http   *ats.HTTP
	url    string
	basic  string
	form   string
	now    func() time.Time
	margin time.Duration

	mu      sync.Mutex
	token   string
	renewAt time.Time
	flight  *flight
}

type flight struct {
	done  chan struct{}
	token string
	err   error
}

func newTokens(h *ats.HTTP, cfg *Config) *tokens {
	form := url.Values{"grant_type": {"client_credentials"}}
	if cfg.UserID != "" {
		form.Set("sub", cfg.UserID)
	}
	basic := base64.StdEncoding.EncodeToString([]byte(cfg.ClientID + ":" + cfg.ClientSecret))
	return &tokens{http: h, url: cfg.TokenURL, basic: basic, form: form.Encode(), now: cfg.Now, margin: time.Minute}
}

// get returns a token that is not stale: the one that an answer 401 has just refused, or "". One caller
// fetches; the others wait for it under their own deadlines, so a caller that gives up hurts nobody.
func (t *tokens) get(ctx context.Context, stale string) (string, error) {
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
		code := ats.CodeTimeout
		if errors.Is(ctx.Err(), context.Canceled) {
			code = ats.CodeCancelled
		}
		return "", &ats.Error{Class: ats.NotExecuted, Code: code, Op: "token", Err: ctx.Err()}
	}
}

// fetch asks for a token once. It ends by itself: the sender bounds every call.
func (t *tokens) fetch(ctx context.Context, f *flight) {
	token, ttl, err := t.ask(ctx)
	t.mu.Lock()
	if err == nil {
		t.token = token
		t.renewAt = t.now().Add(ttl - min(t.margin, ttl/10))
	}
	t.flight = nil
	f.token, f.err = token, err
	t.mu.Unlock()
	close(f.done)
}

func (t *tokens) ask(ctx context.Context) (string, time.Duration, error) {
	res, err := t.http.Send(ctx, ats.Request{
		Op: "token", Method: http.MethodPost, URL: t.url, Body: []byte(t.form),
		Header: http.Header{"Authorization": {"Basic " + t.basic}, "Content-Type": {"application/x-www-form-urlencoded"}},
	})
	if err != nil {
		var e *ats.Error
		if errors.As(err, &e) {
			e.Class = ats.NotExecuted // the call it was for has not been sent
			if e.Status == http.StatusBadRequest {
				e.Code = ats.CodeUnauthorised // invalid_client, unauthorized_client, invalid_grant (RFC 6749, 5.2)
			}
		}
		return "", 0, err
	}
	var body struct {
		AccessToken string    `json:"access_token"`
		ExpiresIn   float64   `json:"expires_in"`
		ExpiresAt   looseTime `json:"expires_at"`
	}
	if json.Unmarshal(res.Body, &body) != nil || body.AccessToken == "" {
		return "", 0, &ats.Error{Class: ats.NotExecuted, Code: ats.CodeBadResponse, Op: "token", Status: res.Status}
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
