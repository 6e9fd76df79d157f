package ats

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// HTTPConfig bounds the HTTP side of a client. Zero values take the defaults named with each field.
type HTTPConfig struct {
	// DialTimeout bounds connecting, TLS included; 5 s.
	DialTimeout time.Duration
	// Timeout bounds one request when the caller's context has no nearer deadline; 30 s.
	Timeout time.Duration
	// IdleTimeout closes idle connections before the server is likely to; 15 s.
	IdleTimeout time.Duration
	// MaxBody bounds a response body, in bytes; 4 MiB.
	MaxBody int64
	// MaxConns bounds the connections to one host; 64.
	MaxConns int
	// TLS is the client side TLS configuration; nil for the system's roots. Certificates are always verified.
	TLS *tls.Config
	// Bases are the URLs it talks to, by scheme, host and port; nothing else is ever called. See CheckBase.
	Bases []string
	// PrivateNetwork lets a configured host resolve to a private address: an ATS of one's own.
	PrivateNetwork bool
	// Pay pays for each request. Nil where nothing bounds them.
	Pay Pay
}

// Pay is called before a request and waits until it may be made; done when it has ended, with false where it may have been
// sent and no answer came: the server may get and count it later.
type Pay func(context.Context) (done func(answered bool), err error)

// HTTP sends requests at most once and says what each failure proves. It is safe for concurrent use.
//
// net/http replays a request on its own when a kept-alive connection turns out to be closed, if it is
// idempotent, has no body, or has a body it can rewind. So a write always has a body and never a rewindable
// one: once a byte of it has been taken to be written, net/http has to give up. HTTP/2 is left off, as its
// retry rules are others. Redirects are followed for reads on the same scheme and host only, and only the
// configured addresses are called at all.
type HTTP struct {
	client  *http.Client
	egress  *egress
	pay     Pay
	timeout time.Duration
	maxBody int64
}

// Request is one call.
type Request struct {
	Op     string // for Error.Op
	Method string
	URL    string
	Header http.Header
	// Body is sent as it is; a write without one sends "{}".
	Body []byte
	// Write marks a call that changes something: it is sent at most once.
	Write bool
}

// Response is an answer: a status below 300, read whole.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	// Date is the server's Date header, zero when there was none; RoundTrip the time the call took.
	Date      time.Time
	RoundTrip time.Duration
}

// AsOf is the request's start in the server's own time, to the second; zero when it sent no Date.
func (r *Response) AsOf() time.Time {
	if r.Date.IsZero() {
		return time.Time{}
	}
	return r.Date.Add(-r.RoundTrip).Truncate(time.Second)
}

// NewHTTP returns a sender with these bounds.
func NewHTTP(cfg HTTPConfig) *HTTP {
	out := newEgress(cfg.Bases, cfg.PrivateNetwork, or(cfg.DialTimeout, 5*time.Second), http.ProxyFromEnvironment)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := out.dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &countedConn{Conn: c}, nil
		},
		TLSClientConfig:        verified(cfg.TLS),
		TLSHandshakeTimeout:    or(cfg.DialTimeout, 5*time.Second),
		IdleConnTimeout:        or(cfg.IdleTimeout, 15*time.Second),
		MaxConnsPerHost:        or(cfg.MaxConns, 64),
		MaxIdleConnsPerHost:    or(cfg.MaxConns, 64),
		MaxIdleConns:           2 * or(cfg.MaxConns, 64),
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              protocols,
	}
	h := &HTTP{egress: out, pay: cfg.Pay, timeout: or(cfg.Timeout, 30*time.Second), maxBody: or(cfg.MaxBody, 4<<20)}
	h.client = &http.Client{Transport: transport, CheckRedirect: sameHostReads}
	return h
}

func or[T int | int64 | time.Duration](v, fallback T) T {
	if v > 0 {
		return v
	}
	return fallback
}

// verified is a TLS configuration that checks certificates, whatever it was given.
func verified(c *tls.Config) *tls.Config {
	if c == nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c = c.Clone()
	c.InsecureSkipVerify = false
	return c
}

