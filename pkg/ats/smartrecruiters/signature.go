package smartrecruiters

import (
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/webhook"
)

// Headers of a SmartRecruiters webhook.
const (
	SignatureHeader = "smartrecruiters-signature"
	TimestampHeader = "smartrecruiters-timestamp"
	EventIDHeader   = "event-id"
	EventNameHeader = "event-name"
	VersionHeader   = "event-version"
	LinkHeader      = "Link"
	// HandshakeHeader carries the value that activates a subscription when it is sent back.
	HandshakeHeader = "X-Hook-Secret"
)

// replayWindow is how far the signed time, which is the attempt's, may be from now.
const replayWindow = 5 * time.Minute

// Sign returns the signature header of a request whose other headers are set: "v1=" and the hex HMAC-SHA256 of the
// timestamp, the body and the four headers, joined with dots.
func Sign(header http.Header, body []byte, secret string) string {
	return "v1=" + hex.EncodeToString(webhook.MAC(secret, texts(signed(header, body))...))
}

// signed are the parts that are signed, dots included. A header that is missing is an empty part.
func signed(header http.Header, body []byte) [][]byte {
	dot := []byte(".")
	parts := [][]byte{[]byte(header.Get(TimestampHeader)), dot, body}
	for _, name := range []string{EventIDHeader, EventNameHeader, VersionHeader, LinkHeader} {
		parts = append(parts, dot, []byte(header.Get(name)))
	}
	return parts
}

func texts(parts [][]byte) []string {
	out := make([]string, len(parts))
	for i, p := range parts {
		out[i] = string(p)
	}
	return out
}

// verify checks a request in constant time against each secret. The header holds one signature for each active key and
// scheme; schemes other than v1 are passed over.
func verify(header http.Header, body []byte, secrets []string, now time.Time) error {
	at, ok := webhook.Seconds(header.Get(TimestampHeader))
	if !ok {
		return webhook.ErrSignature
	}
	var signatures [][]byte
	for field := range strings.SplitSeq(header.Get(SignatureHeader), ";") {
		if scheme, digest, _ := strings.Cut(strings.TrimSpace(field), "="); scheme == "v1" {
			signatures = append(signatures, webhook.Hex(digest))
		}
	}
	if !webhook.Signed(signatures, secrets, signed(header, body)...) {
		return webhook.ErrSignature
	}
	if !webhook.Fresh(at, now, replayWindow) {
		return webhook.ErrReplay
	}
	return nil
}
