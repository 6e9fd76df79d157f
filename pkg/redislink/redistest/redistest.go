// Package redistest runs the Redis servers that conformance suites are held against: an
// embedded one always, and a real redis-server where the environment asks for it. It is
// for tests only.
package redistest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Env names the variable that adds a real server: set to 1, a redis-server is expected on
// PATH and its absence is a failure.
const Env = "CONCORD_TEST_REDIS"

// Each runs test once per backend, each time on an empty server of its own.
func Each(t *testing.T, test func(t *testing.T, s *Server)) {
	t.Helper()
	backends := []string{"miniredis"}
	if os.Getenv(Env) == "1" {
		backends = append(backends, "redis")
	}
	for _, name := range backends {
		t.Run(name, func(t *testing.T) {
			s := &Server{t: t}
			if name == "miniredis" {
				s.mini = miniredis.NewMiniRedis()
				s.offset = time.Now()
				s.mini.SetTime(s.offset)
			}
			s.port = freePort(t)
			s.Start()
			t.Cleanup(s.Stop)
			test(t, s)
		})
	}
}

// Server is one Redis. It keeps its address over Stop and Start.
type Server struct {
	t      *testing.T
	port   int
	mini   *miniredis.Miniredis
	offset time.Time // the embedded server's clock
	cmd    *exec.Cmd
}

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Options name the server.
func (s *Server) Options() *redis.Options { return &redis.Options{Addr: s.Addr()} }

// Real reports whether this is a redis-server.
func (s *Server) Real() bool { return s.mini == nil }

// Start starts a stopped server; it is empty.
func (s *Server) Start() {
	s.t.Helper()
	if s.mini != nil {
		if err := s.mini.StartAddr(s.Addr()); err != nil {
			s.t.Fatalf("start miniredis: %v", err)
		}
		s.mini.FlushAll()
		return
	}
	// Not bound to the test's context: that ends before cleanups run.
	s.cmd = exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port),
		"--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", s.t.TempDir())
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("start redis-server (%s=1 asks for it): %v", Env, err)
	}
	s.await(func(ctx context.Context, c *redis.Client) bool { return c.Ping(ctx).Err() == nil })
}

// Stop ends the server abruptly.
func (s *Server) Stop() {
	if s.mini != nil {
		s.mini.Close()
		return
	}
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Errorf("kill redis-server: %v", err)
	}
	if err := s.cmd.Wait(); err == nil {
		s.t.Errorf("redis-server ended by itself")
	}
	s.cmd = nil
}

// Now is the server's clock.
func (s *Server) Now() time.Time {
	if s.mini != nil {
		return s.offset
	}
	return time.Now()
}

// Pass lets d go by on the server's clock. The embedded one jumps, the real one is waited
// for.
func (s *Server) Pass(d time.Duration) {
	s.t.Helper()
	if s.mini != nil {
		s.offset = s.offset.Add(d)
		s.mini.SetTime(s.offset)
		s.mini.FastForward(d)
		return
	}
	var until time.Time
	s.await(func(ctx context.Context, c *redis.Client) bool {
		now, err := c.Time(ctx).Result()
		if err != nil {
			return false
		}
		if until.IsZero() {
			until = now.Add(d)
		}
		return now.After(until)
	})
}

// Full makes every write fail for want of memory; Roomy ends that.
func (s *Server) Full() {
	s.t.Helper()
	if s.mini != nil {
		s.mini.SetError("OOM command not allowed when used memory > 'maxmemory'.")
		return
	}
	s.do("CONFIG", "SET", "maxmemory", "1")
}

// Roomy ends Full.
func (s *Server) Roomy() {
	s.t.Helper()
	if s.mini != nil {
		s.mini.SetError("")
		return
	}
	s.do("CONFIG", "SET", "maxmemory", "0")
}

// Flush empties the server.
func (s *Server) Flush() {
	s.t.Helper()
	s.do("FLUSHALL")
}

// Do runs one command and returns its reply.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	return s.do(args...)
}

func (s *Server) do(args ...any) any {
	s.t.Helper()
	c := redis.NewClient(s.Options())
	defer s.close(c)
	reply, err := c.Do(s.t.Context(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v: %v", args[0], err)
	}
	return reply
}

// await asks until the answer is yes.
func (s *Server) await(ask func(context.Context, *redis.Client) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	c := redis.NewClient(s.Options())
	defer s.close(c)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ask(ctx, c) {
		select {
		case <-ctx.Done():
			s.t.Fatalf("redis at %s: %v", s.Addr(), ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *Server) close(c *redis.Client) {
	if err := c.Close(); err != nil {
		s.t.Errorf("close client: %v", err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		t.Fatal(fmt.Errorf("free port: %w", err))
	}
	return port
}
