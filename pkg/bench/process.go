package bench

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is one role under measurement.
type process struct {
	role string
	cmd  *exec.Cmd
	log  string // file of its standard error
	done chan struct{}
	err  error // of Wait, once done is closed
}

// start runs a role on the deployment, as deployed but for what its keys set.
func (d *deployment) start(r Role) (*process, error) {
	keys := map[string]string{
		"data_dir": d.dir, "http.listen": "", "log.level": "info", "redis.key_prefix": d.keys, "instance": "bench",
		"stream.session_timeout": "10s", "stream.transaction_timeout": "5s", // so that sessions meet within a second
		"reconciler.group": d.group, "kpi.group": d.group, "writeback.group": d.group,
	}
	maps.Copy(keys, r.Set)
	r.Set = keys
	b := d.b
	b.launched++
	name := fmt.Sprintf("%03d-%s", b.launched, r.Name)
	if b.Profiles != "" {
		r.Profile = filepath.Join(b.Profiles, name+".pprof")
	}
	p := &process{role: r.Name, cmd: b.Launch(r), log: filepath.Join(cmp.Or(b.Profiles, b.dir), name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", r.Name, err)
	}
	defer out.Close() // the process has its own
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", r.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// alive says what a process that ended by itself said last.
func (p *process) alive() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	text, err := os.ReadFile(p.log)
	if i := len(text) - 2000; i > 0 {
		text = text[i:]
	}
	return errors.Join(fmt.Errorf("%s ended while it was measured; it said:\n%s", p.role, bytes.TrimSpace(text)), p.err, err)
}

// stop asks the process to drain and waits for it.
func (p *process) stop(ctx context.Context) error {
	if err := p.alive(); err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.role, err)
	}
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-limit.C:
		p.kill()
		return fmt.Errorf("stop %s: it did not drain within 30 s", p.role)
	case <-ctx.Done():
		p.kill()
		return ctx.Err()
	}
	if p.err != nil {
		return p.alive()
	}
	return nil
}

// kill ends the process as the out-of-memory killer would.
func (p *process) kill() {
	select {
	case <-p.done:
		return
	default:
	}
	if err := p.cmd.Process.Kill(); err == nil {
		<-p.done
	}
}

// usage is what a process has used up to now.
type usage struct {
	cpu  time.Duration
	peak int64 // bytes resident at most
}
