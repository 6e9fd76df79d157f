package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// identity tells a process from every other that had or will have its id: the boot, and the clock tick it started at. A
// process that has ended and was not waited for yet counts as gone.
func identity(pid int) (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The second field is the name in parentheses and may hold anything. After it the state comes first and the tick of
	// the start as the twentieth.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, startTime = 0, 19
	if len(fields) <= startTime {
		return "", fmt.Errorf("process %d has %d fields of status", pid, len(fields))
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return "", os.ErrProcessDone
	}
	return strings.TrimSpace(string(boot)) + "/" + fields[startTime], nil
}
