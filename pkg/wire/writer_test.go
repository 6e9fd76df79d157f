package wire

import (
	"errors"
	"testing"

	"github.com/concord-ats/concord/schemas"
)

// FuzzForeign decodes anything by a foreign writer's schema: no panic, no allocation beyond the limits, and an error
// that names its cause. What generated code can read, so can goavro, and both find the same record.
func FuzzForeign(f *testing.F) {
	text, err := schemas.Text("AtsChange")
	if err != nil {
		f.Fatal(err)
	}
	w := newWriter(1, text)
	f.Add([]byte(nil))
	f.Add((&AtsChange{}).AppendAvro(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		var by, own AtsChange
		err := w.decode(data, &by)
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Cause != CauseUndecodable) {
			t.Fatalf("error = %v, want undecodable", err)
		}
		if own.DecodeAvro(data) == nil && len(data) < 1<<16 {
			if err != nil || string(by.AppendAvro(nil)) != string(own.AppendAvro(nil)) {
				t.Fatalf("read otherwise by the writer's schema: %v", err)
			}
		}
	})
}

// TestCacheIsBounded: neither kind of id, known or unknown, can fill the memory.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	s, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := newWriter(1, `"int"`)
	for id := range uint32(3 * maxUnknown) {
		s.writers.put(id, nil)
		s.writers.put(1<<20+id, w)
	}
	if n := len(s.writers.unknown); n > maxUnknown {
		t.Errorf("%d unknown ids are kept, want at most %d", n, maxUnknown)
	}
	if n := len(s.writers.known); n > maxWriters {
		t.Errorf("%d schemas are kept, want at most %d", n, maxWriters)
	}
	if w, unknown := s.writers.get(3*maxUnknown - 1); w != nil || !unknown {
		t.Error("the newest unknown id is forgotten")
	}
}
