//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
)

// LockFile creates and locks a file until it is closed, which the end of the process does too. A file that is locked
// already is [ErrLocked].
func LockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.Join(ErrLocked, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// freeBytes is the room left on a disk.
func freeBytes(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}
