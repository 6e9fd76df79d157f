package ats_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ratelimit"
)

func send(t *testing.T, h *ats.HTTP, ctx context.Context, url string, write bool) (ats.Response, *ats.Error) {
	t.Helper()
	method := http.MethodGet
	if write {
		method = http.MethodPost
	}
	res, err := h.Send(ctx, ats.Request{Op: "test", Method: method, URL: url, Write: write})
	var e *ats.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("not an *ats.Error: %v", err)
	}
	return res, e
}

// client calls the given URLs.
func client(t *testing.T, cfg ats.HTTPConfig, urls ...string) *ats.HTTP {
	t.Helper()
	cfg.Bases = append(cfg.Bases, urls...)
	h := ats.NewHTTP(cfg)
	t.Cleanup(h.Close)
	return h
}

func TestStatusClasses(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct {
		class ats.Class
		code  ats.Code
	}{
		301: {ats.Unknown, ats.CodeBadResponse},
		400: {ats.Refused, ats.CodeInvalid},
		401: {ats.NotExecuted, ats.CodeUnauthorised},
		403: {ats.NotExecuted, ats.CodeForbidden},
		404: {ats.Refused, ats.CodeNotFound},
		408: {ats.Unknown, ats.CodeTimeout},
		422: {ats.Refused, ats.CodeInvalid},
		429: {ats.NotExecuted, ats.CodeRateLimited},
		500: {ats.Unknown, ats.CodeServerError},
		503: {ats.Unknown, ats.CodeServerError},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		}))
		defer srv.Close()
		_, e := send(t, client(t, ats.HTTPConfig{}, srv.URL), t.Context(), srv.URL, true)
		if e == nil || e.Class != want.class || e.Code != want.code || e.Status != status || e.RetryAfter != 7*time.Second {
			t.Errorf("write %d: got %+v, want %v %v", status, e, want.class, want.code)
		}
		if _, e := send(t, client(t, ats.HTTPConfig{}, srv.URL), t.Context(), srv.URL, false); e == nil || e.Class == ats.Unknown {
			t.Errorf("read %d: got %+v, want a class other than unknown", status, e)
		}
	}
}

func TestNoConnectionIsNotExecuted(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, e := send(t, client(t, ats.HTTPConfig{}, url), t.Context(), url, true)
	if e == nil || e.Class != ats.NotExecuted || e.Code != ats.CodeConnectionRefused {
		t.Errorf("refused: %+v", e)
	}
	past, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	_, e = send(t, client(t, ats.HTTPConfig{}, url), past, url, true)
	if e == nil || e.Class != ats.NotExecuted || e.Code != ats.CodeTimeout {
		t.Errorf("deadline passed before: %+v", e)
	}
	if e != nil && strings.Contains(e.Error(), url) {
		t.Errorf("the error shows the URL: %v", e)
	}
}

// rawServer accepts connections and hands each request head it reads to serve, which says whether to answer.
func rawServer(t *testing.T, serve func(n int64, c net.Conn) bool) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var requests atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				in := bufio.NewReader(c)
				for {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					if _, err := in.Discard(int(req.ContentLength)); err != nil {
						return
					}
					if !serve(requests.Add(1), c) {
						return
					}
					if _, err := c.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n")); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), &requests
}

// A server that takes the second request of a kept-alive connection and drops it makes net/http replay what
// it thinks it may. A write must reach it once.
func TestWriteIsNotReplayedOnALostKeepAlive(t *testing.T) {
	t.Parallel()
	url, requests := rawServer(t, func(n int64, _ net.Conn) bool { return n != 2 })
	h := client(t, ats.HTTPConfig{}, url)
	if _, e := send(t, h, t.Context(), url, true); e != nil {
		t.Fatal(e)
	}
	_, e := send(t, h, t.Context(), url, true)
	if e == nil || e.Class != ats.Unknown || e.Code != ats.CodeReset {
		t.Errorf("lost write: %+v", e)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("the server saw %d requests, want 2: the write was replayed", n)
	}
	// net/http takes an idempotency key as leave to replay, if only it could rewind the body.
	url, requests = rawServer(t, func(n int64, _ net.Conn) bool { return n != 2 })
	h = client(t, ats.HTTPConfig{}, url)
	for range 2 {
		_, err := h.Send(t.Context(), ats.Request{
			Op: "test", Method: http.MethodPost, URL: url, Write: true, Header: http.Header{"Idempotency-Key": {"k"}},
		})
		if n := requests.Load(); (err != nil) != (n == 2) {
			t.Errorf("request %d: %v", n, err)
		}
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("the server saw %d requests with an idempotency key, want 2", n)
	}
	// The same loss of a read is replayed and succeeds: the test above could fail.
	url, requests = rawServer(t, func(n int64, _ net.Conn) bool { return n != 2 })
	h = client(t, ats.HTTPConfig{}, url)
	for range 2 {
		if _, e := send(t, h, t.Context(), url, false); e != nil {
			t.Fatal(e)
		}
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("the server saw %d reads, want 3", n)
	}
}

