package ats

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// Anonymized is what a reading that shows an anonymised person tells the identity processor, which marks every application
// of that person: nil where it shows none, or names nobody. Whoever reads it again under one source says the same. The
// application id is the whole one, <system>/<native id>.
func Anonymized(source, system, applicationID string, r Reading, now time.Time) *wire.CandidateEvent {
	if !r.Anonymized || r.CandidateID == "" {
		return nil
	}
	at := r.AsOf
	if at.IsZero() {
		at = now
	}
	sum := sha256.Sum256([]byte(system + "\x00" + r.CandidateID))
	return &wire.CandidateEvent{
		ID: "anonymized-" + hex.EncodeToString(sum[:16]), Source: source, Type: "candidate.anonymized", System: system,
		OccurredAt: wire.MicrosOf(at), ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisFetch,
		CandidateID: r.CandidateID, ApplicationIDs: []string{applicationID},
	}
}
