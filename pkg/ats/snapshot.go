package ats

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// SnapshotID is the identity of a snapshot event: the same system, application, ATS version and content
// give the same id, so repeated polls of an unchanged application are one event. Where the ATS has no
// version the second of the read takes its place.
func SnapshotID(system, applicationID string, r Reading) string {
	h := sha256.New()
	text := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	number := func(v int64) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(v))
		h.Write(n[:])
	}
	text(system)
	text(applicationID)
	number(int64(r.Tuple.Version))
	if r.Tuple.Version == 0 && !r.AsOf.IsZero() {
		number(r.AsOf.Unix())
	}
	text(r.Tuple.Stage)
	number(int64(r.Tuple.Status))
	text(r.Tuple.Reason)
	number(int64(len(r.Tuple.Elements)))
	for _, e := range r.Tuple.Elements {
		text(e.Name)
		text(e.Value)
	}
	text(r.CandidateID)
	text(r.Requisition.ID)
	text(r.Requisition.Type)
	text(r.Requisition.Region)
	return "snapshot-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// Snapshot turns a reading into the event that tells the reconciler what the ATS shows. It sits at the
// last-updated time the reading proves; without one at the read's start in ATS time, and without that at now.
// The application id is the whole one, <system>/<native id>; source is the publisher's URI reference.
func Snapshot(source, system, applicationID string, r Reading, now time.Time) wire.AtsChange {
	c := wire.AtsChange{
		ID:            SnapshotID(system, applicationID, r),
		Source:        source,
		Type:          "snapshot",
		System:        system,
		ObservedAt:    wire.Micros(now.UnixMicro()),
		ApplicationID: applicationID,
		CandidateID:   r.CandidateID,
		Requisition:   r.Requisition,
		Stage:         wire.NativeStage{ID: r.Tuple.Stage, Name: r.StageName},
		Status:        r.Tuple.Status,
		Reason:        r.Tuple.Reason,
		Elements:      r.Tuple.Elements,
	}
	if r.UpdatedAt.IsZero() {
		c.Revision = r.Tuple.Version
	}
	switch {
	case !r.UpdatedAt.IsZero():
		c.OccurredAt, c.TimeBasis = wire.Micros(r.UpdatedAt.UnixMicro()), wire.TimeBasisRecord
	case !r.AsOf.IsZero():
		c.OccurredAt, c.TimeBasis = wire.Micros(r.AsOf.UnixMicro()), wire.TimeBasisFetch
	default:
		c.OccurredAt, c.TimeBasis = c.ObservedAt, wire.TimeBasisFetch
	}
	return c
}

// Proved is the last-updated time a reading proves where the ATS cuts times to the second, in which more may follow: once
// the second is over a reading shows its end, and is newer than one that was made within it. Updated is what the ATS shows,
// asOf the start of the read in its time. A time that is not cut, and none, stay as they are.
func Proved(updated, asOf time.Time) time.Time {
	if end := updated.Add(time.Second); !updated.IsZero() && updated.Nanosecond() == 0 && !asOf.Before(end) {
		return end.Add(-time.Microsecond)
	}
	return updated
}