func TestSilenceAfterTheRequestIsUnknown(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	url, requests := rawServer(t, func(int64, net.Conn) bool { <-done; return false })
	_, e := send(t, client(t, ats.HTTPConfig{Timeout: 50 * time.Millisecond}, url), t.Context(), url, true)
	if e == nil || e.Class != ats.Unknown || e.Code != ats.CodeTimeout {
		t.Errorf("silence: %+v", e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	url, seen := rawServer(t, func(int64, net.Conn) bool { cancel(); <-done; return false })
	_, e = send(t, client(t, ats.HTTPConfig{}, url), ctx, url, true)
	if e == nil || e.Class != ats.Unknown || e.Code != ats.CodeCancelled {
		t.Errorf("cancelled while sent: %+v", e)
	}
	if requests.Load() != 1 || seen.Load() != 1 {
		t.Errorf("requests: %d and %d, want one each", requests.Load(), seen.Load())
	}
}

func TestBodyAndRedirectBounds(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2000)) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/here", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/see", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/here", http.StatusSeeOther) })
	mux.HandleFunc("/scheme", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+"/here", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/here", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Method)) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	h := client(t, ats.HTTPConfig{MaxBody: 1000}, srv.URL)
	const read = 1001 // no more than shows that it is too much
	if res, e := send(t, h, t.Context(), srv.URL+"/big", false); e == nil || e.Code != ats.CodeBadResponse || len(res.Body) > read {
		t.Errorf("oversize read: %d bytes, %+v", len(res.Body), e)
	}
	if res, e := send(t, h, t.Context(), srv.URL+"/big", true); e != nil || len(res.Body) > read {
		t.Errorf("a write answered 2xx is answered, whatever its body: %d bytes, %+v", len(res.Body), e)
	}
	// A 303 makes a GET of a write, which net/http can follow: its answer would pass for the write's.
	if _, e := send(t, h, t.Context(), srv.URL+"/see", true); e == nil || e.Class != ats.Unknown || e.Status != http.StatusSeeOther {
		t.Errorf("a write redirected as a read: %+v", e)
	}
	if _, e := send(t, h, t.Context(), srv.URL+"/scheme", false); e == nil || e.Code != ats.CodeBadResponse || e.Status != http.StatusTemporaryRedirect {
		t.Errorf("redirect to another scheme: %+v", e)
	}
	for _, write := range []bool{false, true} {
		if _, e := send(t, h, t.Context(), srv.URL+"/away", write); e == nil || e.Code != ats.CodeBadResponse {
			t.Errorf("redirect to another host, write %v: %+v", write, e)
		}
	}
	if _, e := send(t, h, t.Context(), srv.URL+"/moved", true); e == nil {
		t.Error("a redirected write was followed")
	}
	if res, e := send(t, h, t.Context(), srv.URL+"/moved", false); e != nil || string(res.Body) != "GET" {
		t.Errorf("redirected read: %q %+v", res.Body, e)
	}
	if elsewhere.Load() != 0 {
		t.Error("a credential left for another host")
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, key, value string
		want             time.Duration
	}{
		{"seconds", "Retry-After", "3", 3 * time.Second},
		{"fraction", "Retry-After", "0.5", 500 * time.Millisecond},
		{"zero", "Retry-After", "0", 0},
		{"negative", "Retry-After", "-9", 0},
		{"not a number", "Retry-After", "NaN", 0},
		{"endless", "Retry-After", "1e300", time.Hour},
		{"date", "Retry-After", "Sun, 01 Mar 2026 12:00:09 GMT", 9 * time.Second},
		{"date gone by", "Retry-After", "Sun, 01 Mar 2026 11:00:00 GMT", 0},
		{"reset", "X-RateLimit-Reset", "1772366404", 4 * time.Second},
		{"nonsense", "Retry-After", "soon", 0},
		{"nothing", "X-Other", "1", 0},
	} {
		h := http.Header{}
		h.Set(c.key, c.value)
		if got := ats.RetryAfter(h, date); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A read that net/http sends again by itself, as its connection turned out to be closed, is paid for twice.
func TestWhatIsSentAgainIsPaidForAgain(t *testing.T) {
	t.Parallel()
	var served, paid, ended atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) == 2 {
			panic(http.ErrAbortHandler) // on the connection that the first one left open
		}
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(server.Close)
	h := ats.NewHTTP(ats.HTTPConfig{Bases: []string{server.URL}, Pay: func(context.Context) (func(bool), error) {
		paid.Add(1)
		return func(answered bool) {
			if answered {
				ended.Add(1)
			}
		}, nil
	}})
	t.Cleanup(h.Close)
	for range 2 {
		if _, err := h.Send(t.Context(), ats.Request{Op: "read", Method: http.MethodGet, URL: server.URL}); err != nil {
			t.Fatal(err)
		}
	}
	if served.Load() != 3 || paid.Load() != 3 || ended.Load() != 3 {
		t.Errorf("%d requests, %d paid for, %d ended; want three each", served.Load(), paid.Load(), ended.Load())
	}
}

// What was sent and given up without an answer may reach the server later, beside what the next window allows: until it
// cannot be under way any more it counts.
func TestWhatNobodyAnsweredCounts(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				_, _ = c.Read(make([]byte, 1))
				arrived <- struct{}{}
				_, _ = io.Copy(io.Discard, c) // until the client gives up
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); serving.Wait() })
	url := "http://" + listener.Addr().String()
	for name, ahead := range map[string]bool{"one by one": false, "taken ahead": true} {
		var us atomic.Int64
		us.Store(1_700_000_000_000_000)
		l, err := ratelimit.New(nil, ratelimit.Config{
			Limit: ratelimit.Limit{Rate: 2, Window: 10 * time.Second}, Now: func() time.Time { return time.UnixMicro(us.Load()) },
		})
		if err != nil {
			t.Fatal(err)
		}
		m := l.Meter("gh")
		h := ats.NewHTTP(ats.HTTPConfig{Bases: []string{url}, Pay: m.Pay})
		t.Cleanup(h.Close)
		var advance *ratelimit.Advance
		if ahead {
			if advance, _, err = m.Ahead(t.Context(), 2, 0, 0); err != nil || advance == nil {
				t.Fatalf("%v, %v", advance, err)
			}
		}
		for range 2 {
			ctx, giveUp := context.WithCancel(t.Context())
			go func() { <-arrived; giveUp() }()
			if _, err := h.Send(ctx, ats.Request{Op: "read", Method: http.MethodGet, URL: url}); ats.CodeOf(err) != ats.CodeCancelled {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if ahead {
			advance.GiveBack(t.Context())
		}
		free := func() bool {
			a, wait, err := m.Ahead(t.Context(), 1, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if a != nil {
				a.GiveBack(t.Context())
			}
			return wait == 0
		}
		us.Add((10*time.Second + time.Millisecond).Microseconds())
		if free() {
			t.Errorf("%s: a third request may go while two may still be counted in its window", name)
		}
		us.Add((20 * time.Second).Microseconds())
		if !free() {
			t.Errorf("%s: what nobody answered counts for ever", name)
		}
	}
}

// Headers are bounded like bodies.
func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			w.Header().Add("X-Filler", strings.Repeat("x", 1<<10))
		}
	}))
	t.Cleanup(server.Close)
	h := ats.NewHTTP(ats.HTTPConfig{Bases: []string{server.URL}})
	t.Cleanup(h.Close)
	if _, err := send(t, h, t.Context(), server.URL, false); err == nil {
		t.Error("100 KiB of headers are taken")
	}
}
