package reconciler

import (
	"strconv"
	"strings"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// linkSource is the publisher of links.
const linkSource = "concord/reconciler"

// links tells, under the candidate's key, that an application has left one candidate and come to another: what is known of
// a candidate holds for all its applications (rule E2). was is the candidate before the decision.
func (w *writer) links(tx *stream.Tx[*cell], was string, d *hiring.Decision) {
	s := d.State
	if s.Head.Candidate == was {
		return
	}
	for _, l := range [...]struct{ kind, candidate string }{{"unlinked", was}, {"linked", s.Head.Candidate}} {
		if l.candidate == "" {
			continue
		}
		at := d.EffectiveAt
		if at == 0 {
			at = d.Now
		}
		system, _, _ := strings.Cut(s.Application, "/")
		e := &wire.CandidateEvent{
			ID: s.Application + "@" + strconv.FormatInt(s.Version, 10) + "/" + l.kind, Source: linkSource, Type: "candidate." + l.kind, System: system,
			OccurredAt: wire.Micros(at), ObservedAt: wire.Micros(d.Now), CandidateID: l.candidate, ApplicationIDs: []string{s.Application},
		}
		tx.ProduceKeyed(w.record(tx, TopicCandidates, e.Envelope().Subject, e))
	}
}
