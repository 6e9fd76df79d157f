package webhook

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"
)

// The headers of Standard Webhooks 1.0, and those of the same scheme under its older name.
const (
	standardPrefix = "webhook-"
	svixPrefix     = "svix-"
	secretPrefix   = "whsec_"
)

// StandardWindow is how far the signed time may be from now.
const StandardWindow = 5 * time.Minute

// StandardSecret turns a secret as senders show it (whsec_ and base64, or the base64 alone) into the key it stands for;
// false when it is neither.
func StandardSecret(shown string) (key string, ok bool) {
	b, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(shown), secretPrefix))
	return string(b), err == nil && len(b) > 0
}

// SignStandard returns the signature of a message under a key that StandardSecret returned.
func SignStandard(key, id, timestamp string, body []byte) string {
	return "v1," + base64.StdEncoding.EncodeToString(MAC(key, id, ".", timestamp, ".", string(body)))
}

// VerifyStandard checks a request of the Standard Webhooks scheme and returns its message id, which stays the same when
// it is sent again. The header may hold several signatures, and those of other versions are passed over. Keys are
// those of StandardSecret.
func VerifyStandard(header http.Header, body []byte, keys []string, now time.Time) (id string, err error) {
	prefix := standardPrefix
	if header.Get(prefix+"signature") == "" {
		prefix = svixPrefix
	}
	id, timestamp := header.Get(prefix+"id"), header.Get(prefix+"timestamp")
	at, ok := Seconds(timestamp)
	if !ok || id == "" || strings.Contains(id, ".") {
		return "", ErrSignature
	}
	var signatures [][]byte
	for field := range strings.FieldsSeq(header.Get(prefix + "signature")) {
		version, text, _ := strings.Cut(field, ",")
		if got, err := base64.StdEncoding.DecodeString(text); err == nil && version == "v1" {
			signatures = append(signatures, got)
		}
	}
	if !Signed(signatures, keys, []byte(id), []byte("."), []byte(timestamp), []byte("."), body) {
		return "", ErrSignature
	}
	if !Fresh(at, now, StandardWindow) {
		return "", ErrReplay
	}
	return id, nil
}
