package greenhouse

import (
	"encoding/hex"
	"strings"

	"github.com/concord-ats/concord/pkg/webhook"
)

// SignatureHeader and EventIDHeader are the headers of a Greenhouse webhook.
const (
	SignatureHeader = "Signature"
	EventIDHeader   = "Greenhouse-Event-ID"
)

// Sign returns the Signature header of a body: "sha256 " and the hex HMAC-SHA256 of its bytes.
func Sign(body []byte, secret string) string {
	return "sha256 " + hex.EncodeToString(webhook.MAC(secret, string(body)))
}

// VerifySignature checks a Signature header over the raw bytes as received, in constant time, against each
// secret: give the old and the new one while a secret is being changed. With no secret nothing verifies.
func VerifySignature(body []byte, header string, secrets ...string) error {
	algorithm, digest, ok := strings.Cut(strings.TrimSpace(header), " ")
	if !ok || algorithm != "sha256" || !webhook.Signed([][]byte{webhook.Hex(strings.TrimSpace(digest))}, secrets, body) {
		return webhook.ErrSignature
	}
	return nil
}
