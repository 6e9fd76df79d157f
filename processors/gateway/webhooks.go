package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// webhook takes one webhook. An authentic one that can never become an event is dead-lettered and acknowledged, as its
// sender would only send the same again; one that cannot be read now is to be sent again.
func (g *Gateway) webhook(r *http.Request, d *door, body []byte) answer {
	now, hooks := g.cfg.Clock(), d.sender.Webhooks
	terms := hooks.Terms()
	if err := hooks.Verify(r.Header, body, now); err != nil {
		if errors.Is(err, webhook.ErrReplay) {
			return answer{terms.Refused, "replayed", "the signed time is too far from now; check the clocks"}
		}
		return answer{terms.Refused, "bad_signature", "the signature does not verify; check the secret of the webhook"}
	}
	if a, ok := g.admit(d); !ok {
		return a
	}
	if webhook.Deep(body) {
		return g.deadLetter(r, d, body, wire.CauseUndecodable, errDeep)
	}
	events, err := hooks.Parse(r.Header, body, now)
	if err != nil {
		var w *webhook.Error
		switch {
		case errors.As(err, &w) && w.Problem == webhook.ProblemAction:
			return answer{terms.Accepted, "ignored", "ignored: Concord does not follow this event"}
		case w != nil && w.Problem == webhook.ProblemPolicy:
			return answer{http.StatusServiceUnavailable, "policy_unknown", "the policy in force cannot be proved here; send again later"}
		case w != nil && w.Problem == webhook.ProblemUnresolved:
			return g.deadLetter(r, d, body, wire.CauseUnresolved, err)
		}
		return g.deadLetter(r, d, body, wire.CauseUndecodable, err)
	}
	if len(events) == 0 {
		return answer{terms.Accepted, "ping", "pong"}
	}
	recs := make([]*kgo.Record, 0, len(events))
	for _, e := range events {
		switch {
		case e.Unresolved() && g.resolver == nil:
			return g.deadLetter(r, d, body, wire.CauseUnresolved, errNoLookup)
		case e.Unresolved():
			recs = append(recs, g.unresolved(e.Change))
		case e.Change != nil:
			recs = append(recs, g.record(topics.ATSChanges, e.Change))
			if seen := g.seen(d, e); seen != nil {
				recs = append(recs, g.record(topics.CandidateEvents, seen))
			}
		case e.Candidate != nil:
			recs = append(recs, g.record(topics.CandidateEvents, e.Candidate))
		default:
			recs = append(recs, g.record(topics.ScreeningEvents, e.Screening))
		}
	}
	return g.published(r.Context(), terms.Accepted, recs)
}

var (
	errDeep     = &webhook.Error{Sender: "any", Problem: webhook.ProblemMalformed, Err: errors.New("nested too deep")}
	errNoLookup = &webhook.Error{Sender: "any", Problem: webhook.ProblemUnresolved, Err: errors.New("no application id, and no ATS to look it up in")}
)

// seen tells the identity processor the contacts of a candidate, as keyed hashes; nil where there is nothing to tell.
func (g *Gateway) seen(d *door, e webhook.Event) *wire.CandidateEvent {
	tokens := g.cfg.Contacts.Tokens(e.Change.System, d.sender.Region, e.Contacts)
	if len(tokens) == 0 || e.Change.CandidateID == "" {
		return nil
	}
	return &wire.CandidateEvent{
		ID: e.Change.ID + "/contacts", Source: e.Change.Source, Type: "candidate.seen", System: e.Change.System, OccurredAt: e.Change.OccurredAt,
		ObservedAt: e.Change.ObservedAt, TimeBasis: e.Change.TimeBasis, CandidateID: e.Change.CandidateID, Contacts: tokens,
	}
}

// deadLetter keeps the raw body of an authentic webhook, which never was a record of an input topic: its
// coordinates are -1.
func (g *Gateway) deadLetter(r *http.Request, d *door, body []byte, cause wire.Cause, err error) answer {
	rec := &kgo.Record{Topic: d.sender.Letters, Partition: -1, Offset: -1, Value: body, Timestamp: g.cfg.Clock()}
	rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: "webhook_sender", Value: []byte(d.endpoint + "/" + d.system)})
	terms := d.sender.Webhooks.Terms()
	for _, name := range terms.Telling {
		if value := r.Header.Get(name); value != "" && len(value) <= 1024 {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: "webhook_header." + name, Value: []byte(strconv.Quote(value))})
		}
	}
	letter := deadletter.Record(rec, string(cause), err, "concord.gateway", g.cfg.Clock())
	letter.Timestamp = time.Time{} // the client's own: its delivery timeout counts from there
	g.cfg.Logger.Warn("webhook dead-lettered", zap.String("sender", d.endpoint+"/"+d.system), zap.String("cause", string(cause)), zap.Error(err))
	if a := g.published(r.Context(), terms.Accepted, []*kgo.Record{letter}); a.result != "accepted" {
		return a
	}
	return answer{terms.Accepted, "dead_lettered", "kept as a dead letter: " + string(cause)}
}

// unresolved is the record of a change that names a candidate and no application, on the queue of the resolver.
func (g *Gateway) unresolved(c *wire.AtsChange) *kgo.Record {
	return &kgo.Record{Topic: topics.GatewayUnresolved, Key: []byte(c.System + "/" + c.CandidateID), Value: g.cfg.Schemas.Append(nil, c)}
}
