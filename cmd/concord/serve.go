package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// part is one thing a process runs: a processor, the gateway. Run returns after it has drained; Ready says in
// words what keeps it from making progress, and is safe for concurrent use.
type part struct {
	name string
	processor
}

type processor interface {
	Run(ctx context.Context) error
	Ready() []string
}

// gcPercent is how much garbage may gather below the memory limit, of what is in use: memory there is spares work.
const gcPercent = 200

// serve is the life of a long-running process. /metrics, /healthz and /readyz answer first and go last, in a
// group of their own, so that a drain can be watched. prepare then waits for services and builds the parts; these run
// until ctx ends or one of them fails, which ends the others too. What prepare opened and handed to a.closeLast is closed
// afterwards, in reverse.
func (a *app) serve(ctx context.Context, prepare func(context.Context) ([]part, error)) (err error) {
	if limit := int64(a.cfg.MemoryLimit); limit > 0 {
		debug.SetMemoryLimit(limit) // caches and buffers are the Go runtime's too: nothing here is allocated elsewhere
		debug.SetGCPercent(gcPercent)
	}
	stop, err := a.listen()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	defer func() { err = errors.Join(err, a.closeAll()) }()

	a.log.Info("starting", zap.String("version", buildInfo().Version), zap.Strings("configuration", a.cfg.Changed()))
	parts, err := prepare(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil // asked to stop before it had started
		}
		return err
	}
	a.health.started(parts)

	group, running := errgroup.WithContext(ctx)
	for _, p := range parts {
		group.Go(func() error {
			err := p.Run(running)
			if err == nil && running.Err() == nil {
				err = errors.New("ended by itself")
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", p.name, err)
				a.log.Error("part ended", zap.String("part", p.name), zap.Error(err))
			}
			return err
		})
	}
	done := make(chan error, 1)
	go func() { done <- group.Wait() }()
	select {
	case err = <-done:
	case <-running.Done():
		a.log.Info("draining", zap.Duration("at_most", a.cfg.DrainTimeout))
		select {
		case err = <-done:
		// Parts keep the bound themselves; this is for one that hangs.
		case <-time.After(a.cfg.DrainTimeout + 5*time.Second):
			return fmt.Errorf("did not drain within %s", a.cfg.DrainTimeout)
		}
	}
	if err == nil {
		a.log.Info("drained")
	}
	return err
}

// closeLast keeps something that must outlive every part.
func (a *app) closeLast(name string, f func() error) {
	a.closers = append(a.closers, closer{name, f})
}

type closer struct {
	name  string
	close func() error
}

func (a *app) closeAll() error {
	var errs []error
	for _, c := range slices.Backward(a.closers) {
		if err := c.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	a.closers = nil
	return errors.Join(errs...)
}

// listen starts the operations server and returns what stops it.
func (a *app) listen() (func() error, error) {
	if a.cfg.HTTP.Listen == "" {
		return func() error { return nil }, nil
	}
	l, err := net.Listen("tcp", a.cfg.HTTP.Listen)
	if err != nil {
		return nil, usage("http.listen = %s: %w", a.cfg.HTTP.Listen, err)
	}
	server := &http.Server{Handler: a.operations(), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	a.log.Info("operations server is up", zap.String("metrics", "http://"+l.Addr().String()+"/metrics"))
	return func() error {
		limit, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		err := server.Shutdown(limit)
		if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
		return err
	}, nil
}
