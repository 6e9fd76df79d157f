//go:build e2e && unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is one `concord run ROLE`, over all its lives: its name, its data folder and its log stay. Its methods are for
// one goroutine at a time; they return errors, so that any goroutine may call them.
type process struct {
	role, name string
	args       []string
	dir        string // data folder and log
	env        []string

	cmd   *exec.Cmd
	ended chan struct{}
	state error // how it ended; after ended
	from  int64 // where this life's log starts
}

// start starts the process, or starts it again.
func (p *process) start() error {
	out, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	if p.from, err = out.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	p.cmd = exec.Command(binary, p.args...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, out, out
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	ended := make(chan struct{})
	p.ended = ended
	go func(cmd *exec.Cmd) {
		p.state = cmd.Wait()
		close(ended)
	}(p.cmd)
	return nil
}

func (p *process) log() string { return filepath.Join(p.dir, "log") }

func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends a signal to a process that must be running.
func (p *process) signal(s syscall.Signal) error {
	if !p.running() {
		return fmt.Errorf("%s has ended by itself: %w; the end of its log:\n%s", p.name, p.state, p.tail())
	}
	return p.cmd.Process.Signal(s)
}

// kill is kill -9. It returns when the process is gone, and the moment it was sent.
func (p *process) kill() (time.Time, error) {
	at := time.Now()
	if err := p.signal(syscall.SIGKILL); err != nil {
		return at, err
	}
	<-p.ended
	return at, nil
}

func (p *process) pause() error { return p.signal(syscall.SIGSTOP) }

// failure is how the process ended, with the end of its log.
func (p *process) failure() string { return fmt.Sprintf("%s: %v\n%s", p.name, p.state, p.tail()) }

func (p *process) carryOn() error { return p.signal(syscall.SIGCONT) }

// stop asks the process to stop, which it must do within half a minute and with exit code 0.
func (p *process) stop() error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // for the stacks
		<-p.ended
		return fmt.Errorf("%s did not stop within 30 s; the end of its log:\n%s", p.name, p.tail())
	}
	if p.state != nil {
		return fmt.Errorf("%s stopped with %w; the end of its log:\n%s", p.name, p.state, p.tail())
	}
	return nil
}

// address is where this life's operations server listens, "" before it does. It is read from the log.
func (p *process) address() string {
	f, err := os.Open(p.log())
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(p.from, io.SeekStart); err != nil {
		return ""
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var line struct {
			Metrics string `json:"metrics"`
		}
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Metrics != "" {
			return strings.TrimSuffix(line.Metrics, "/metrics")
		}
	}
	return ""
}

// readiness is what /readyz answers.
type readiness struct {
	Ready bool `json:"ready"`
	Parts []struct {
		Name    string   `json:"name"`
		Ready   bool     `json:"ready"`
		Reasons []string `json:"reasons"`
	} `json:"parts"`
	Degraded []string `json:"degraded"`
}

func (r readiness) String() string {
	var out []string
	for _, p := range r.Parts {
		out = append(out, p.Name+": "+strings.Join(p.Reasons, "; "))
	}
	return strings.Join(append(out, r.Degraded...), ", ")
}

func (p *process) get(ctx context.Context, path string) ([]byte, error) {
	addr := p.address()
	if addr == "" {
		return nil, fmt.Errorf("%s does not answer yet", p.name)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// readyz asks /readyz.
func (p *process) readyz(ctx context.Context) (r readiness, err error) {
	body, err := p.get(ctx, "/readyz")
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	return r, err
}

// waitReady waits until the process makes progress.
func (p *process) waitReady(ctx context.Context) error {
	var last error
	err := eventually(ctx, 2*time.Minute, func() bool {
		if !p.running() {
			last = fmt.Errorf("it ended: %w; the end of its log:\n%s", p.state, p.tail())
			return true
		}
		r, err := p.readyz(ctx)
		if err == nil && !r.Ready {
			err = errors.New(r.String())
		}
		last = err
		return err == nil
	})
	if last == nil {
		last = err
	}
	if last != nil {
		return fmt.Errorf("%s is not ready: %w", p.name, last)
	}
	return nil
}

// metric sums a metric over the label sets that contain every label given as name="value".
func (p *process) metric(ctx context.Context, name string, labels ...string) (float64, error) {
	body, err := p.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	sum := 0.0
lines:
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || (rest[0] != '{' && rest[0] != ' ') {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:]), 64)
		if err != nil {
			return 0, fmt.Errorf("%s of %s: %w", name, p.name, err)
		}
		sum += v
	}
	return sum, nil
}

// usage reads the resident memory in bytes and the CPU time so far from /proc.
func (p *process) usage() (rss int64, cpu time.Duration, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("usage of %s: %w", p.name, err)
	}
	// The second field is the name in parentheses; utime, stime and rss are fields 14, 15 and 24.
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 22 {
		return 0, 0, fmt.Errorf("usage of %s: /proc has %d fields", p.name, len(f))
	}
	var n [3]int64
	for i, at := range []int{14 - 3, 15 - 3, 24 - 3} {
		if n[i], err = strconv.ParseInt(string(f[at]), 10, 64); err != nil {
			return 0, 0, fmt.Errorf("usage of %s: %w", p.name, err)
		}
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	return n[2] * int64(os.Getpagesize()), time.Duration(n[0]+n[1]) * tick, nil
}

// tail is the end of the log.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	if len(b) > 4000 {
		b = b[len(b)-4000:]
	}
	return string(b)
}

// eventually polls a condition until it holds. The error says that it did not in time.
func eventually(ctx context.Context, within time.Duration, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", within, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pause waits; it is for faults that last a while, never for a condition.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
