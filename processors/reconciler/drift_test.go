package reconciler

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/concord-ats/concord/pkg/wire"
)

// TestDriftIsWhatNoWebhookTold: a walk that overtakes the read a webhook waits for, as where an ATS allows few reads, counts
// no lost webhook; one that finds what nothing was heard of counts one, also after an earlier webhook was answered.
func TestDriftIsWhatNoWebhookTold(t *testing.T) {
	l := newLab(t)
	reg := prometheus.NewRegistry()
	begin := time.Now().Add(-time.Hour).Truncate(time.Second)
	change := func(app, id, source, kind, stage string, minutes int, basis wire.TimeBasis) {
		l.Produce(l.Message(TopicChanges, instance+"/"+app, &wire.AtsChange{
			ID: id + app, Source: source, Type: kind, System: instance, OccurredAt: wire.MicrosOf(begin.Add(time.Duration(minutes) * time.Minute)),
			ApplicationID: instance + "/" + app, Status: wire.ApplicationStatusActive, Stage: wire.NativeStage{ID: stage}, TimeBasis: basis,
		}))
	}
	known := func(app string) { change(app, "known", instance, "snapshot", "1001", 0, wire.TimeBasisRecord) }
	webhook := func(app string) {
		change(app, "hint", instance, "application.stage_changed", "1002", 0, wire.TimeBasisReceipt)
	}
	walk := func(app, stage string, minutes int) {
		change(app, "walk-"+stage, wire.SourcePoller, "snapshot", stage, minutes, wire.TimeBasisRecord)
	}
	drift := func() float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0.0
		for _, f := range families {
			if f.GetName() == "concord_reconciler_drift_total" {
				for _, m := range f.GetMetric() {
					n += m.GetCounter().GetValue()
				}
			}
		}
		return n
	}
	const due, open, lost, answered, unknown = "1", "2", "3", "4", "5"
	r := l.start(t.TempDir(), func(c *Config) { c.Registry = reg })
	for _, app := range []string{due, open, lost, answered} {
		known(app)
	}
	webhook(open)
	webhook(answered)
	asked := map[string]string{} // the command, by application
	l.Until("the ATS is asked", func(context.Context) (bool, error) {
		for _, rec := range l.Read(TopicCommands) {
			var c wire.Command
			if err := l.Schemas.DecodeLocal(rec.Value, &c); err != nil {
				return false, err
			}
			if c.Kind == wire.CommandKindRefresh {
				asked[string(rec.Key)] = c.ID
			}
		}
		return len(asked) == 2, nil
	})
	webhook(due)
	webhook(unknown)
	l.Handled(Group, inputs...)
	for _, app := range []string{due, open, unknown} {
		walk(app, "1002", 1)
	}
	l.Handled(Group, inputs...)
	if n := drift(); n != 0 {
		t.Errorf("%v webhooks count as lost, all of which wait for their read", n)
	}
	app := instance + "/" + answered
	l.Produce(l.Message(TopicOutcomes, app, &wire.Outcome{
		ID: "o", ApplicationID: app, CommandID: asked[app], Kind: wire.CommandKindRefresh, Outcome: wire.OutcomeKindConfirmed, FinishedAt: wire.MicrosOf(time.Now()),
		Observed: &wire.Tuple{Stage: "1002", Status: wire.ApplicationStatusActive, Version: begin.Add(time.Minute).UnixMicro()},
	}))
	l.Handled(Group, inputs...)
	walk(answered, "1002", 1) // what the answer has told
	l.Handled(Group, inputs...)
	if n := drift(); n != 0 {
		t.Errorf("%v webhooks count as lost, of which one has been answered", n)
	}
	walk(answered, "71416", 2)
	walk(lost, "1002", 1)
	l.Handled(Group, inputs...)
	if n := drift(); n != 2 {
		t.Errorf("%v webhooks count as lost, want 2", n)
	}
	r.stop()
}
