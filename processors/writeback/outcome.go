package writeback

import (
	"strconv"

	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// ending is what an outcome says beside its command.
type ending struct {
	Verdict
	arming, attempts int32
	started          int64 // µs
	finished         int64 // µs
	until            int64 // µs, deferred: at the earliest; when
	versionBefore    int64
	shown            *ats.Reading // what the ATS showed last; nil when it was not read
	gone             *ats.Error   // the answer that proves that the application is gone; nil else
}

// outcomeOf makes the record. Its id follows from the command, the outcome and the arming, so that the same fact
// has the same id.
func outcomeOf(cmd *wire.Command, e *ending) *wire.Outcome {
	o := &wire.Outcome{
		ID:            cmd.ID + ":" + e.Outcome.String() + ":" + strconv.Itoa(int(e.arming)),
		ApplicationID: cmd.ApplicationID,
		System:        cmd.System,
		CommandID:     cmd.ID,
		Kind:          cmd.Kind,
		Revision:      cmd.Revision,
		Arming:        e.arming,
		Outcome:       e.Outcome,
		Detail:        string(e.Detail),
		Attempts:      e.attempts,
		StartedAt:     wire.Micros(e.started),
		FinishedAt:    wire.Micros(e.finished),
		Until:         wire.Micros(e.until),
		Cause:         cmd.Cause,
		Written:       cmd.Desired,
		VersionBefore: e.versionBefore,
		Closing:       cmd.Closing,
		Mode:          cmd.Mode,
		Requisition:   cmd.Requisition,
		Policy:        cmd.Policy,
	}
	if e.shown != nil {
		tuple := e.shown.Tuple
		o.Observed = &tuple
		if e.Outcome != wire.OutcomeKindAttempt {
			o.VersionAfter = tuple.Version
		}
	}
	return o
}

// publish puts an outcome into the transaction; it is counted and logged once that is committed.
func (p *part) publish(t *tx, o *wire.Outcome) {
	p.produce(t, topics.ATSOutcomes, o.ApplicationID, o)
	t.OnCommit(func() {
		p.w.cfg.Metrics.Outcomes.WithLabelValues(o.Kind.String(), o.Outcome.String(), o.Detail).Inc()
		if o.Detail == string(DetailOvertaken) {
			p.w.cfg.Metrics.Overtaken.Inc()
		}
		if ce := p.w.log.Check(zap.DebugLevel, "outcome"); ce != nil {
			ce.Write(zap.String("application", o.ApplicationID), zap.String("command", o.CommandID), zap.Int64("revision", o.Revision),
				zap.Int32("arming", o.Arming), zap.Stringer("outcome", o.Outcome), zap.String("detail", o.Detail))
		}
	})
}

func (p *part) produce(t *tx, topic, key string, rec wire.Record) {
	out := t.Record()
	out.Topic, out.Key, out.Value = topic, []byte(key), p.w.cfg.Schemas.Append(nil, rec)
	t.Produce(out)
}

// produceKeyed is produce for what belongs to another key than the application's.
func (p *part) produceKeyed(t *tx, topic, key string, rec wire.Record) {
	out := t.Record()
	out.Topic, out.Key, out.Value = topic, []byte(key), p.w.cfg.Schemas.Append(nil, rec)
	t.ProduceKeyed(out)
}
