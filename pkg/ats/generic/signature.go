package generic

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/webhook"
)

// defaultTolerance is how far the signed time may be from now.
const defaultTolerance = 5 * time.Minute

// maxTolerance is the most a description may ask for.
const maxTolerance = time.Hour

var hashes = map[Algorithm]func() hash.Hash{"": sha256.New, "sha256": sha256.New, "sha384": sha512.New384, "sha512": sha512.New, "sha1": sha1.New}

// tokens are the parts of a header that begin with a prefix, without it. Parts are separated by commas.
func tokens(header, prefix string) []string {
	var out []string
	for one := range strings.SplitSeq(header, ",") {
		if token, ok := strings.CutPrefix(strings.TrimSpace(one), prefix); ok && token != "" {
			out = append(out, strings.TrimSpace(token))
		}
	}
	return out
}

// decoded is a digest; nil when it is none. Nil never verifies.
func (s *Signature) decoded(text string) []byte {
	var got []byte
	var err error
	if s.Encoding == "base64" {
		got, err = base64.StdEncoding.DecodeString(text)
	} else {
		got, err = hex.DecodeString(text)
	}
	if err != nil || len(got) != hashes[s.Algorithm]().Size() {
		return nil
	}
	return got
}

// verify checks a request in constant time against each secret, and that the time it signs is recent.
func (s *Signature) verify(header http.Header, body []byte, eventID string, secrets []string, now time.Time) error {
	stamp := ""
	var at time.Time
	if t := s.Timestamp; t != nil {
		given := tokens(header.Get(t.Header), t.Prefix)
		if len(given) != 1 {
			return webhook.ErrSignature
		}
		stamp = given[0]
		times := t.Times
		if times == "" {
			times = "unix"
		}
		var err error
		if at, err = times.read(stamp); err != nil || at.IsZero() {
			return webhook.ErrSignature
		}
	}
	var parts [][]byte
	for _, p := range s.Signs.parts() {
		switch p.name {
		case "body":
			parts = append(parts, body)
		case "timestamp":
			parts = append(parts, []byte(stamp))
		case "event_id":
			parts = append(parts, []byte(eventID))
		default:
			parts = append(parts, []byte(p.text))
		}
	}
	var signatures [][]byte
	for _, token := range tokens(header.Get(s.Header), s.Prefix) {
		signatures = append(signatures, s.decoded(token))
	}
	if !webhook.SignedWith(hashes[s.Algorithm], signatures, secrets, parts...) {
		return webhook.ErrSignature
	}
	if s.Timestamp != nil && !webhook.Fresh(at, now, s.Timestamp.Tolerance.or(defaultTolerance)) {
		return webhook.ErrReplay
	}
	return nil
}
