package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/reconciler"
)

// edited is the built-in bundle with one text of a file replaced.
func edited(t testing.TB, file, old, replacement string) *hiring.Bundle {
	t.Helper()
	files := policy.Default()
	if !bytes.Contains(files[file], []byte(old)) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	files[file] = bytes.Replace(files[file], []byte(old), []byte(replacement), 1)
	b, err := policy.Compile(files)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func quiet(t testing.TB) *hiring.Bundle {
	return edited(t, "waves.yaml", "default: write", "default: observe")
}

// One digest on record, altered by hand, is found with its application and coordinates, and nothing else is.
func TestAnAlteredDigestIsFound(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	var forged *wire.Decision
	out := c.live(builtIn(t), told(c.schemas, 40, 1), func(all []recorded) {
		for i := len(all) / 2; ; i++ {
			if d := all[i].decision; d.Topic == reconciler.TopicScreening && d.StateBefore != d.StateAfter {
				d.StateAfter[5] ^= 1
				forged = d
				return
			}
		}
	})
	r := c.replay(Config{})
	if r.FaultCount != 1 || len(r.Faults) != 1 || r.Clean() {
		t.Fatalf("%d faults of %d decisions: %v", r.FaultCount, len(out), r.Faults)
	}
	f := r.Faults[0]
	if f.Application != forged.ApplicationID || f.Topic != forged.Topic || f.Partition != forged.Partition || f.Offset != forged.Offset || f.What != "state after" || f.Recorded != forged.StateAfter.String() {
		t.Errorf("found %+v, altered %+v", f, forged)
	}
	for _, says := range []string{forged.ApplicationID, fmt.Sprintf("%s/%d@%d", forged.Topic, forged.Partition, forged.Offset)} {
		if !strings.Contains(f.String(), says) {
			t.Errorf("%q does not say %s", f, says)
		}
	}
	if r.Applications != 40 {
		t.Errorf("%d applications", r.Applications)
	}
}

// A whole history comes out as it is on record, under the same bundle too; however little memory there is, the report is the
// same; and an erased application ends at its erasure.
func TestAHistoryIsReplayedInAnyMemory(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	out := c.live(builtIn(t), told(c.schemas, 60, 2), nil)
	r := c.replay(Config{Other: builtIn(t).Bundles[0]})
	if !r.Clean() || r.Applications != 60 || r.Erased != 6 || r.Decisions != int64(len(out)) {
		t.Fatalf("%d of %d decisions, %d applications, %d erased, faults %v, differences %v", r.Decisions, len(out), r.Applications, r.Erased, r.Faults, r.Differences)
	}
	whole := c.replay(Config{Other: quiet(t), Examples: 3})
	seen := 0.0
	little := c.replay(Config{Other: quiet(t), Examples: 3, Memory: 60_000, Progress: func(part float64) {
		if part < seen || part > 1 {
			t.Errorf("progress goes from %f to %f", seen, part)
		}
		seen = part
	}})
	if whole.Differing == 0 || whole.Differing != little.Differing || whole.Writes != little.Writes || whole.Decisions != little.Decisions || whole.Was.P50 != little.Was.P50 {
		t.Errorf("with little memory %d of %d differ, else %d of %d", little.Differing, little.Decisions, whole.Differing, whole.Decisions)
	}
	if whole.Reads != partitionCount || little.Reads <= partitionCount {
		t.Errorf("read %d times, with little memory %d", whole.Reads, little.Reads)
	}
	name := func(d Difference) string { return d.Application }
	sorted := func(r *Report) []string {
		var names []string
		for _, d := range r.Differences {
			names = append(names, name(d))
		}
		slices.Sort(names)
		return names
	}
	if !slices.Equal(sorted(whole), sorted(little)) {
		t.Errorf("with little memory %v differ, else %v", sorted(little), sorted(whole))
	}
	if len(little.Examples) != 3 || len(little.Examples[0].Timeline) == 0 {
		t.Errorf("%d examples", len(little.Examples))
	}
}

// Where the inputs of the beginning are gone, an application begins at the oldest state that is kept and whose later inputs
// are; one without such a state is counted and left out.
func TestReplayBeginsAtACheckpoint(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	const n = 40
	out := c.live(builtIn(t), told(c.schemas, n, 3), func(all []recorded) {
		for i := range all { // compacted away: all states of one in four applications but the last
			app := all[i].decision.ApplicationID
			if hashOf(app)%4 == 0 && slices.ContainsFunc(all[i+1:], func(r recorded) bool { return r.decision.ApplicationID == app && r.state != nil }) {
				all[i].state = nil
			}
		}
	})
	cut := kadm.Offsets{}
	bounds := map[string]int64{}
	h, err := newHistory(t.Context(), c.opts)
	if err != nil {
		t.Fatal(err)
	}
	for p, s := range h.spans[reconciler.TopicChanges] {
		cut.AddOffset(reconciler.TopicChanges, int32(p), s.to/2, -1)
		bounds[fmt.Sprint(p)] = s.to / 2
	}
	if _, err := kadm.NewClient(c.client).DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	// By hand: where each application can begin.
	type beginning struct {
		whole, begun, lost bool
		decisions          int64
	}
	want := map[string]*beginning{}
	for i := range out {
		d := out[i].decision
		b := want[d.ApplicationID]
		if b == nil {
			b = &beginning{whole: true}
			want[d.ApplicationID] = b
		}
		switch gone := d.Topic == reconciler.TopicChanges && d.Offset < bounds[fmt.Sprint(d.Partition)]; {
		case gone:
			*b = beginning{lost: true, begun: out[i].state != nil}
		case b.whole || b.begun:
			b.decisions++
		case b.lost && out[i].state != nil:
			b.begun = true
		}
	}
	var applications, checkpoints, none, decisions int64
	for _, b := range want {
		switch {
		case b.whole:
			applications++
			decisions += b.decisions
		case b.begun && b.decisions > 0:
			applications++
			checkpoints++
			decisions += b.decisions
		default:
			none++
		}
	}
	if checkpoints == 0 || none == 0 || applications == checkpoints {
		t.Fatalf("too tame: %d applications, %d from checkpoints, %d without", applications, checkpoints, none)
	}
	r := c.replay(Config{Other: builtIn(t).Bundles[0]})
	if !r.Clean() || r.Checkpoints != checkpoints || r.NoBeginning != none || r.Applications != applications {
		t.Errorf("%d of %d applications, %d of %d from checkpoints, %d of %d without, faults %v", r.Applications, applications, r.Checkpoints, checkpoints, r.NoBeginning, none, r.Faults)
	}
	if r.Decisions > decisions || r.Decisions < decisions-n { // what comes after an erasure is not replayed
		t.Errorf("%d decisions, %d expected", r.Decisions, decisions)
	}
	if notes := strings.Join(r.Notes(), "\n"); !strings.Contains(notes, "hiring.state") || !strings.Contains(notes, "left out") {
		t.Errorf("notes: %s", notes)
	}
}

// Before --since nothing differs; from then on the other bundle counts: for what happens then, and for what was still on its way.
func TestABundleTakesEffectAtItsTime(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	out := c.live(builtIn(t), told(c.schemas, 40, 4), nil)
	var clocks []wire.Micros
	asked := map[string]bool{}
	for i := range out {
		d := out[i].decision
		clocks = append(clocks, d.Now)
		asked[d.ApplicationID] = asked[d.ApplicationID] || len(d.Commands) > 0
	}
	slices.Sort(clocks)
	middle := clocks[len(clocks)/2]
	r := c.replay(Config{Other: quiet(t), Since: hiring.Micros(middle)})
	if r.Differing == 0 {
		t.Fatal("nothing differs: too tame")
	}
	for _, d := range r.Differences {
		if d.Since < middle || !asked[d.Application] {
			t.Errorf("%s differs since %s, with the other bundle from %s on", d.Application, d.Since, middle)
		}
	}
	if same := c.replay(Config{Other: builtIn(t).Bundles[0], Since: hiring.Micros(middle)}); same.Differing != 0 {
		t.Errorf("%d differ under the same bundle: %+v", same.Differing, same.Differences[0])
	}
	if late := c.replay(Config{Other: quiet(t), Since: hiring.Micros(clocks[len(clocks)-1]) + 1}); late.Differing != 0 {
		t.Errorf("%d differ under a bundle of later", late.Differing)
	}
}

// A change of an owner alone is a difference of exactly the applications that stood in the stage: whose step it would be is
// said, and for whom an incident would be told that opens in both at one time.
func TestAnotherOwnerIsADifference(t *testing.T) {
	t.Parallel()
	for _, of := range []struct{ stage, rank, owner, stands string }{
		{"interviews", "rank: 4", "hiring manager", "sla: 14d, warn_before: 3d}"},
		{"screening", "rank: 3", "vendor", "sla: 5d, warn_before: 1d}"},
	} {
		soon := func(owner string) *hiring.Bundle {
			return edited(t, "machine.yaml", of.rank+", owner: "+of.owner+", "+of.stands, of.rank+", owner: "+owner+", sla: 600s, warn_before: 300s}")
		}
		rules := &hiring.Rules{Bundles: []*hiring.Bundle{soon(of.owner)}, Bounds: hiring.DefaultBounds()}
		c := newCluster(t)
		out := c.live(rules, told(c.schemas, 40, 10), nil)
		stood, overdue := map[string]bool{}, map[string]bool{}
		for i := range out {
			if d := out[i].decision; d.To == of.stage {
				stood[d.ApplicationID] = true
				if d.Reason == wire.ReasonSlaDueSoon || d.Reason == wire.ReasonSlaBreached {
					overdue[d.ApplicationID] = true
				}
			}
		}
		r := c.replay(Config{Rules: rules, Other: soon("recruiter")})
		if r.FaultCount != 0 || len(stood) == 0 || int(r.Differing) != len(stood) || r.Owners != r.Differing || of.stage == "screening" && len(overdue) < 10 {
			t.Fatalf("%s: %d applications differ, %d by an owner, %d stood in it, %d too long, faults %v", of.stage, r.Differing, r.Owners, len(stood), len(overdue), r.Faults)
		}
		for _, d := range r.Differences {
			if o := d.Owner; !stood[d.Application] || o == nil || o.Stage != of.stage || o.Recorded != of.owner || o.Simulated != "recruiter" || d.Since != o.At || d.Recorded != d.Simulated || d.Write != nil {
				t.Errorf("%+v, owner %+v", d, o)
			}
			if overdue[d.Application] && len(d.Incidents) == 0 {
				t.Errorf("%s: the incidents of its SLA are told to another, and that is not said", d.Application)
			}
			for _, in := range d.Incidents {
				if in.RecordedOwner != of.owner || in.SimulatedOwner != "recruiter" || in.Recorded != in.Simulated {
					t.Errorf("%s: %+v", d.Application, in)
				}
			}
			if words := d.Words(); !strings.Contains(words, "the next step in "+of.stage+" would be of recruiter, not of "+of.owner) {
				t.Error(words)
			}
		}
		for _, k := range r.Incidents {
			if k.Owner == 0 || k.Open+k.Vanish+k.Earlier+k.Later != 0 {
				t.Errorf("%+v", k)
			}
		}
	}
}

// Where the lives part they have one state: what either goes on to make of it is its own, also where the other bundle puts
// an event in another place of time.
func TestWhatIsOnRecordStaysItsOwn(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	out := c.live(builtIn(t), told(c.schemas, 40, 9), nil)
	skewed := edited(t, "bundle.yaml", "clock_margin: 60s", "clock_margin: 3h")
	for i := range 8 {
		since := hiring.Micros(out[len(out)*(i+1)/10].decision.Now)
		if r := c.replay(Config{Other: skewed, Since: since}); r.FaultCount != 0 {
			t.Fatalf("with another margin since %s %d decisions do not come out as recorded: %s", since.Time(), r.FaultCount, &r.Faults[0])
		}
	}
}

// The same decision on record under a policy that is not at hand is told, and not judged.
func TestAnotherPolicyIsTold(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.live(builtIn(t), told(c.schemas, 10, 5), nil)
	other := &hiring.Rules{Bundles: []*hiring.Bundle{quiet(t)}, Bounds: hiring.DefaultBounds()}
	if r := c.replay(Config{Rules: other}); r.OtherPolicy != 10 || r.FaultCount != 0 || r.Decisions != 0 {
		t.Errorf("%d applications, %d faults, %d decisions", r.OtherPolicy, r.FaultCount, r.Decisions)
	}
}

// A bundle that was activated on the way judges what came after its time, in its partition, as the log says; it is announced
// before, among decisions that it does not judge.
func TestActivationsAreReplayed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	rules, next := builtIn(t), quiet(t)
	recs := told(c.schemas, 40, 8)
	c.publish(recs)
	engine := reconciler.NewEngine(c.schemas, rules, partitionCount)
	s := newScribe(engine)
	first := record(t, s, recs[:len(recs)/2], 0)
	at := hiring.Micros(0)
	for i := range first {
		at = max(at, hiring.Micros(first[i].decision.Now)+1)
	}
	c.keep(first[:len(first)/2])
	manual, err := kgo.NewClient(append(slices.Clone(c.opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer manual.Close()
	for n := range int32(partitionCount) {
		key := fmt.Sprint(hiring.PolicyPrefix, n)
		d := wire.Decision{ApplicationID: key, Reason: wire.ReasonPolicyActivated, Policy: wire.Digest(next.Digest), Now: wire.Micros(at - 1), EffectiveAt: wire.Micros(at), Topic: reconciler.TopicControl, Partition: n}
		if err := manual.ProduceSync(t.Context(), &kgo.Record{Topic: reconciler.TopicDecisions, Partition: n, Key: []byte(key), Value: c.schemas.Append(nil, &d)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	c.keep(first[len(first)/2:])
	engine.Use(rules.Activate(next, at).On(at))
	var swept []recorded
	for _, app := range slices.Sorted(maps.Keys(s.states)) { // the partition judges its applications anew
		swept = append(swept, s.write(app, hiring.Event{Type: hiring.EventRejudge}, nil, at))
	}
	c.keep(swept)
	second := record(t, s, recs[len(recs)/2:], at)
	c.keep(second)
	published := func(_ context.Context, d hiring.Digest) (*hiring.Bundle, error) {
		if d != next.Digest {
			return nil, errors.New("no such bundle")
		}
		return next, nil
	}
	r := c.replay(Config{Published: published})
	if all := int64(len(first) + len(swept) + len(second)); !r.Clean() || r.OtherPolicy != 0 || r.Applications != 40 || len(r.Recorded) != 2 || r.Decisions < all-40 {
		t.Errorf("%d of %d decisions of %d applications, %d under another policy, faults %v", r.Decisions, all, r.Applications, r.OtherPolicy, r.Faults)
	}
	// Had the activation never been, what came after it would have been written; what came before it is the same.
	back := c.replay(Config{Published: published, Other: rules.Bundles[0], Since: at})
	if back.Differing == 0 || back.Writes.Sent == 0 || back.Writes.NotSent != 0 {
		t.Errorf("%d differ, writes %+v", back.Differing, back.Writes)
	}
	for _, d := range back.Differences {
		if d.Since < wire.Micros(at) {
			t.Errorf("%s differs since %s, before the activation at %s", d.Application, d.Since, at.Time())
		}
	}
	if _, err := Run(t.Context(), Config{Kafka: c.opts, Schemas: c.schemas, Rules: rules}); !errors.Is(err, errNowhere) {
		t.Errorf("without the published bundle: %v", err)
	}
}

// The page needs no other file, holds every application that differs and its picture, and says what is not known.
func TestThePageStandsAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.live(builtIn(t), told(c.schemas, 30, 6), nil)
	r := c.replay(Config{Other: quiet(t), Examples: 2})
	var page bytes.Buffer
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, d := range r.Differences {
		if !strings.Contains(text, "<td>"+d.Application+"</td>") {
			t.Errorf("no %s", d.Application)
		}
	}
	for _, want := range []string{"<svg", "What this report cannot say", "nobody knows", "would not be written", `<tr class="other">`, "Success rate", "as far as it is known"} {
		if !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("no %q", want)
		}
	}
	for _, wrong := range []string{"http://", "https://", "src=", "<link", "<script", "assess-one.example"} {
		if strings.Contains(text, wrong) {
			t.Errorf("the page has %q", wrong)
		}
	}
}

// BenchmarkJudge measures a history of 12 events an application whose events are decoded already: what is on record alone,
// and beside another bundle.
func BenchmarkJudge(b *testing.B) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(768 << 20)) // as the command does
	defer debug.SetGCPercent(debug.SetGCPercent(GCPercent))
	schemas, rules := openSchemas(b), builtIn(b)
	engine := reconciler.NewEngine(schemas, rules, 1)
	recs := told(schemas, 2000, 7)
	for _, rec := range recs {
		rec.Timestamp = time.UnixMicro(int64(origin) + 1e12)
	}
	all := record(b, newScribe(engine), recs, 0)
	for _, c := range []struct {
		name  string
		other *hiring.Bundle
	}{{"record", nil}, {"other=same", rules.Bundles[0]}, {"other=wave", quiet(b)}, {"other=sla", edited(b, "machine.yaml", "owner: vendor, sla: 5d, warn_before: 1d}", "owner: vendor, sla: 2h, warn_before: 1h}")}} {
		b.Run(c.name, func(b *testing.B) {
			j := &judge{engine: reconciler.NewEngine(schemas, rules, 1)}
			if c.other != nil {
				j.other = reconciler.NewEngine(schemas, Rules(rules, c.other, 0), 1)
			}
			b.ReportAllocs()
			var steps batch
			differ, n := 0, 0
			for b.Loop() {
				lives := map[string]*life{}
				differ = 0
				for i := range all {
					q := steps.room()
					q.event, q.record = all[i].event, *all[i].decision
					l := lives[q.record.ApplicationID]
					if l == nil {
						l = newLife(q.record.ApplicationID)
						lives[l.app] = l
					}
					if steps.add(l); steps.full() || i == len(all)-1 {
						steps.live(func(l *life, s *queued) { j.step(l, &s.step) })
					}
					n++
				}
				for _, l := range lives {
					if l.fault != nil {
						b.Fatal(l.fault)
					}
					if j.finish(l, hiring.Micros(all[len(all)-1].decision.Now)) != nil {
						differ++
					}
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
			if (differ > 0) != (c.other != nil && c.other != rules.Bundles[0]) {
				b.Fatalf("%d applications differ", differ)
			}
		})
	}
}
