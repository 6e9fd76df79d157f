package generic

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/strict"
)

// Pointer is a JSON pointer (RFC 6901); the empty one is the whole.
type Pointer string

var pointerText = regexp.MustCompile(`^(/([^/~]|~[01])*)+$`)

// UnmarshalText parses a pointer.
func (p *Pointer) UnmarshalText(text []byte) error {
	if !pointerText.Match(text) {
		return &strict.Wrong{Problem: "is no JSON pointer", Fix: "give " + p.Wants()}
	}
	*p = Pointer(text)
	return nil
}

// Pattern implements strict.Patterned.
func (*Pointer) Pattern() string { return pointerText.String() }

// Wants implements strict.Described.
func (*Pointer) Wants() string {
	return "a JSON pointer such as /stage/id; a / in a member's name is ~1, a ~ is ~0"
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// in returns what the pointer points at; false when it is not there.
func (p Pointer) in(v any) (any, bool) {
	if p == "" {
		return v, true
	}
	for step := range strings.SplitSeq(string(p[1:]), "/") {
		step = unescape.Replace(step)
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[step]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.ParseUint(step, 10, 31)
			if err != nil || int(i) >= len(at) || len(step) > 1 && step[0] == '0' {
				return nil, false
			}
			v = at[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// text is the string, number or boolean it points at, as written; empty for anything else and where the pointer is left out.
func (p Pointer) text(v any) string {
	if p == "" {
		return ""
	}
	at, _ := p.in(v)
	return textOf(at)
}

// outer is the pointer to what holds it.
func (p Pointer) outer() Pointer { return p[:max(0, strings.LastIndexByte(string(p), '/'))] }

// indexed reports whether it ends in a place of a list.
func (p Pointer) indexed() bool {
	_, err := strconv.ParseUint(string(p[strings.LastIndexByte(string(p), '/')+1:]), 10, 31)
	return err == nil
}

func textOf(v any) string {
	switch t := v.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	case bool:
		return strconv.FormatBool(t)
	}
	return ""
}

// fits reports whether what a pointer finds is one of some values; with none, whether it is anything at all.
func fits(v any, at Pointer, in []string) bool {
	if at == "" {
		return true
	}
	found, ok := at.in(v)
	if len(in) == 0 {
		return ok && found != nil && found != false && found != ""
	}
	switch found.(type) {
	case string, json.Number, bool:
		return slices.Contains(in, textOf(found))
	}
	return false
}

// decode reads JSON, numbers as they are written.
func decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

// Place is where something stands: a pointer into a body, or a header.
type Place struct {
	Header string
	At     Pointer
}

var placeText = regexp.MustCompile(`^(header [A-Za-z0-9-]+|(/([^/~]|~[01])*)+)$`)

// UnmarshalText parses a place.
func (p *Place) UnmarshalText(text []byte) error {
	if !placeText.Match(text) {
		return &strict.Wrong{Problem: "is no place", Fix: "give " + p.Wants()}
	}
	if name, ok := strings.CutPrefix(string(text), "header "); ok {
		p.Header = name
		return nil
	}
	p.At = Pointer(text)
	return nil
}

// Pattern implements strict.Patterned.
func (*Place) Pattern() string { return placeText.String() }

// Wants implements strict.Described.
func (*Place) Wants() string {
	return "a JSON pointer into the body, or a header such as header X-Event-Id"
}

// text is what stands there.
func (p Place) text(header http.Header, body any) string {
	if p.Header != "" {
		return header.Get(p.Header)
	}
	return p.At.text(body)
}

// read reads a time, the zero one of nothing.
func (t Times) read(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t == "unix" || t == "unix_ms" {
		n, err := strconv.ParseFloat(text, 64)
		if t == "unix" {
			n *= 1000
		}
		if err != nil || !(n >= 0 && n < 1e15) {
			return time.Time{}, loose.ErrShape
		}
		return time.UnixMicro(int64(math.Round(n * 1000))).UTC(), nil
	}
	var at loose.Time
	quoted, err := json.Marshal(text)
	if err == nil {
		err = at.UnmarshalJSON(quoted)
	}
	return at.Time, err
}

// write is a time as the ATS takes it, cut to what it can hold, never later.
func (t Times) write(at time.Time) string {
	switch t {
	case "unix":
		return strconv.FormatInt(at.Unix(), 10)
	case "unix_ms":
		return strconv.FormatInt(at.UnixMilli(), 10)
	}
	return at.UTC().Format("2006-01-02T15:04:05.000Z")
}
