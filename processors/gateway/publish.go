package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/wire"
)

// publish produces records and waits until all of them are acknowledged. Every error says that Kafka is failing,
// save that of a sender who went away.
func (g *Gateway) publish(sender context.Context, recs []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(sender, g.cfg.AckTimeout)
	defer cancel()
	err := g.produce(ctx, recs)
	if err == nil || sender.Err() == nil {
		g.failing.Store(err != nil)
	}
	return err
}

// produce waits until ctx ends, and a little longer for the client to take the records back: one that comes while it does
// fails with them. What is behind a request that is not answered it does not wait for: that may be stored or not, and the
// sender sends again.
func (g *Gateway) produce(ctx context.Context, recs []*kgo.Record) error {
	done := make(chan error, len(recs))
	for _, rec := range recs {
		g.client.Produce(ctx, rec, func(_ *kgo.Record, err error) { done <- err })
	}
	limit, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(g.cfg.AckTimeout/8, cancel) })()
	var failed error
	for range recs {
		select {
		case err := <-done:
			failed = errors.Join(failed, err)
		case <-limit.Done():
			return ctx.Err()
		}
	}
	return failed
}

// published answers with success once Kafka has all records, and never before.
func (g *Gateway) published(ctx context.Context, accepted int, recs []*kgo.Record) answer {
	select {
	case g.waiting <- struct{}{}:
		defer func() { <-g.waiting }()
	default:
		return answer{http.StatusServiceUnavailable, "busy", "too many requests wait for Kafka; send again later"}
	}
	if err := g.publish(ctx, recs); err != nil {
		g.cfg.Logger.Warn("kafka did not acknowledge", zap.Error(err))
		return answer{http.StatusServiceUnavailable, "kafka_away", "the event could not be stored; send again later"}
	}
	return answer{accepted, "accepted", "accepted"}
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