func sameHostReads(req *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet || len(via) > 3 || req.URL.Host != first.URL.Host || req.URL.Scheme != first.URL.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close drops idle connections.
func (h *HTTP) Close() { h.client.CloseIdleConnections() }

// Send makes the call. A status of 300 or more, and every failure, is an *Error. When a write was answered
// 2xx its response counts as received even if the body could not be read: the body proves nothing anyway.
func (h *HTTP) Send(ctx context.Context, r Request) (Response, error) {
	answered := true // or not sent at all
	if h.pay != nil {
		done, err := h.pay(ctx)
		if err != nil {
			code := CodeRateLimited
			if errors.Is(err, context.Canceled) {
				code = CodeCancelled
			}
			return Response{}, &Error{Class: NotExecuted, Code: code, Op: r.Op, Err: err}
		}
		defer func() { done(answered) }()
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	var sent sendTrace
	var replays replays
	defer func() { replays.done(answered) }()
	traced := httptrace.WithClientTrace(ctx, sent.hooks())
	if h.pay != nil {
		traced = httptrace.WithClientTrace(traced, replays.hooks(ctx, h.pay))
	}
	req, err := h.request(traced, r)
	if err != nil {
		return Response{}, Refuse(r.Op, CodeInvalid, "request cannot be built")
	}
	if !h.egress.allows(req.URL) {
		return Response{}, Refuse(r.Op, CodeInvalid, "the URL is below none that is configured")
	}
	start := time.Now()
	res, err := h.client.Do(req)
	if err != nil {
		begun := sent.begun()
		answered = !begun
		return Response{}, transportError(ctx, r, begun, err)
	}
	defer func() { _ = res.Body.Close() }()
	out := Response{Status: res.StatusCode, Header: res.Header}
	if d, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		out.Date = d
	}
	out.Body, err = io.ReadAll(io.LimitReader(res.Body, h.maxBody+1))
	out.RoundTrip = time.Since(start)
	if res.StatusCode >= 300 {
		return out, statusError(r, out)
	}
	if r.Write {
		return out, nil
	}
	if err != nil {
		return out, transportError(ctx, r, true, err)
	}
	if int64(len(out.Body)) > h.maxBody {
		return out, r.fail(CodeBadResponse, out.Status, fmt.Errorf("body above %d bytes", h.maxBody))
	}
	return out, nil
}

func (h *HTTP) request(ctx context.Context, r Request) (*http.Request, error) {
	var body io.Reader
	payload := r.Body
	if r.Write && len(payload) == 0 {
		payload = []byte("{}")
	}
	if len(payload) > 0 {
		body = onceBody{bytes.NewReader(payload)}
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return nil, err
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
	if len(payload) > 0 {
		req.ContentLength = int64(len(payload))
		if req.Header.Get("Content-Type") == "" {
			req.Header.Set("Content-Type", "application/json")
		}
	}
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// onceBody hides the reader's type from net/http, which would know how to rewind it.
type onceBody struct{ io.Reader }

// fail makes the error of a call that got an answer of no use.
func (r Request) fail(code Code, status int, err error) *Error {
	class := NotExecuted
	if r.Write {
		class = Unknown
	}
	return &Error{Class: class, Code: code, Op: r.Op, Status: status, Err: err}
}

// transportError classes a call without an answer. Begun means that a byte of it may have left.
func transportError(ctx context.Context, r Request, begun bool, err error) error {
	code := CodeReset
	var timeout net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		code = CodeCancelled
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		code = CodeTimeout
	case !begun:
		code = CodeConnectionRefused
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) { // its text has the whole URL
		err = wrapped.Err
	}
	e := r.fail(code, 0, err)
	if !begun {
		e.Class = NotExecuted
	}
	return e
}

// statusError classes an answer of 300 and above.
func statusError(r Request, res Response) error {
	e := r.fail(CodeBadResponse, res.Status, nil)
	switch {
	case res.Status == http.StatusTooManyRequests:
		e.Class, e.Code = NotExecuted, CodeRateLimited
	case res.Status == http.StatusUnauthorized:
		e.Class, e.Code = NotExecuted, CodeUnauthorised
	case res.Status == http.StatusForbidden:
		e.Class, e.Code = NotExecuted, CodeForbidden
	case res.Status == http.StatusNotFound, res.Status == http.StatusGone:
		e.Class, e.Code = Refused, CodeNotFound
	case res.Status == http.StatusRequestTimeout:
		e.Code = CodeTimeout
	case res.Status >= 500:
		e.Code = CodeServerError
	case res.Status >= 400:
		e.Class, e.Code = Refused, CodeInvalid
	}
	e.RetryAfter, e.AsOf = RetryAfter(res.Header, res.Date), res.AsOf()
	return e
}

// maxRetryAfter bounds what a server can ask for.
const maxRetryAfter = time.Hour

// RetryAfter reads how long an answer asks to wait: Retry-After in seconds or as a date against the answer's
// own Date, else X-RateLimit-Reset or X-Rate-Limit-Reset as a Unix time likewise. It is between 0 (not said) and an hour.
func RetryAfter(h http.Header, date time.Time) time.Duration {
	until := func(t time.Time) time.Duration {
		if date.IsZero() {
			return 0
		}
		return min(max(t.Sub(date), 0), maxRetryAfter)
	}
	if v := h.Get("Retry-After"); v != "" {
		if s, err := strconv.ParseFloat(v, 64); err == nil {
			if !(s > 0) {
				return 0
			}
			return time.Duration(min(s, maxRetryAfter.Seconds()) * float64(time.Second))
		}
		if t, err := http.ParseTime(v); err == nil {
			return until(t)
		}
	}
	for _, name := range []string{"X-RateLimit-Reset", "X-Rate-Limit-Reset"} {
		if s, err := strconv.ParseInt(h.Get(name), 10, 64); err == nil && s > 0 {
			return until(time.Unix(s, 0))
		}
	}
	return 0
}

// countedConn counts the bytes the kernel took, and those of a write under way: a write cut off by a
// cancelled call must not look as if it had never begun.
type countedConn struct {
	net.Conn
	written atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p)))
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n - len(p)))
	return n, err
}

// replays pays for what net/http sends again by itself: a read whose kept-alive connection turns out to be closed. Its hook
// runs on net/http's goroutines.
type replays struct {
	mu    sync.Mutex
	sent  bool
	ended []func(answered bool)
}

func (p *replays) hooks(ctx context.Context, pay Pay) *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.sent {
			if done, err := pay(ctx); err == nil { // else the request ends with its context too
				p.ended = append(p.ended, done)
			}
		}
		p.sent = true
	}}
}

func (p *replays) done(answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range p.ended {
		end(answered)
	}
}

// sendTrace tells whether a byte of a request may have left. Its hook runs on net/http's goroutines.
type sendTrace struct {
	conn   atomic.Pointer[countedConn]
	before atomic.Int64
	opaque atomic.Bool // a connection we cannot count on
}

func (s *sendTrace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		c := info.Conn
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		counted, ok := c.(*countedConn)
		if !ok {
			s.opaque.Store(true)
			return
		}
		s.before.Store(counted.written.Load())
		s.conn.Store(counted)
	}}
}

func (s *sendTrace) begun() bool {
	if s.opaque.Load() {
		return true
	}
	c := s.conn.Load()
	return c != nil && c.written.Load() != s.before.Load()
}
