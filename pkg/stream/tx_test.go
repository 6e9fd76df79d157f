package stream

import (
	"bytes"
	"testing"
)

// TestRoomKeepsWhatItIsGiven: kept bytes stay as they are until the end of the transaction, whatever comes after them,
// and the next transaction takes no new memory.
func TestRoomKeepsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	var r room
	sizes := []int{0, 1, roomChunk/4 + 1, roomChunk / 4, 100, roomChunk / 4, roomChunk / 4, roomChunk / 4, roomChunk / 4, 7}
	fill := func() {
		var kept [][]byte
		for i, n := range sizes {
			kept = append(kept, r.keep(bytes.Repeat([]byte{byte(i)}, n)))
			_ = append(kept[i], 255) // must not reach into the next
		}
		for i, b := range kept {
			if !bytes.Equal(b, bytes.Repeat([]byte{byte(i)}, sizes[i])) {
				t.Errorf("bytes %d have changed", i)
			}
		}
	}
	fill()
	chunks := len(r.chunks)
	r.reset()
	fill()
	if len(r.chunks) != chunks || chunks != 2 {
		t.Errorf("%d chunks, then %d, want 2", chunks, len(r.chunks))
	}
}
