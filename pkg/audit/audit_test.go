package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/concord-ats/concord/pkg/audit"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	application = "gh-main/1"
	reconciler  = "reconciler"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// tape is a small run, written by hand: one application that a vendor passed, one malformed record.
type tape struct {
	world     []string
	records   map[string][]audit.Record
	journal   []audit.Entry
	store     []audit.StoreApplication
	committed map[string]map[audit.TopicPartition]int64
	fired     map[string]uint64
	opt       audit.Options
}

func frame(rec wire.Record) []byte { return rec.AppendAvro([]byte{0, 0, 0, 0, 1}) }

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func micros(seconds int) wire.Micros { return wire.MicrosOf(at(seconds)) }

// add appends a record to partition 0 of a topic, and commits its offset for the groups that read the topic.
func (tp *tape) add(topic, key string, value []byte, headers ...audit.Header) int64 {
	list := tp.records[topic]
	offset := int64(len(list))
	tp.records[topic] = append(list, audit.Record{Topic: topic, Offset: offset, Key: []byte(key), Value: value, Headers: headers, Time: at(int(offset))})
	for _, group := range []string{reconciler, "writeback", "kpi"} {
		tp.committed[group][audit.TopicPartition{Topic: topic}] = offset + 1
	}
	return offset
}

func digest(n byte) wire.Digest { return wire.Digest{n} }

// decision adds a decision of the delivery at coordinates.
func (tp *tape) decision(topic string, offset int64, d wire.Decision) {
	d.ApplicationID, d.Topic, d.Offset, d.System, d.EffectiveAt = application, topic, offset, "gh-main", micros(1)
	tp.add("hiring.decisions", application, frame(&d))
}

func malformedDigest() []byte {
	sum := sha256.Sum256([]byte("gh-main/9\x00{not a frame"))
	return sum[:16]
}

