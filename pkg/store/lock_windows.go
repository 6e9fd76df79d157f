package store

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// LockFile creates and locks a file until it is closed, which the end of the process does too. A file that is locked
// already is [ErrLocked].
func LockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, new(windows.Overlapped))
	if err != nil {
		if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
			err = errors.Join(ErrLocked, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// freeBytes is the room left on a disk.
func freeBytes(dir string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var left uint64
	err = windows.GetDiskFreeSpaceEx(name, &left, nil, nil)
	return left, err
}
