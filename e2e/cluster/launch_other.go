//go:build unix && !linux

package cluster

import (
	"os/exec"
	"syscall"
)

// launch starts a command. Detached, it has a session of its own; otherwise it stays in this process's group, where a
// Ctrl-C ends both.
func launch(cmd *exec.Cmd, detached bool) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: detached}
	return cmd.Start()
}
