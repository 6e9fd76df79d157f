package workable

import (
	"encoding/hex"
	"net/http"

	"github.com/concord-ats/concord/pkg/webhook"
)

// SignatureHeader is the header that signs a webhook.
const SignatureHeader = "X-Workable-Signature"

// Sign returns the signature header of a body: the hex HMAC-SHA256 of its bytes.
func Sign(body []byte, secret string) string {
	return hex.EncodeToString(webhook.MAC(secret, string(body)))
}

// verify checks a request in constant time against each secret.
func verify(header http.Header, body []byte, secrets []string) error {
	if !webhook.Signed([][]byte{webhook.Hex(header.Get(SignatureHeader))}, secrets, body) {
		return webhook.ErrSignature
	}
	return nil
}
