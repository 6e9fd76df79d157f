package reconciler

import (
	"crypto/sha256"
	"fmt"
	"unsafe"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// cell is an encoded state with its digest. Immutable; the zero cell is a state nothing is known of. States are kept
// encoded: a decoded one is several times as large, and all pointers that the garbage collector would follow.
type cell struct {
	value  string // framed, as it stands in hiring.state
	digest wire.Digest
	due    hiring.Micros
}

// cellSize is what a cell takes besides its value.
const cellSize = 48

// stateCodec keeps states in hiring.state in their wire form, so that analysts read what the reconciler holds.
func stateCodec(schemas *wire.Schemas) stream.Codec[*cell] {
	due := func(key string, value []byte) (wire.Micros, error) {
		at, err := schemas.StateDue(value)
		if err != nil {
			return 0, fmt.Errorf("state of %s: %w", key, err)
		}
		return at, nil
	}
	return stream.Codec[*cell]{
		Decode: func(key string, value []byte) (*cell, error) {
			at, err := due(key, value)
			if err != nil {
				return nil, err
			}
			return &cell{value: string(value), digest: digestOf(value), due: hiring.Micros(at)}, nil
		},
		Append: func(dst []byte, c *cell) []byte { return append(dst, c.value...) },
		// Nobody changes the bytes, as nobody may change a state.
		Bytes: func(c *cell) []byte { return unsafe.Slice(unsafe.StringData(c.value), len(c.value)) },
		Size:  func(c *cell) int { return cellSize + len(c.value) },
		Due:   func(c *cell) int64 { return int64(c.due) },
		DueOf: func(value []byte) (int64, error) {
			at, err := schemas.StateDue(value)
			return int64(at), err
		},
	}
}

// digestOf is the digest of a state (rule D5): of its bytes as they stand in hiring.state. Equal states have equal bytes, and
// a restored state has the bytes it was written with, so that whoever decides again comes to the same digest.
func digestOf(value []byte) wire.Digest {
	sum := sha256.Sum256(value)
	return wire.Digest(sum[:16])
}