func cleanTape() *tape {
	tp := &tape{
		records:   map[string][]audit.Record{},
		committed: map[string]map[audit.TopicPartition]int64{reconciler: {}, "writeback": {}, "kpi": {}},
		opt:       audit.Options{Reconciler: reconciler, Writeback: "writeback", KPI: "kpi"},
	}
	malformed := []byte("{not a frame")
	tp.world = []string{
		`{"kind":"world","seed":1,"start":"2026-03-02T09:00:00Z"}`,
		`{"kind":"edge","name":"pass","from":"screening","to":"interviews"}`,
		`{"kind":"stage","system":"gh-main","native":71416,"id":"stage-71416","canonical":"screening"}`, `{"kind":"stage","system":"gh-main","native":1004,"id":"stage-1004","canonical":"interviews"}`,
		`{"kind":"application","id":"gh-main/1","native":1,"story":"pass","ends":[{"canonical":"interviews","stage":1004,"status":"active","fields":{"screening_score":"81"}}]}`,
		`{"kind":"delivery","via":"kafka","application":"gh-main/1","topic":"screening.events","source":"v","id":"done"}`,
		`{"kind":"delivery","via":"kafka","application":"gh-main/1","topic":"screening.events","source":"v","id":"done","duplicate":true}`,
		`{"kind":"delivery","via":"kafka","topic":"screening.events","dead_letter":"bad_framing","digest":"` + hex.EncodeToString(malformedDigest()) + `"}`,
	}
	moved := tp.add("ats.changes", application, frame(&wire.AtsChange{ID: "moved", Source: "gh", ApplicationID: application, OccurredAt: micros(1)}))
	done := frame(&wire.ScreeningEvent{ID: "done", Source: "v", ApplicationID: application, OccurredAt: micros(2)})
	first, again := tp.add("screening.events", application, done), tp.add("screening.events", application, done)
	bad := tp.add("screening.events", "gh-main/9", malformed)
	tp.add("screening.events.dlq", "gh-main/9", malformed, letter("bad_framing", "screening.events", bad)...)

	tp.decision("ats.changes", moved, wire.Decision{
		Version: 1, Reason: wire.ReasonAdvanced, To: "screening", StateAfter: digest(1), Path: []wire.Step{{To: "screening", Edge: "enter"}},
	})
	tp.decision("screening.events", first, wire.Decision{
		Version: 2, Reason: wire.ReasonAdvanced, From: "screening", To: "interviews", StateBefore: digest(1), StateAfter: digest(2),
		Path: []wire.Step{{From: "screening", To: "interviews", Edge: "pass"}},
	})
	tp.decision("screening.events", again, wire.Decision{
		Version: 2, Reason: wire.ReasonDuplicate, Disposition: wire.DispositionDuplicate, From: "interviews", To: "interviews", StateBefore: digest(2), StateAfter: digest(2),
	})
	tuple := wire.Tuple{Stage: "stage-1004", Status: wire.ApplicationStatusActive, Elements: []wire.Element{{Name: "screening_score", Value: "81"}}}
	tp.add("ats.commands", application, frame(&wire.Command{ID: "c1", ApplicationID: application, Revision: 1, Desired: tuple}))
	attempt := tp.add("ats.outcomes", application, frame(&wire.Outcome{
		ID: "o1", ApplicationID: application, System: "gh-main", CommandID: "c1", Revision: 1, Arming: 1, Outcome: wire.OutcomeKindAttempt, FinishedAt: micros(10),
	}))
	end := tp.add("ats.outcomes", application, frame(&wire.Outcome{
		ID: "o2", ApplicationID: application, System: "gh-main", CommandID: "c1", Revision: 1, Arming: 1, Outcome: wire.OutcomeKindConfirmed,
		StartedAt: micros(9), FinishedAt: micros(12), Written: tuple, Cause: wire.CommandCause{ScreeningFinishedAt: micros(2)},
	}))
	state := wire.HiringState{ApplicationID: application, Version: 4, Head: wire.Fold{Stage: "interviews"}}
	last := sha256.Sum256(frame(&state))
	tp.decision("ats.outcomes", attempt, wire.Decision{Version: 3, Reason: wire.ReasonAttempted, From: "interviews", To: "interviews", StateBefore: digest(2), StateAfter: digest(3)})
	tp.decision("ats.outcomes", end, wire.Decision{Version: 4, Reason: wire.ReasonConfirmed, From: "interviews", To: "interviews", StateBefore: digest(3), StateAfter: wire.Digest(last[:16])})
	tp.add("hiring.state", application, frame(&state))

	before := audit.View{Stage: 71416, Status: "active"}
	edited := audit.View{Stage: 71416, Status: "active", Fields: map[string]json.RawMessage{"screening_score": json.RawMessage("81.0")}}
	after := edited
	after.Stage = 1004
	api := &audit.Actor{Kind: "api"}
	tp.journal = []audit.Entry{
		{System: "gh-main", Seq: 1, Time: at(0), Type: "mutation", Application: 1, Kind: "create", Actor: &audit.Actor{Kind: "human"}, To: &before},
		{System: "gh-main", Seq: 2, Time: at(11), Type: "mutation", Application: 1, Kind: "edit", Actor: api, From: &before, To: &edited},
		{System: "gh-main", Seq: 3, Time: at(11), Type: "mutation", Application: 1, Kind: "move", Actor: api, From: &edited, To: &after},
	}
	tp.store = []audit.StoreApplication{{System: "gh-main", ID: 1, StageID: 1004, Status: "active", Fields: after.Fields}}

	tp.window(wire.KpiWindow{Metric: "quality", WindowStart: micros(0), Counts: []wire.Count{
		{Name: "decisions", Dimension: "advanced", Value: 2},
		{Name: "decisions", Dimension: "attempted", Value: 1},
		{Name: "decisions", Dimension: "confirmed", Value: 1},
		{Name: "decisions", Dimension: "duplicate", Value: 1},
	}})
	tp.window(wire.KpiWindow{Metric: "writeback", WindowStart: micros(0), Counts: []wire.Count{{Name: "attempt", Value: 1}, {Name: "confirmed", Value: 1}}, P50: 10, P95: 10, P99: 10, Samples: 1, Sketch: sketch(10)})
	return tp
}

func (tp *tape) window(w wire.KpiWindow) {
	w.System, w.Revision = "gh-main", 1
	tp.add("kpi."+w.Metric, "w", frame(&w))
}

