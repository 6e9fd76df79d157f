package bench

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// The default policy knows every system that starts with gh- as an ATS of the Greenhouse dialect, and these stages.
const (
	instance = "gh-bench"
	vendor   = "vendor/bench"

	stageApply, stageTriage, stageScreening, stageInterviews = "1001", "1002", "71416", "1004"
)

// writer makes the records of a load. Not safe for concurrent use.
type writer struct {
	seed      uint64
	schemas   *wire.Schemas
	change    wire.AtsChange
	screening wire.ScreeningEvent
}

// record is event n of an application: it applies, goes through triage to screening, and then around: it is invited,
// starts, completes, is moved on, updated, and moved back for another round. Every eighth application fails its screenings
// and is reopened each time.
func (w *writer) record(app uint64, n int, at time.Time) *kgo.Record {
	fails := w.hash(app, 0)%8 == 0
	switch n {
	case 0:
		return w.move(app, n, at, "application.created", "", stageApply)
	case 1:
		return w.move(app, n, at, "application.stage_changed", stageApply, stageTriage)
	case 2:
		return w.move(app, n, at, "application.stage_changed", stageTriage, stageScreening)
	}
	round := (n-3)/6 + 1
	switch step := (n - 3) % 6; {
	case step == 0:
		return w.say(app, n, round, at, "screening.invited", nil)
	case step == 1:
		return w.say(app, n, round, at, "screening.started", nil)
	case step == 2:
		return w.say(app, n, round, at, "screening.completed", w.result(app, n, fails, at))
	case step == 3 && fails:
		w.ats(app, n, at, "application.rejected")
		w.change.Status, w.change.Reason = wire.ApplicationStatusRejected, "8"
		return w.ended()
	case step == 3:
		return w.move(app, n, at, "application.stage_changed", stageScreening, stageInterviews)
	case step == 4:
		w.ats(app, n, at, "application.updated")
		w.change.Elements = []wire.Element{{Name: "source", Value: "referral " + strconv.FormatUint(w.hash(app, n)%1e9, 36)}}
		return w.ended()
	case fails:
		return w.move(app, n, at, "application.unrejected", "", stageScreening)
	default:
		return w.move(app, n, at, "application.stage_changed", stageInterviews, stageScreening)
	}
}

// ats begins an event of the ATS.
func (w *writer) ats(app uint64, n int, at time.Time, typ string) {
	w.change = wire.AtsChange{
		ID: w.id(app, n), Source: "greenhouse/" + instance, Type: typ, System: instance,
		OccurredAt: wire.MicrosOf(at), ObservedAt: wire.MicrosOf(at.Add(2 * time.Second)), ApplicationID: application(app),
		CandidateID: strconv.FormatUint(35_000_000+app, 10), Requisition: wire.Requisition{ID: strconv.FormatUint(w.hash(app, 0)%5_000, 10), Type: "permanent", Region: "emea"},
		Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: strconv.FormatUint(4_000_000+w.hash(app, n)%300, 10)},
	}
}

// ended is the record of the event begun with ats, with the headers that the gateway gives it.
func (w *writer) ended() *kgo.Record {
	rec := &kgo.Record{Topic: topics.ATSChanges, Key: []byte(w.change.ApplicationID), Value: w.schemas.Append(nil, &w.change)}
	for _, h := range wire.EnvelopeHeaders(nil, w.change.Envelope()) {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return rec
}

func (w *writer) move(app uint64, n int, at time.Time, typ, from, to string) *kgo.Record {
	w.ats(app, n, at, typ)
	w.change.Status = wire.ApplicationStatusActive
	w.change.PreviousStage.ID, w.change.Stage.ID = from, to
	return w.ended()
}

// say is an event of the screening vendor, who publishes without headers.
func (w *writer) say(app uint64, n, round int, at time.Time, typ string, result *wire.ScreeningResult) *kgo.Record {
	w.screening = wire.ScreeningEvent{
		ID: w.id(app, n), Source: vendor, Type: typ, System: vendor, OccurredAt: wire.MicrosOf(at),
		ApplicationID: application(app), OrderID: fmt.Sprintf("ord-%012x-%d", w.hash(app, 1)>>16, round), Attempt: 1, Result: result,
	}
	return &kgo.Record{Topic: topics.ScreeningEvents, Key: []byte(w.screening.ApplicationID), Value: w.schemas.Append(nil, &w.screening)}
}

func (w *writer) result(app uint64, n int, fails bool, at time.Time) *wire.ScreeningResult {
	r := &wire.ScreeningResult{
		Status: wire.ResultStatusComplete, Revision: 1, FinishedAt: wire.MicrosOf(at), Recommendation: wire.RecommendationAdvance,
		Score:        &wire.Score{Value: float64(40 + w.hash(app, n)%61), Max: 100, Scale: "raw"},
		Competencies: []wire.Competency{{Name: "problem solving", Value: float64(w.hash(app, n) >> 8 % 11), Max: 10}},
		ReviewerIDs:  []string{"reviewer-" + strconv.FormatUint(w.hash(app, n)%2_000, 10)},
		ReportURL:    fmt.Sprintf("https://reports.vendor.example/%016x", w.hash(app, n)),
	}
	if fails {
		r.Recommendation = wire.RecommendationReject
	}
	return r
}

// id is the identity of event n of an application.
func (w *writer) id(app uint64, n int) string { return fmt.Sprintf("%016x-%d", w.hash(app, n+1), n) }

func application(app uint64) string { return instance + "/" + strconv.FormatUint(10_000_000+app, 10) }

// hash is splitmix64 over the seed, an application and a number.
func (w *writer) hash(app uint64, n int) uint64 {
	x := w.seed + app*0x9e3779b97f4a7c15 + uint64(n)*0xd1b54a32d192ed03
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
