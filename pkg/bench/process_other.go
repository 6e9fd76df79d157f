//go:build !linux

package bench

import "errors"

func (p *process) usage() (usage, error) {
	return usage{}, errors.New("the benchmark reads CPU time and memory from /proc: run it on Linux")
}
