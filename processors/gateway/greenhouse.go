package gateway

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats/greenhouse"
	"github.com/concord-ats/concord/pkg/deadletter"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// greenhouse takes one webhook. Greenhouse takes only 200 for success and sends again seven times otherwise, so
// an authentic webhook that can never become an event is dead-lettered and acknowledged.
func (g *Gateway) greenhouse(r *http.Request, body []byte) answer {
	tenant := g.tenant(r.PathValue("system"))
	if tenant == nil {
		return answer{http.StatusNotFound, "unknown_system", "no such system is configured; check the path of the webhook"}
	}
	if err := greenhouse.VerifySignature(body, r.Header.Get(greenhouse.SignatureHeader), tenant.Secrets...); err != nil {
		return answer{http.StatusUnauthorized, "bad_signature", "the Signature header does not verify; check the secret key of the webhook"}
	}
	now := g.cfg.Clock()
	events, err := tenant.Mapping.ParseWebhook(body, r.Header, now)
	if err != nil {
		var w *webhook.Error
		if errors.As(err, &w) && w.Problem == webhook.ProblemAction {
			return answer{http.StatusOK, "ignored", "ignored: Concord does not follow this action"}
		}
		return g.deadLetter(r, body, err)
	}
	if len(events) == 0 {
		return answer{http.StatusOK, "ping", "pong"}
	}
	recs := make([]*kgo.Record, 0, len(events))
	for _, e := range events {
		switch {
		case e.Change != nil:
			recs = append(recs, g.record("ats.changes", e.Change))
		case e.Candidate != nil:
			recs = append(recs, g.record("candidate.events", e.Candidate))
		}
	}
	return g.published(r.Context(), recs)
}

func (g *Gateway) tenant(system string) *Greenhouse {
	for i := range g.tenants {
		if g.tenants[i].Mapping.System == system {
			return &g.tenants[i]
		}
	}
	return nil
}

// deadLetter keeps the raw body of an authentic webhook, which never was a record of an input topic: its
// coordinates are -1.
func (g *Gateway) deadLetter(r *http.Request, body []byte, cause error) answer {
	rec := &kgo.Record{Topic: "ats.changes", Partition: -1, Offset: -1, Value: body, Timestamp: g.cfg.Clock()}
	if id := r.Header.Get(greenhouse.EventIDHeader); id != "" {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: "webhook_event_id", Value: []byte(strconv.Quote(id))})
	}
	letter := deadletter.Record(rec, string(wire.CauseUndecodable), cause, "concord.gateway", g.cfg.Clock())
	letter.Timestamp = time.Time{} // the client's own: its delivery timeout counts from there
	g.cfg.Logger.Warn("webhook dead-lettered", zap.Error(cause))
	if a := g.published(r.Context(), []*kgo.Record{letter}); a.status != http.StatusOK {
		return a
	}
	return answer{http.StatusOK, "dead_lettered", "kept as a dead letter: the body could not be read"}
}

// record frames one event with its CloudEvents headers; the subject is the key.
func (g *Gateway) record(topic string, e wire.Event) *kgo.Record {
	env := e.Envelope()
	out := &kgo.Record{Topic: topic, Key: []byte(env.Subject), Value: g.cfg.Schemas.Append(nil, e)}
	for _, h := range wire.EnvelopeHeaders(nil, env) {
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return out
}
