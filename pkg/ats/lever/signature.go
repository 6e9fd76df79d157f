package lever

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/concord-ats/concord/pkg/webhook"
)

// replayWindow is how old a signed time may be. It is the event's and not the attempt's, so it has to be wider than
// the time over which Lever sends again, which is not published.
const replayWindow = 24 * time.Hour

// envelope is the outside of a webhook. Lever signs token and triggeredAt, and both are members of the body.
type envelope struct {
	Event       string          `json:"event"`
	TriggeredAt json.RawMessage `json:"triggeredAt"` // milliseconds; kept as it is written, as that is what is signed
	Token       string          `json:"token"`
	Signature   string          `json:"signature"`
	Data        json.RawMessage `json:"data"`
}

// Sign returns the signature member of a webhook: the hex HMAC-SHA256 of its token and triggeredAt.
func Sign(token string, triggeredAt time.Time, secret string) string {
	return hex.EncodeToString(webhook.MAC(secret, token, strconv.FormatInt(triggeredAt.UnixMilli(), 10)))
}

// verify checks the signature of an envelope in constant time, and that the time it signs is recent.
func (e *envelope) verify(secrets []string, now time.Time) error {
	ms, err := strconv.ParseUint(string(e.TriggeredAt), 10, 50)
	if err != nil || e.Token == "" {
		return webhook.ErrSignature
	}
	if !webhook.Signed([][]byte{webhook.Hex(e.Signature)}, secrets, []byte(e.Token), e.TriggeredAt) {
		return webhook.ErrSignature
	}
	if !webhook.Fresh(time.UnixMilli(int64(ms)), now, replayWindow) {
		return webhook.ErrReplay
	}
	return nil
}
