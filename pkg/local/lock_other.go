//go:build !unix

package local

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lockFile takes the lock that ends with this process, however it ends.
func lockFile(path string) (io.Closer, error) {
	l, err := vfs.Default.Lock(path)
	if err != nil {
		return nil, errors.Join(ErrInUse, err)
	}
	return l, nil
}
