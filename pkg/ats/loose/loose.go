// Package loose reads the JSON that ATSs send, whose types drift between versions and tenants: ids come as
// numbers or strings, numbers as text, times in several forms or as milliseconds.
package loose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// ErrShape is the cause of every error here: JSON of a shape nothing sensible is read from. It holds none of it.
var ErrShape = errors.New("unexpected JSON shape")

// Text reads a string; a number or a boolean is kept as its text, anything else is empty.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0 || b[0] == '{' || b[0] == '[' || string(b) == "null":
		*t = ""
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = Text(s)
	default:
		*t = Text(b)
	}
	return nil
}

// Ref reads a reference to another thing: its id, or an object with an id.
type Ref string

// UnmarshalJSON implements json.Unmarshaler.
func (r *Ref) UnmarshalJSON(b []byte) error {
	*r = ""
	b = bytes.TrimSpace(b)
	if len(b) > 0 && b[0] == '{' {
		var o struct {
			ID Text `json:"id"`
		}
		if err := json.Unmarshal(b, &o); err != nil {
			return err
		}
		*r = Ref(o.ID)
		return nil
	}
	var t Text
	if err := t.UnmarshalJSON(b); err != nil {
		return err
	}
	*r = Ref(t)
	return nil
}

// Time reads an RFC 3339 time, a date, or nothing. A number is milliseconds since 1970.
type Time struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(b []byte) error {
	t.Time = time.Time{}
	var s Text
	if err := s.UnmarshalJSON(b); err != nil {
		return err
	}
	if s == "" {
		return nil
	}
	v, err := parse(string(s), bytes.TrimSpace(b)[0] != '"')
	if err != nil {
		return err
	}
	if y := v.Year(); y < 1970 || y > 9999 {
		return fmt.Errorf("time: %w", ErrShape)
	}
	t.Time = v.UTC()
	return nil
}

func parse(s string, number bool) (time.Time, error) {
	if number {
		ms, err := strconv.ParseFloat(s, 64)
		if err != nil || math.Abs(ms) > 1e15 || math.IsNaN(ms) {
			return time.Time{}, fmt.Errorf("time: %w", ErrShape)
		}
		return time.UnixMicro(int64(math.Round(ms * 1000))), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05 MST", time.DateOnly} {
		if v, err := time.Parse(layout, s); err == nil {
			return v, nil
		}
	}
	return time.Time{}, fmt.Errorf("time: %w", ErrShape)
}

// Micros returns the time as the contract has it, 0 for none.
func (t Time) Micros() wire.Micros {
	if t.IsZero() {
		return 0
	}
	return wire.Micros(t.UnixMicro())
}
