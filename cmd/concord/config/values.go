package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Secret is a value that is never printed: every formatting verb and encoder shows "[cut]", or
// nothing when it is empty. Reveal gives the value.
type Secret string

const cut = "[cut]"

// Reveal returns the secret itself, for the client that needs it.
func (s Secret) Reveal() string { return string(s) }

// String returns "[cut]", or "" for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return cut
}

// GoString cuts %#v as well.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText cuts the secret in JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Secrets are several values that are never printed, such as an old and a new one while it is being changed. They are a
// list in YAML; in the environment, a flag or a file there is one a line.
type Secrets []Secret

// Reveal returns the secrets themselves.
func (s Secrets) Reveal() []string {
	out := make([]string, len(s))
	for i := range s {
		out[i] = s[i].Reveal()
	}
	return out
}

// String returns "[cut]" for each.
func (s Secrets) String() string {
	return strings.Join(strings.Fields(strings.Repeat(cut+" ", len(s))), " ")
}

// lines reads secrets from text, one a line; empty lines are none.
func lines(text string) Secrets {
	var out Secrets
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, Secret(line))
		}
	}
	return out
}

// Bytes is a size. It is written as a number of bytes or with a unit: 512KiB, 256MiB, 1GiB.
type Bytes int64

var units = []struct {
	suffix string
	size   int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// ParseBytes reads a size such as "512KiB" or "4096".
func ParseBytes(s string) (Bytes, error) {
	number, size := strings.TrimSpace(s), int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, size = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/size {
		return 0, fmt.Errorf("parse size %q: want a number of bytes, or one with KiB, MiB or GiB", s)
	}
	return Bytes(n * size), nil
}

// String writes the size in the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range units {
		if b > 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
