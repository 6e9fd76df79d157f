package reconciler

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// replay decides everything again, from nothing and with no dedupe net: each decision names its input and its time (rule
// D5). It returns what came out otherwise, and the states at the end. With netted a duplicate may turn out stale: the net
// knows more identities than the state, and may say so in the label.
func (l *lab) replay(decisions []wire.Decision, inputs map[coord]*kgo.Record, netted bool) (faults []string, states map[string]*cell) {
	l.T.Helper()
	r, w := newReader(l.Schemas, l.rules, partitionCount), newWriter(l.Schemas)
	states = map[string]*cell{}
	for i := range decisions {
		d := &decisions[i]
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Sprintf("%s version %d, %s %s/%d@%d: ", d.ApplicationID, d.Version, d.EventID, d.Topic, d.Partition, d.Offset)+fmt.Sprintf(format, args...))
		}
		e := hiring.Event{Type: hiring.EventTimer}
		if d.Offset >= 0 {
			rec, ok := inputs[coord{d.Topic, d.Partition, d.Offset}]
			if !ok {
				fault("no such input")
				continue
			}
			if _, err := r.read(l.T.Context(), rec, &e); err != nil {
				fault("%v", err)
				continue
			}
		}
		prior, ok := states[d.ApplicationID]
		if !ok {
			prior = new(cell)
		}
		was, err := w.open(d.ApplicationID, prior)
		if err != nil {
			fault("%v", err)
			continue
		}
		again, next := w.decide(l.rules, was, prior, &e, hiring.Micros(d.Now))
		states[d.ApplicationID] = next
		if d.StateBefore != prior.digest {
			fault("another state before")
		}
		if d.StateAfter != next.digest {
			fault("another state after")
		}
		relabelled := netted && d.Reason == wire.ReasonDuplicate && again.Reason == hiring.ReasonStale
		if again.Reason.String() != d.Reason.String() && !relabelled || again.State.Version != d.Version || again.Now != hiring.Micros(d.Now) || len(again.Commands) != len(d.Commands) {
			fault("decided %s, now %s", d.Reason, again.Reason)
		}
	}
	return faults, states
}

// inputs is everything the reconciler read.
func (l *lab) inputs() map[coord]*kgo.Record {
	l.T.Helper()
	out := map[coord]*kgo.Record{}
	for _, rec := range l.Read(inputs...) {
		out[at(rec)] = rec
	}
	return out
}

// exact replays, and compares the end with what the log holds.
func (l *lab) exact(decisions []wire.Decision, inputs map[coord]*kgo.Record, netted bool) {
	l.T.Helper()
	faults, states := l.replay(decisions, inputs, netted)
	for _, f := range faults {
		l.T.Error(f)
	}
	end := l.states()
	if len(end) == 0 || len(end) != len(states) {
		l.T.Errorf("%d states in the log, %d recomputed", len(end), len(states))
	}
	for app, state := range end {
		if c, ok := states[app]; !ok || digestOf(state) != c.digest {
			l.T.Errorf("%s ends otherwise", app)
		}
	}
}

// answers lets a worker do what the commands asked for: an attempt and its confirmation each.
func (l *lab) answers() []*kgo.Record {
	l.T.Helper()
	var out []*kgo.Record
	for _, rec := range l.Read(TopicCommands) {
		var c wire.Command
		if err := l.Schemas.DecodeLocal(rec.Value, &c); err != nil {
			l.T.Fatal(err)
		}
		if c.Kind != wire.CommandKindApply {
			continue
		}
		o := wire.Outcome{
			ID: c.ID + " attempt", ApplicationID: c.ApplicationID, System: c.System, CommandID: c.ID, Kind: c.Kind, Revision: c.Revision,
			FinishedAt: wire.MicrosOf(time.Now()), Cause: c.Cause, Written: c.Desired, VersionBefore: c.Expected.Version,
		}
		out = append(out, l.Message(TopicOutcomes, c.ApplicationID, &o))
		o.ID, o.Outcome, o.VersionAfter, o.Observed = c.ID+" end", wire.OutcomeKindConfirmed, c.Expected.Version+1, &c.Desired
		out = append(out, l.Message(TopicOutcomes, c.ApplicationID, &o))
	}
	return out
}

// aborted is how many transactions the runtime aborted.
func aborted(t *testing.T, reg *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetValue() == "aborted" {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// TestExactReplay runs duplicates, late and contradicting events, timers and outcomes through aborted transactions, a
// tiny cache and a restart with an empty store, and then computes every state again from the decisions and the inputs
// they name: each must come out to the byte.
func TestExactReplay(t *testing.T) {
	l := newLab(t)
	l.rules = impatient()
	reg := prometheus.NewRegistry()
	metrics := stream.NewMetrics(Group)
	reg.MustRegister(metrics)
	hard := func(c *Config) {
		c.Stream.Faults.AbortEvery, c.Stream.CacheBytes, c.Stream.Metrics, c.Stream.MaxBatchRecords = 3, 1, metrics, 40
	}
	recs := l.traffic(20_260_202, 80)
	half := len(recs) / 2
	l.Produce(recs[:half]...)
	l.run(t.TempDir(), hard)
	more := l.answers()
	l.Produce(more...)
	l.Produce(recs[half:]...)
	r := l.start(t.TempDir(), hard)
	l.Handled(Group, inputs...)
	l.Until("timers have fired", func(context.Context) (bool, error) {
		n := 0
		for _, d := range l.decisions() {
			if d.Offset < 0 {
				n++
			}
		}
		return n >= 10, nil
	})
	r.stop()

	byCoord := l.inputs()
	decisions := l.decisions()
	once, reasons, timers := map[coord]int{}, map[string]int{}, 0
	for i := range decisions {
		d := &decisions[i]
		reasons[d.Reason.String()]++
		if d.Offset < 0 {
			timers++
			continue
		}
		once[coord{d.Topic, d.Partition, d.Offset}]++
	}
	t.Logf("%d records, %d outcomes, %d timers, %.0f aborted transactions, reasons %v", len(recs), len(more), timers, aborted(t, reg), reasons)
	for c := range byCoord {
		if once[c] != 1 {
			t.Errorf("%v was decided %d times", c, once[c])
		}
	}
	for _, reason := range []hiring.Reason{hiring.ReasonDuplicate, hiring.ReasonContradicted, hiring.ReasonStale} {
		if reasons[reason.String()] == 0 {
			t.Errorf("nothing was %s: this run is too tame", reason)
		}
	}
	if aborted(t, reg) < 5 || len(more) == 0 {
		t.Errorf("%.0f aborted transactions and %d outcomes: this run is too tame", aborted(t, reg), len(more))
	}

	l.exact(decisions, byCoord, false)

	// One digest altered by hand is found, and nothing else is.
	forged := slices.Clone(decisions)
	forged[len(forged)/2].StateAfter[3] ^= 1
	if faults, _ := l.replay(forged, byCoord, false); len(faults) != 1 {
		t.Errorf("one forged digest gives %d faults: %v", len(faults), faults)
	}
}
