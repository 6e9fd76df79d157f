//go:build unix

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// How long a service may take to answer, and to end after SIGTERM. Both are generous: machines under load are slow.
const (
	startTimeout = 3 * time.Minute
	stopTimeout  = time.Minute
	pollInterval = 100 * time.Millisecond
)

// Process is one service: a command line, a folder and a port that stay the same over restarts. Its output is appended
// to the file log in its folder. Its methods are for one goroutine at a time.
type Process struct {
	name     string
	dir      string
	addr     string
	detached bool
	env      []string
	log      io.Writer
	// command builds the command line; extra are Start's arguments.
	command func(extra []string) []string
	// ready asks once whether the service answers.
	ready func(ctx context.Context) error

	run atomic.Pointer[running]
}

// running is one life of a process.
type running struct {
	pid  int
	done chan struct{} // closed when the process has been waited for
	end  string        // how it ended, such as "exit status 1"; after done
}

// Name is "kafka-1", "registry" or "redis".
func (p *Process) Name() string { return p.name }

// Addr is host:port.
func (p *Process) Addr() string { return p.addr }

// Dir is the service's folder.
func (p *Process) Dir() string { return p.dir }

// LogFile is where the service's output goes.
func (p *Process) LogFile() string { return filepath.Join(p.dir, "log") }

// PID is the process id, 0 when it does not run.
func (p *Process) PID() int {
	r := p.run.Load()
	if r == nil || r.ended() {
		return 0
	}
	return r.pid
}

// Exited returns a channel that is closed when the process of the latest Start has ended. It panics before the first.
func (p *Process) Exited() <-chan struct{} { return p.run.Load().done }

func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Start starts the process on its folder and port and waits until it answers. extra is for this one life: appended to
// the command line of Kafka ("--override", "key=value") and Redis, Java options for the registry. A process that ends
// before it answers is an error with the end of its log.
func (p *Process) Start(ctx context.Context, extra ...string) error {
	if p.PID() != 0 {
		return fmt.Errorf("start %s: it runs already, pid %d", p.name, p.PID())
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	r, err := p.spawn(extra)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.run.Store(r)
	from := time.Now()
	for {
		err := p.ready(ctx)
		if err == nil {
			fmt.Fprintf(p.log, "%s answers on %s after %.1f s (pid %d)\n", p.name, p.addr, time.Since(from).Seconds(), r.pid)
			return nil
		}
		select {
		case <-r.done:
			return fmt.Errorf("start %s: it ended (%s) before it answered; the end of %s:\n%s", p.name, r.end, p.LogFile(), p.logTail())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start %s: no answer in %.0f s: %w; the end of %s:\n%s",
				p.name, time.Since(from).Seconds(), err, p.LogFile(), p.logTail()), p.Kill())
		case <-time.After(pollInterval):
		}
	}
}

func (p *Process) spawn(extra []string) (*running, error) {
	out, err := os.OpenFile(p.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	line := p.command(extra)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := launch(cmd, p.detached); err != nil {
		return nil, err
	}
	r := &running{pid: cmd.Process.Pid, done: make(chan struct{})}
	if err := writePID(p.dir, r.pid); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	go func() {
		_ = cmd.Wait() // it says no more than the state
		r.end = cmd.ProcessState.String()
		close(r.done)
	}()
	return r, nil
}

// Kill ends the process with SIGKILL and waits until it is gone. It is no error if it does not run.
func (p *Process) Kill() error {
	r := p.run.Load()
	if r == nil || r.ended() {
		return nil
	}
	if err := r.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-r.done
	return nil
}

// Stop ends the process cleanly, with SIGTERM, and waits until it is gone. One that takes longer than a minute is killed,
// which is an error.
func (p *Process) Stop() error {
	r := p.run.Load()
	if r == nil || r.ended() {
		return nil
	}
	// A frozen process would not see it.
	if err := errors.Join(r.signal(syscall.SIGTERM), r.signal(syscall.SIGCONT)); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-r.done:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("stop %s: still there %s after SIGTERM; killed", p.name, stopTimeout), p.Kill())
	}
}

// Pause freezes the process (SIGSTOP): its connections stay open and nothing answers.
func (p *Process) Pause() error { return p.signal("pause", syscall.SIGSTOP) }

// Continue goes on after Pause.
func (p *Process) Continue() error { return p.signal("continue", syscall.SIGCONT) }

func (p *Process) signal(verb string, s syscall.Signal) error {
	r := p.run.Load()
	if r == nil || r.ended() {
		return fmt.Errorf("%s %s: it does not run", verb, p.name)
	}
	if err := r.signal(s); err != nil {
		return fmt.Errorf("%s %s: %w", verb, p.name, err)
	}
	return nil
}

// signal sends s; a process that has just ended does not mind.
func (r *running) signal(s syscall.Signal) error {
	if err := syscall.Kill(r.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// logTail is the last lines of the process's output.
func (p *Process) logTail() string {
	content, err := os.ReadFile(p.LogFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
