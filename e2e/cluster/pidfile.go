//go:build unix

package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// A pid file holds the process id and what tells that process from a later one with the same id.
const pidFile = "pid"

func writePID(dir string, pid int) error {
	id, err := identity(pid)
	if errors.Is(err, os.ErrProcessDone) {
		return nil // who waits for it says how it ended
	}
	if err != nil {
		return fmt.Errorf("identify process %d: %w", pid, err)
	}
	return os.WriteFile(filepath.Join(dir, pidFile), []byte(strconv.Itoa(pid)+" "+id+"\n"), 0o644)
}

// readPID returns the process of a pid file, or 0 if that process is gone, whatever has its id now.
func readPID(path string) (int, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	number, id, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 || id == "" {
		return 0, fmt.Errorf("%s holds %q, not a process id and its start: remove it", path, content)
	}
	now, err := identity(pid)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrProcessDone) || now != id {
		return 0, nil
	}
	return pid, err
}

// Running returns the names of the services in a folder that run, of this process or of one before it.
func Running(dir string) ([]string, error) {
	pids, err := alive(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range pids {
		out = append(out, p.name)
	}
	return out, nil
}

type service struct {
	name string
	path string // of the pid file
	pid  int
}

func alive(dir string) ([]service, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*", pidFile))
	if err != nil {
		return nil, err
	}
	var out []service
	for _, path := range paths {
		pid, err := readPID(path)
		if err != nil {
			return nil, err
		}
		if pid != 0 {
			out = append(out, service{filepath.Base(filepath.Dir(path)), path, pid})
		}
	}
	return out, nil
}

// Stop ends the services that a detached cluster left running in a folder, those alone, and returns their names. Each
// gets SIGTERM, and SIGKILL if it is still there after grace.
func Stop(dir string, grace time.Duration) ([]string, error) {
	services, err := alive(dir)
	if err != nil {
		return nil, err
	}
	var stopped []string
	var g errgroup.Group
	for _, s := range services {
		stopped = append(stopped, s.name)
		g.Go(func() error { return s.stop(grace) })
	}
	return stopped, g.Wait()
}

func (s service) stop(grace time.Duration) error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, stopTimeout}} {
		if err := syscall.Kill(s.pid, step.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop %s, pid %d: %w", s.name, s.pid, err)
		}
		for deadline := time.Now().Add(step.wait); time.Now().Before(deadline); time.Sleep(pollInterval) {
			if pid, err := readPID(s.path); err != nil {
				return err
			} else if pid == 0 {
				return nil
			}
		}
	}
	return fmt.Errorf("stop %s: pid %d is still there after SIGKILL", s.name, s.pid)
}
