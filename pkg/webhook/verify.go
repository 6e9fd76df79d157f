package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"
	"time"
)

// Errors of a Sender's Verify.
var (
	ErrSignature = errors.New("webhook: the signature does not verify")
	ErrReplay    = errors.New("webhook: signed too long ago, or in the future")
)

// MAC returns the HMAC-SHA256 of the parts, one after the other.
func MAC(secret string, parts ...string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	for _, p := range parts {
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

// Signed reports whether one of the signatures is the HMAC-SHA256 of the parts under one of the secrets. All secrets are
// tried, each in constant time: give the old and the new one while a secret is being changed. An empty secret signs
// nothing.
func Signed(signatures [][]byte, secrets []string, parts ...[]byte) bool {
	return SignedWith(sha256.New, signatures, secrets, parts...)
}

// SignedWith is Signed for an HMAC with another hash.
func SignedWith(algorithm func() hash.Hash, signatures [][]byte, secrets []string, parts ...[]byte) bool {
	match := false
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		mac := hmac.New(algorithm, []byte(secret))
		for _, p := range parts {
			mac.Write(p)
		}
		want := mac.Sum(nil)
		for _, got := range signatures {
			if hmac.Equal(got, want) {
				match = true
			}
		}
	}
	return match
}

// Hex decodes a SHA-256 digest in hexadecimal; nil when it is none. Nil never verifies.
func Hex(s string) []byte {
	got, err := hex.DecodeString(s)
	if err != nil || len(got) != sha256.Size {
		return nil
	}
	return got
}

// Seconds reads a Unix time in seconds as senders write it into a header: digits and nothing else.
func Seconds(s string) (time.Time, bool) {
	n, err := strconv.ParseUint(s, 10, 40)
	return time.Unix(int64(n), 0), err == nil
}

// Fresh reports whether a signed time is within the window around now.
func Fresh(at, now time.Time, window time.Duration) bool { return at.Sub(now).Abs() <= window }

// MaxDepth is how deep a body may nest. The deepest that senders publish has ten levels.
const MaxDepth = 64

// Deep reports whether JSON nests deeper than MaxDepth. It reads brackets outside strings and nothing else.
func Deep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
