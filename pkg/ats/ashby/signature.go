package ashby

import (
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/concord-ats/concord/pkg/webhook"
)

// SignatureHeader is the header that signs a webhook.
const SignatureHeader = "Ashby-Signature"

// Sign returns the signature header of a body: "sha256=" and the hex HMAC-SHA256 of its bytes.
func Sign(body []byte, secret string) string {
	return "sha256=" + hex.EncodeToString(webhook.MAC(secret, string(body)))
}

// verify checks a request in constant time against each secret.
func verify(header http.Header, body []byte, secrets []string) error {
	algorithm, digest, _ := strings.Cut(strings.TrimSpace(header.Get(SignatureHeader)), "=")
	if algorithm != "sha256" || !webhook.Signed([][]byte{webhook.Hex(digest)}, secrets, body) {
		return webhook.ErrSignature
	}
	return nil
}
