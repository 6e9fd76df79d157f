package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Digest is the SHA-256 of a bundle's canonical form.
type Digest [sha256.Size]byte

// String is the digest in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText is String.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText parses what String gives.
func (d *Digest) UnmarshalText(text []byte) error {
	if n, err := hex.Decode(d[:], text[:min(len(text), 2*len(d))]); err != nil || len(text) != 2*len(d) || n != len(d) {
		return fmt.Errorf("%q is no SHA-256 in hex", text)
	}
	return nil
}

// DigestOf returns the digest of a canonical form.
func DigestOf(canonical []byte) Digest { return sha256.Sum256(canonical) }

// canonicalForm collects the canonical form of files, which are added in order.
type canonicalForm struct{ buf bytes.Buffer }

func newCanonical() *canonicalForm { return &canonicalForm{} }

func (c *canonicalForm) add(name string, root *yaml.Node) {
	c.buf.WriteByte("{,"[min(c.buf.Len(), 1)])
	c.text(name)
	c.buf.WriteByte(':')
	c.node(root)
}

func (c *canonicalForm) bytes() []byte {
	c.buf.WriteByte('}')
	return c.buf.Bytes()
}

// node writes a plain node (see decoder.plain).
func (c *canonicalForm) node(n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		pairs := make([]*yaml.Node, 0, len(n.Content)/2)
		value := map[*yaml.Node]*yaml.Node{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			pairs = append(pairs, n.Content[i])
			value[n.Content[i]] = n.Content[i+1]
		}
		slices.SortFunc(pairs, func(a, b *yaml.Node) int { return strings.Compare(a.Value, b.Value) })
		c.buf.WriteByte('{')
		for i, k := range pairs {
			if i > 0 {
				c.buf.WriteByte(',')
			}
			c.text(k.Value)
			c.buf.WriteByte(':')
			c.node(value[k])
		}
		c.buf.WriteByte('}')
	case yaml.SequenceNode:
		c.buf.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				c.buf.WriteByte(',')
			}
			c.node(item)
		}
		c.buf.WriteByte(']')
	default:
		c.text(n.Value)
	}
}

// text writes one JSON string; every scalar is its text.
func (c *canonicalForm) text(s string) {
	e := json.NewEncoder(&c.buf)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // text always encodes
	c.buf.Truncate(c.buf.Len() - 1)
}
