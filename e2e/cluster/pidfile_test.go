//go:build unix

package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// idle is a process that does nothing until it is ended, with a pid file in a service's folder.
func idle(t *testing.T, dir, name string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writePID(filepath.Join(dir, name), cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A stop ends the processes that were started, and no other that has got one of their ids since.
func TestStopEndsOurProcessesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ours, other, gone := idle(t, dir, "kafka-1"), idle(t, dir, "redis"), idle(t, dir, "registry")
	// The second one's file is of a process that was started at another time under the same id.
	path := filepath.Join(dir, "redis", pidFile)
	if err := os.WriteFile(path, []byte(strconv.Itoa(other.Process.Pid)+" another-boot/12345\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := gone.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = gone.Wait()

	waited := make(chan error, 1)
	go func() { waited <- ours.Wait() }()
	if alive, err := Running(dir); err != nil || !slices.Equal(alive, []string{"kafka-1"}) {
		t.Fatalf("running: %v, %v, want kafka-1 alone", alive, err)
	}
	stopped, err := Stop(dir, 10*time.Second)
	if err != nil || !slices.Equal(stopped, []string{"kafka-1"}) {
		t.Errorf("stopped %v, %v, want kafka-1 alone", stopped, err)
	}
	if err := <-waited; err == nil || err.Error() != "signal: terminated" {
		t.Errorf("our process ended with %v, want it asked to by SIGTERM", err)
	}
	if _, err := identity(other.Process.Pid); err != nil {
		t.Errorf("a process that is not ours was ended: %v", err)
	}
	if alive, err := Running(dir); err != nil || len(alive) != 0 {
		t.Errorf("running after a stop: %v, %v", alive, err)
	}
}

// A file that is no pid file is said to be, never guessed at.
func TestABrokenPIDFileIsNamed(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "1 init/1", "12", "x y"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "redis"), 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "redis", pidFile)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Stop(dir, time.Second); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v, want an error that names %s", content, err, path)
		}
	}
}

// One message names everything that is missing, and what to install.
func TestWhatIsMissingIsSaidAtOnce(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("HOME", t.TempDir()) // nothing downloaded yet
	t.Setenv("XDG_CACHE_HOME", "")
	err := requirements(Config{Redis: true})
	if err == nil {
		t.Fatal("nothing is missing where nothing is installed")
	}
	for _, want := range []string{"java 17", "mvn", "redis-server"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	if strings.Contains(requirements(Config{}).Error(), "redis-server") {
		t.Error("redis-server is asked for where Redis is not")
	}
}

// Ports are different, and none is one the kernel gives to an outgoing connection.
func TestFreePorts(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(ports)
	if len(slices.Compact(ports)) != 50 || ports[0] < firstPort || ports[49] >= lastPort {
		t.Errorf("ports %v", ports)
	}
}