func sketch(samples ...float64) []byte {
	s, err := ddsketch.LogCollapsingLowestDenseDDSketch(0.01, 2048)
	if err != nil {
		panic(err)
	}
	for _, v := range samples {
		if err := s.Add(v); err != nil {
			panic(err)
		}
	}
	var b bytes.Buffer
	s.EncodeProto(&b)
	return b.Bytes()
}

func letter(cause, topic string, offset int64) []audit.Header {
	var out []audit.Header
	for _, h := range [][2]string{{"cause", cause}, {"topic", topic}, {"partition", "0"}, {"offset", fmt.Sprint(offset)}} {
		out = append(out, audit.Header{Key: "concord.dlq." + h[0], Value: []byte(h[1])})
	}
	return out
}

func (tp *tape) check(t *testing.T) *audit.Report {
	t.Helper()
	ev := &audit.Evidence{
		World: strings.NewReader(strings.Join(tp.world, "\n")), Committed: tp.committed, Fired: tp.fired,
		Records: func(topic string, visit func(*audit.Record) error) error {
			for i := range tp.records[topic] {
				if err := visit(&tp.records[topic][i]); err != nil {
					return err
				}
			}
			return nil
		},
		Journal: func(visit func(*audit.Entry) error) error { return each(tp.journal, visit) },
		Store:   func(visit func(*audit.StoreApplication) error) error { return each(tp.store, visit) },
	}
	r, err := audit.Check(ev, tp.opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func each[T any](list []T, visit func(*T) error) error {
	for i := range list {
		if err := visit(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// change decodes a record of a topic, changes it and puts it back.
func change[T any, P interface {
	*T
	wire.Record
}](tp *tape, topic string, offset int, edit func(P),
) {
	var v T
	if err := P(&v).DecodeAvro(tp.records[topic][offset].Value[5:]); err != nil {
		panic(err)
	}
	edit(P(&v))
	tp.records[topic][offset].Value = frame(P(&v))
}

func TestCleanRunHasNoFindings(t *testing.T) {
	t.Parallel()
	r := cleanTape().check(t)
	if !r.Clean || len(r.Findings) != 0 {
		t.Fatalf("findings on a clean run: %+v", r.Findings)
	}
	if r.Deliveries != 4 || r.Duplicates != 1 || r.Writes != 2 || r.DeadLetters["bad_framing"] != 1 || r.Reasons["advanced"] != 2 || r.KPI.Samples != 1 || r.KPI.SuccessRate != 1 {
		t.Errorf("report: %+v", r)
	}
}

// Some ATSs need a request a field, and one more to take a label away. And what is asked within the limit is no finding, wherever its windows begin.
func TestSeveralEditsWithinTheLimitAreNoFinding(t *testing.T) {
	t.Parallel()
	tp := cleanTape()
	whole := tp.journal[1].To
	first := audit.View{Stage: whole.Stage, Status: whole.Status, Tags: []string{"screening_score: 7"}, Fields: map[string]json.RawMessage{"screening_status": json.RawMessage(`"complete"`)}}
	tagged := *whole
	tagged.Tags = first.Tags
	one, two, three := tp.journal[1], tp.journal[1], tp.journal[1]
	one.To, two.From, two.To, three.From = &first, &first, &tagged, &tagged
	tp.journal = slices.Replace(tp.journal, 1, 2, one, two, three)
	tp.opt.Limits = map[string]audit.Limit{"gh-main": {Requests: 2, Window: 10 * time.Second}}
	for _, s := range []int{1, 11, 12, 21} {
		tp.journal = append(tp.journal, audit.Entry{System: "gh-main", Time: at(s), Type: "request", Application: 1, Kind: "read"})
	}
	r := tp.check(t)
	if !r.Clean {
		t.Errorf("findings: %+v", r.Findings)
	}
	if len(r.Tenants) != 1 || r.Tenants[0].Peak != 2 || r.Tenants[0].Requests != 4 || r.Tenants[0].Writes != 4 || r.Tenants[0].Applications != 1 {
		t.Errorf("tenants: %+v", r.Tenants)
	}
}

func TestEachCorruptionIsFound(t *testing.T) {
	t.Parallel()
	decisions, state := "hiring.decisions", "hiring.state"
	drop := func(topic string, offset int) func(*tape) {
		return func(tp *tape) { tp.records[topic] = slices.Delete(tp.records[topic], offset, offset+1) }
	}
	for _, c := range []struct {
		name      string
		corrupt   func(*tape)
		invariant audit.Invariant
		what, id  string
	}{
		{"a decision is missing", drop(decisions, 0), audit.I1Loss, "lost: a delivery on ats.changes", "moved at ats.changes/0/0"},
		{"a delivery is decided twice", func(tp *tape) {
			tp.decision("screening.events", 1, wire.Decision{Version: 4, Reason: wire.ReasonDuplicate, Disposition: wire.DispositionDuplicate})
		}, audit.I1Loss, "decided twice", "done at screening.events/0/1"},
		{"all deliveries are duplicates", func(tp *tape) {
			change(tp, decisions, 1, func(d *wire.Decision) { d.Disposition = wire.DispositionDuplicate })
		}, audit.I1Loss, "every delivery of an event was counted as a duplicate", "done"},
		{"a dead letter is missing", drop("screening.events.dlq", 0), audit.I1Loss, "had to be dead-lettered for bad_framing", ""},
		{"a dead letter has the wrong cause", func(tp *tape) {
			tp.records["screening.events.dlq"][0].Headers = letter("undecodable", "screening.events", 2)
		}, audit.I1Loss, "dead-lettered for undecodable in place of bad_framing", "screening.events.dlq/0/0"},
		{"a good record is dead-lettered", func(tp *tape) {
			tp.add("ats.changes.dlq", application, tp.records["ats.changes"][0].Value, letter("undecodable", "ats.changes", 0)...)
		}, audit.I1Loss, "the world says it was good", "ats.changes.dlq/0/0"},
		{"a sent record is on no topic", func(tp *tape) {
			tp.world = append(tp.world, `{"kind":"delivery","via":"kafka","source":"v","id":"gone"}`)
		}, audit.I1Loss, "on no topic", "gone"},
		{"a delivery is not consumed", func(tp *tape) {
			tp.add("hiring.control", application, frame(&wire.Control{ID: "hold", Source: "op", ApplicationID: application}))
			tp.committed[reconciler][audit.TopicPartition{Topic: "hiring.control"}] = 0
		}, audit.I8Lag, "was not consumed", "hold at hiring.control/0/0"},
		{"an offset is not committed", func(tp *tape) {
			tp.committed[reconciler][audit.TopicPartition{Topic: "ats.changes"}] = 0
		}, audit.I6Atomic, "its offset is not committed", "moved at ats.changes/0/0"},
		{"a decision of nothing", func(tp *tape) {
			tp.decision("screening.events", 77, wire.Decision{Version: 4})
		}, audit.I6Atomic, "of a record that is not there", "hiring.decisions/0/5"},
		{"one attempt writes twice", func(tp *tape) {
			tp.journal = append(tp.journal, tp.journal[2])
		}, audit.I2Twice, "one attempt wrote twice: move", application},
		{"one attempt edits twice", func(tp *tape) {
			again := tp.journal[1]
			again.From = again.To
			tp.journal = append(tp.journal, again)
		}, audit.I2Twice, "one attempt wrote twice: edit", application},
		{"one attempt sets a field twice", func(tp *tape) {
			tp.journal = slices.Insert(tp.journal, 2, tp.journal[1])
		}, audit.I2Twice, "one attempt wrote twice: edit", application},
		{"an instance is asked too often", func(tp *tape) {
			tp.opt.Limits = map[string]audit.Limit{"gh-main": {Requests: 2, Window: 10 * time.Second, Burst: 1}}
			for _, s := range []int{1, 11, 12, 15, 20} {
				tp.journal = append(tp.journal, audit.Entry{System: "gh-main", Time: at(s), Type: "request", Application: 1, Kind: "read"})
			}
		}, audit.Rate, "4 requests in 10s, where 3 are allowed", "gh-main"},
		{"an instance is asked again and again", func(tp *tape) {
			for s := range 120 {
				e := audit.Entry{System: "gh-main", Time: at(s), Type: "request", Application: int64(s % 60), Kind: "read", Status: 200}
				if s%60 < 25 {
					e.Status = []int{429, 503, 0}[s%3]
				}
				tp.journal = append(tp.journal, e)
			}
		}, audit.Rate, "25 of 120 requests repeat a failed one, and 20 % may", "gh-main"},
		{"a write without an attempt", func(tp *tape) { tp.journal[1].Time = at(5) }, audit.I2Twice, "without a committed attempt", application},
		{"an arming is attempted twice", func(tp *tape) {
			tp.add("ats.outcomes", application, tp.records["ats.outcomes"][0].Value)
		}, audit.I2Twice, "one arming was attempted twice", application},
		{"a closing effect happens twice", func(tp *tape) {
			tp.add("ats.outcomes", application, frame(&wire.Outcome{ID: "o3", ApplicationID: application, CommandID: "c1", Revision: 1, Arming: 2, FinishedAt: micros(20)}))
			for _, s := range []int{11, 21} {
				e := tp.journal[2]
				e.Kind, e.Time = "reject", at(s)
				tp.journal = append(tp.journal, e)
			}
		}, audit.I2Twice, "a closing effect happened twice", application},
		{"the canonical stage is another", func(tp *tape) {
			change(tp, state, 0, func(s *wire.HiringState) { s.Head.Stage = "offer" })
		}, audit.I3End, "canonical stage is not the world's", application},
		{"the ATS shows another stage", func(tp *tape) { tp.store[0].StageID = 71416 }, audit.I3End, "the ATS does not show what the world says", application},
		{"the ATS lacks a field", func(tp *tape) { tp.store[0].Fields = nil }, audit.I3End, "a field of the ATS is not set", application},
		{"an incident is missing", func(tp *tape) {
			tp.world[4] = strings.Replace(tp.world[4], `"fields"`, `"incident":"stuck","fields"`, 1)
		}, audit.I3End, "an incident is missing", application},
		{"a step is no edge", func(tp *tape) {
			change(tp, decisions, 1, func(d *wire.Decision) { d.Path[0].Edge = "shortcut" })
		}, audit.I4Edge, "no edge of the machine: screening to interviews by shortcut", application},
		{"a path has a gap", func(tp *tape) {
			change(tp, decisions, 1, func(d *wire.Decision) {
				d.Path = append(d.Path, wire.Step{From: "offer", To: "interviews", Edge: "override"})
			})
		}, audit.I4Edge, "a path has a gap", application},
		{"the stage changes without a step", func(tp *tape) {
			change(tp, decisions, 1, func(d *wire.Decision) { d.Path = nil })
		}, audit.I4Edge, "changed without a step", application},
		{"a version is skipped", func(tp *tape) {
			change(tp, decisions, 1, func(d *wire.Decision) { d.Version = 3 })
		}, audit.I5Version, "not one more than before", application},
		{"a duplicate moves the version", func(tp *tape) {
			change(tp, decisions, 2, func(d *wire.Decision) { d.Version = 3 })
		}, audit.I5Version, "not the one before", application},
		{"a decision starts from a state nobody left", func(tp *tape) {
			change(tp, decisions, 1, func(d *wire.Decision) { d.StateBefore = digest(9) })
		}, audit.I5Version, "no decision had left", application},
		{"the last state is another", func(tp *tape) {
			change(tp, state, 0, func(s *wire.HiringState) { s.UpdatedAt = 1 })
		}, audit.I6Atomic, "not the one the last decision left", application},
		{"the last state is older", func(tp *tape) {
			change(tp, state, 0, func(s *wire.HiringState) { s.Version = 3 })
		}, audit.I6Atomic, "another version than the last decision", application},
		{"a state is missing", drop(state, 0), audit.I6Atomic, "no state", application},
		{"confirmed and never shown", func(tp *tape) {
			tp.journal = tp.journal[:2]
		}, audit.Confirmed, "the ATS never showed it", application},
		{"a command has no outcome", func(tp *tape) {
			tp.add("ats.commands", application, frame(&wire.Command{ID: "c2", ApplicationID: application, Revision: 2, Desired: wire.Tuple{Stage: "1005"}}))
		}, audit.I8Lag, "the last command has no outcome", application},
		{"a refresh is not answered", func(tp *tape) {
			tp.add("ats.commands", application, frame(&wire.Command{ID: "r1", ApplicationID: application, Kind: wire.CommandKindRefresh}))
		}, audit.I8Lag, "refresh was not answered", application},
		{"a group lags", func(tp *tape) {
			tp.committed["writeback"][audit.TopicPartition{Topic: "ats.commands"}] = 0
		}, audit.I8Lag, "writeback has not consumed all of ats.commands", "ats.commands/0/0"},
		{"a count is wrong", func(tp *tape) {
			change(tp, "kpi.writeback", 0, func(w *wire.KpiWindow) { w.Counts[1].Value = 2 })
		}, audit.I11KPI, "a count of a window of kpi.writeback", ""},
		{"a quantile is wrong", func(tp *tape) {
			change(tp, "kpi.writeback", 0, func(w *wire.KpiWindow) { w.P99 = 11 })
		}, audit.I11KPI, "a quantile of a window", ""},
		{"a sketch is wrong", func(tp *tape) {
			change(tp, "kpi.writeback", 0, func(w *wire.KpiWindow) { w.Sketch = sketch(12) })
		}, audit.I11KPI, "the merged p50", "kpi.writeback"},
		{"a revision is skipped", func(tp *tape) {
			change(tp, "kpi.quality", 0, func(w *wire.KpiWindow) { w.Revision = 2 })
		}, audit.I11KPI, "revisions of a window", ""},
		{"an open incident is not counted", func(tp *tape) {
			tp.add("hiring.conflicts", application, frame(&wire.Incident{ID: "i", ApplicationID: application, System: "gh-main", Kind: wire.IncidentKindStuck, OpenedAt: micros(1)}))
		}, audit.I11KPI, "what stands now: stuck is 0, the log says 1", "stuck"},
		{"a tame run", func(tp *tape) { tp.opt.Fired, tp.fired = 1, map[string]uint64{"lost_write": 0} }, audit.Tame, "fault lost_write: 0, want at least 1", "lost_write"},
		{"a reason that never fired", func(tp *tape) { tp.opt.Fired = 1 }, audit.Tame, "reason hint: 0, want at least 1", "hint"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tp := cleanTape()
			c.corrupt(tp)
			r := tp.check(t)
			if r.Clean {
				t.Fatal("no finding")
			}
			if !slices.ContainsFunc(r.Findings, func(f audit.Finding) bool {
				return f.Invariant == c.invariant && strings.Contains(f.What, c.what) && (c.id == "" || slices.Contains(f.IDs, c.id))
			}) {
				t.Errorf("want %s with %q about %q, have %+v", c.invariant, c.what, c.id, r.Findings)
			}
		})
	}
}

// What the world cannot know is accepted only with its evidence.
func TestEndsTheWorldCannotKnow(t *testing.T) {
	t.Parallel()
	incident := func(tp *tape, kind wire.IncidentKind) {
		tp.opt.KPI = ""
		tp.add("hiring.conflicts", application, frame(&wire.Incident{ID: "i", ApplicationID: application, System: "gh-main", Kind: kind, OpenedAt: micros(1)}))
	}
	other := `,{"canonical":"screening","stage":71416,"status":"active","fields":{},"incident":"verdict_overridden"}]`
	ambiguous := func(tp *tape) {
		tp.world[4] = strings.Replace(tp.world[4], "]", other, 1)
		tp.world[4] = strings.Replace(tp.world[4], `"story"`, `"ambiguous":true,"story"`, 1)
	}
	still := func(tp *tape) { tp.store[0].StageID = 71416 }
	toScreening := func(tp *tape) {
		still(tp)
		s := wire.HiringState{ApplicationID: application, Version: 4, Head: wire.Fold{Stage: "screening"}}
		sum := sha256.Sum256(frame(&s))
		tp.records["hiring.state"][0].Value = frame(&s)
		change(tp, "hiring.decisions", 4, func(d *wire.Decision) {
			d.To, d.Path = "screening", []wire.Step{{From: "interviews", To: "screening", Edge: "override"}}
			d.StateAfter = wire.Digest(sum[:16])
		})
	}
	// The malformed record arrived twice.
	again := func(tp *tape) {
		malformed := tp.records["screening.events.dlq"][0]
		tp.add("screening.events.dlq", string(malformed.Key), malformed.Value, letter("bad_framing", "screening.events", -1)...)
	}
	// The attempt at 10 ended at 12: blocked, as its writer was gone.
	restarted := func(tp *tape) {
		still(tp)
		incident(tp, wire.IncidentKindWriteBlocked)
		change(tp, "ats.outcomes", 1, func(o *wire.Outcome) { o.Outcome, o.Detail = wire.OutcomeKindBlocked, "restarted" })
	}
	interrupted := func(from, to int) func(*tape) {
		return func(tp *tape) { tp.opt.Interrupted = []audit.Interruption{{From: at(from), To: at(to)}} }
	}
	for _, c := range []struct {
		name  string
		edit  []func(*tape)
		clean bool
		count func(*audit.Report) int
	}{
		{"a webhook that was sent again", []func(*tape){again, func(tp *tape) {
			tp.opt.Resent = map[string]int{fmt.Sprintf("%x", malformedDigest()): 1}
		}}, true, func(r *audit.Report) int { return r.DeadLetters["bad_framing"] - 1 }},
		{"a dead letter of nothing", []func(*tape){again}, false, nil},
		{"a write blocked by a restart", []func(*tape){restarted, interrupted(11, 15)}, true, func(r *audit.Report) int { return r.Blocked }},
		{"a write blocked by a restart that was not", []func(*tape){restarted}, false, nil},
		{"a write blocked before the restart", []func(*tape){restarted, interrupted(13, 15)}, false, nil},
		{"a write attempted after the restart", []func(*tape){restarted, interrupted(5, 9)}, false, nil},
		{"the other end with its incident", []func(*tape){ambiguous, toScreening, func(tp *tape) { incident(tp, wire.IncidentKindVerdictOverridden) }}, true, func(r *audit.Report) int { return r.OtherEnd }},
		{"the other end in silence", []func(*tape){ambiguous, toScreening}, false, nil},
		{"a blocked write with its incident", []func(*tape){still, func(tp *tape) {
			incident(tp, wire.IncidentKindWriteBlocked)
			tp.journal = append(tp.journal, audit.Entry{System: "gh-main", Type: "request", Application: 1, Kind: "move", Fault: "lost_write"})
		}}, true, func(r *audit.Report) int { return r.Blocked }},
		{"a blocked write without a fault", []func(*tape){still, func(tp *tape) { incident(tp, wire.IncidentKindWriteBlocked) }}, false, nil},
		{"a race that both agree on", []func(*tape){toScreening, func(tp *tape) {
			tp.journal = append(tp.journal, audit.Entry{System: "gh-main", Time: at(30), Type: "mutation", Application: 1, Kind: "move", Fault: "human_race", Actor: &audit.Actor{Kind: "human"}, To: &audit.View{Stage: 71416, Status: "active"}})
		}}, true, func(r *audit.Report) int { return r.Raced }},
		{"a race that was not noticed", []func(*tape){still, func(tp *tape) {
			tp.journal = append(tp.journal, audit.Entry{System: "gh-main", Time: at(30), Type: "mutation", Application: 1, Kind: "move", Fault: "human_race", Actor: &audit.Actor{Kind: "human"}, To: &audit.View{Stage: 71416, Status: "active"}})
		}}, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tp := cleanTape()
			for _, edit := range c.edit {
				edit(tp)
			}
			r := tp.check(t)
			if r.Clean != c.clean {
				t.Fatalf("clean is %t: %+v", r.Clean, r.Findings)
			}
			if c.clean && c.count(r) != 1 {
				t.Errorf("not counted: %+v", r)
			}
		})
	}
}

// The audit must not share the engine's mistakes: it may import the wire types and nothing else of ours.
func TestImportsOnlyTheWireTypes(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		own := strings.TrimPrefix(dep, "github.com/concord-ats/concord/")
		if own != dep && own != "pkg/audit" && own != "pkg/wire" && own != "pkg/wire/avro" && own != "schemas" {
			t.Errorf("imports %s", dep)
		}
	}
}
