package greenhouse

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// SignatureHeader and EventIDHeader are the headers of a Greenhouse webhook.
const (
	SignatureHeader = "Signature"
	EventIDHeader   = "Greenhouse-Event-ID"
)

// ErrSignature is returned for a webhook whose signature is missing, malformed or wrong.
var ErrSignature = errors.New("greenhouse: webhook signature does not verify")

// Sign returns the Signature header of a body: "sha256 " and the hex HMAC-SHA256 of its bytes.
func Sign(body []byte, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256 " + hex.EncodeToString(mac.Sum(nil))
}

// VerifySignature checks a Signature header over the raw bytes as received, in constant time, against each
// secret: give the old and the new one while a secret is being changed. With no secret nothing verifies.
func VerifySignature(body []byte, header string, secrets ...string) error {
	algorithm, digest, ok := strings.Cut(strings.TrimSpace(header), " ")
	if !ok || algorithm != "sha256" {
		return ErrSignature
	}
	got, err := hex.DecodeString(strings.TrimSpace(digest))
	if err != nil || len(got) != sha256.Size {
		return ErrSignature
	}
	match := false
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if hmac.Equal(got, mac.Sum(nil)) {
			match = true
		}
	}
	if !match {
		return ErrSignature
	}
	return nil
}
