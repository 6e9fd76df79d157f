package atssim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Tenants serves several servers side by side, each below /<name>: its API at /<name>/…, its control at
// /<name>/_sim/…. They share nothing: each has its own store, credential, limits, faults and journal.
type Tenants struct {
	mux     *http.ServeMux
	servers []*Server
}

// NewTenants makes a server a name with the same configuration, but for its seed, which differs from the next one's
// by one, and its credential and webhook URL, in which {tenant} stands for the name.
func NewTenants(cfg Config, names []string) (*Tenants, error) {
	t := &Tenants{mux: http.NewServeMux()}
	for i, name := range names {
		if name == "" || name == "_sim" || strings.ContainsAny(name, "/ {}") || slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("atssim: tenant %q: names are distinct, without slash, space or brace", name)
		}
		c := cfg
		c.Seed += uint64(i)
		c.ClientID = strings.ReplaceAll(cfg.ClientID, "{tenant}", name)
		c.ClientSecret = strings.ReplaceAll(cfg.ClientSecret, "{tenant}", name)
		c.Webhooks.URL = strings.ReplaceAll(cfg.Webhooks.URL, "{tenant}", name)
		s, err := New(c)
		if err != nil {
			return nil, err
		}
		t.mux.Handle("/"+name+"/", http.StripPrefix("/"+name, s))
		t.servers = append(t.servers, s)
	}
	if len(t.servers) == 0 {
		return nil, errors.New("atssim: give at least one tenant")
	}
	t.mux.Handle("GET /readyz", t.servers[0])
	return t, nil
}

// ServeHTTP implements http.Handler.
func (t *Tenants) ServeHTTP(w http.ResponseWriter, r *http.Request) { t.mux.ServeHTTP(w, r) }

// Serve answers on a listener and runs until ctx ends, then drains for up to a second.
func (t *Tenants) Serve(ctx context.Context, l net.Listener) error {
	return serve(ctx, l, t, t.servers...)
}

// Serve answers on a listener and runs until ctx ends, then drains for up to a second.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return serve(ctx, l, s, s) }

func serve(ctx context.Context, l net.Listener, h http.Handler, servers ...*Server) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		err := srv.Serve(l)
		cancel()
		served <- err
	}()
	ran := make(chan error, len(servers))
	for _, s := range servers {
		go func() { ran <- s.Run(ctx) }()
	}
	var runErr error
	for range servers {
		runErr = errors.Join(runErr, <-ran)
	}
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if err := srv.Shutdown(stop); err != nil {
		_ = srv.Close() // still busy: cut them off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return runErr
}
