package hiring_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/concord-ats/concord/pkg/hiring"
)

// TestScenarios runs the rules' own examples. The language, a line a delivery:
//
//	SECOND SYSTEM WHAT [key=value …]
//
// SECOND is the wall clock at the delivery; timers that are due before it fire first. stamped= is the time the
// source gives (default: SECOND), observed= the time at our door (default: SECOND; "none" for unstamped).
//
//	ats     enters|moves to|transfers to STAGE, rejects, unrejects, hires, withdraws, updates, deletes,
//	        shows STAGE|rejected|… (a read that proves the version stamped=), poll shows … (a read without a version)
//	form, sheet   publishers of an instance without an ATS: as ats, with canonical stages
//	vendor  orders, starts, passes, fails, reviews, corrects to pass|fail, cancels
//	person  overrides to STAGE, holds, releases, resyncs, erases, anonymises, merges, marks as duplicate
//	worker  attempts, confirms, already, superseded, blocked, refused, defers, not applicable, refreshed: about the newest command
//	clock   nothing happens but time
//
// Commands: "decide" folds on, "fresh" starts with a new application, "application" goes on with another one (name=) or back to it, "any-order" delivers the lines to a new application in every order
// (and each twice) and requires one end, "state" shows what stands, "count" how the decisions were counted, "bounds", "drop-edge" and "policy" change the rules.
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "rapid") {
			return // what a property test has written down of a failure
		}
		if !strings.HasSuffix(path, ".txt") {
			t.Fatalf("%s is no scenario", path)
		}
		w := newWorld()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := w.run(d)
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			return out
		})
	})
}

// world is one application and what surrounds it.
type world struct {
	rules   *hiring.Rules
	state   *hiring.State
	last    hiring.Command   // the newest apply command
	all     []hiring.Command // every apply command
	ordered string           // the newest screening order of ours
	out     strings.Builder
	counted [dispositions]int // decisions so far, see "count"
	others  map[string]world  // applications left for another
}

const epoch = hiring.Micros(1_700_000_000_000_000)

func newWorld() *world {
	return &world{rules: defaultRules(), state: hiring.NewState("gh-main/1")}
}

func second(text string) (hiring.Micros, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, err
	}
	return epoch + hiring.Micros(f*1e6), nil
}

func clock(t hiring.Micros) string {
	if t == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(t-epoch)/1e6, 'f', -1, 64)
}

func (w *world) run(d *datadriven.TestData) (string, error) {
	w.out.Reset()
	lines := strings.Split(strings.TrimSpace(d.Input), "\n")
	switch d.Cmd {
	case "bounds":
		b := &w.rules.Bounds
		for _, a := range d.CmdArgs {
			v := a.Vals[0]
			switch a.Key {
			case "tail":
				b.TailCap, _ = strconv.Atoi(v)
			case "ring":
				b.RingSize, _ = strconv.Atoi(v)
			case "horizon":
				b.Horizon, _ = time.ParseDuration(v)
			default:
				return "", fmt.Errorf("unknown bound %q", a.Key)
			}
		}
		return "", nil
	case "drop-edge":
		return "", w.dropEdge(d)
	case "policy":
		return "", w.publish(d)
	case "fresh":
		w.state, w.last = hiring.NewState("gh-main/1"), hiring.Command{}
	case "application":
		w.visit("gh-main/" + d.CmdArgs[0].Vals[0])
		return "", nil
	case "state":
		return describe(w.state), nil
	case "any-order":
		return w.anyOrder(lines)
	case "count":
		return w.countText(), nil
	case "decide":
	default:
		return "", fmt.Errorf("unknown command %q", d.Cmd)
	}
	for _, line := range lines {
		if err := w.line(line); err != nil {
			return "", fmt.Errorf("%q: %w", line, err)
		}
	}
	if d.HasArg("state") {
		w.out.WriteString(describe(w.state))
	}
	return w.out.String(), nil
}

// visit goes on with another application, or back to one.
func (w *world) visit(id string) {
	if w.others == nil {
		w.others = map[string]world{}
	}
	w.others[w.state.Application] = world{state: w.state, last: w.last, all: w.all, ordered: w.ordered}
	next, known := w.others[id]
	if !known {
		next.state = hiring.NewState(id)
	}
	w.state, w.last, w.all, w.ordered = next.state, next.last, next.all, next.ordered
}

// dropEdge publishes a bundle without an edge, in force from at=.
func (w *world) dropEdge(d *datadriven.TestData) error {
	var name string
	var from hiring.Micros
	for _, a := range d.CmdArgs {
		switch a.Key {
		case "edge":
			name = a.Vals[0]
		case "at":
			var err error
			if from, err = second(a.Vals[0]); err != nil {
				return err
			}
		}
	}
	b := *w.rules.Bundles[len(w.rules.Bundles)-1]
	everywhere(&b, func(b *hiring.Bundle) {
		b.EffectiveAt = from
		b.Edges = slices.DeleteFunc(slices.Clone(b.Edges), func(e hiring.Edge) bool { return e.Name == name })
	})
	w.rules = &hiring.Rules{Bounds: w.rules.Bounds, Bundles: append(slices.Clone(w.rules.Bundles), &b)}
	return nil
}

// line delivers one line.
func (w *world) line(line string) error {
	first, _, _ := strings.Cut(line, " ")
	now, err := second(first)
	if err != nil {
		return err
	}
	w.advance(now)
	e, _, err := w.parse(line)
	if err != nil || e == nil {
		return err
	}
	w.decide(e, now, line)
	return nil
}

// advance fires every timer due by now, each at its own time.
func (w *world) advance(now hiring.Micros) {
	for n := 0; w.state.NextDue != 0 && w.state.NextDue <= now; n++ {
		if n > 1000 {
			panic("timer livelock")
		}
		due := w.state.NextDue
		w.decide(&hiring.Event{Type: hiring.EventTimer}, due, clock(due)+" timer")
		if w.state.NextDue != 0 && w.state.NextDue <= due {
			panic(fmt.Sprintf("after the timer at %s the next is due at %s", clock(due), clock(w.state.NextDue)))
		}
	}
}

func (w *world) decide(e *hiring.Event, now hiring.Micros, line string) {
	d := hiring.Decide(w.rules, w.state, e, now)
	w.counted[d.Disposition()]++
	fmt.Fprintf(&w.out, "%s => %s v%d", line, d.Reason, d.State.Version)
	if d.Wave != "" || d.Mode != hiring.ModeWrite {
		fmt.Fprintf(&w.out, " [%s: %s]", d.Wave, d.Mode)
	}
	if len(d.Path) > 0 {
		fmt.Fprintf(&w.out, " %s", d.Path[0].From)
		for _, s := range d.Path {
			fmt.Fprintf(&w.out, " -(%s by %s)-> %s", s.Edge, s.Authority, s.To)
		}
	} else if d.From != d.To {
		fmt.Fprintf(&w.out, " back to %q", d.To)
	}
	w.out.WriteByte('\n')
	for _, i := range d.Incidents {
		fmt.Fprintf(&w.out, "  incident %s: %s %s about %s", [...]string{"opened", "resolved", "retracted"}[i.Change], i.Kind, i.Element, w.subject(i.Subject))
		if i.Kind == hiring.IncidentFieldDivergence {
			fmt.Fprintf(&w.out, ", by the rule %s", i.Rule)
			for _, v := range i.Values {
				fmt.Fprintf(&w.out, ", %s says %s since %s", v.System, v.Value, clock(v.At))
			}
		}
		if i.Kind == hiring.IncidentStuck && i.Change == hiring.IncidentOpened {
			fmt.Fprintf(&w.out, ", for the %s", i.Owner)
		}
		if i.Kind == hiring.IncidentMissingField && len(i.Values) > 0 && i.Values[0].Value != "" {
			fmt.Fprintf(&w.out, ", given as %s", i.Values[0].Value)
		}
		w.out.WriteByte('\n')
	}
	for _, c := range d.Commands {
		if c.Kind == hiring.CommandRefresh {
			w.out.WriteString("  command: read the ATS again\n")
			continue
		}
		w.last, w.all = c, append(w.all, c)
		closing := ""
		if c.Closing {
			closing = ", closing"
		}
		if c.Mode == hiring.ModeShadow {
			closing += ", in shadow"
		}
		fmt.Fprintf(&w.out, "  command r%d: show %s%s because of %s\n", c.Revision, tuple(&c.Desired), closing, c.Cause.ID)
	}
	for _, o := range d.Orders {
		if o.Cancel {
			fmt.Fprintf(&w.out, "  %s: cancel the test %s\n", o.Vendor, o.Test)
			continue
		}
		w.ordered = o.ID
		fmt.Fprintf(&w.out, "  %s: screen with the test %s\n", o.Vendor, o.Test)
	}
	w.state = d.State
}

// subject names our order, whose id says nothing to a reader.
func (w *world) subject(id string) string {
	if id == w.ordered && id != "" {
		return "ours"
	}
	return id
}

func (w *world) parse(line string) (*hiring.Event, hiring.Micros, error) {
	var words []string
	args := map[string]string{}
	for f := range strings.FieldsSeq(line) {
		if k, v, ok := strings.Cut(f, "="); ok {
			args[k] = v
		} else {
			words = append(words, f)
		}
	}
	if len(words) < 2 {
		return nil, 0, fmt.Errorf("want SECOND SYSTEM WHAT")
	}
	now, err := second(words[0])
	if err != nil {
		return nil, 0, err
	}
	if words[1] == "clock" {
		return nil, now, nil
	}
	e := &hiring.Event{OccurredAt: now, ObservedAt: now}
	if e.ID = args["id"]; e.ID == "" {
		e.ID = words[1] + "@" + words[0]
		if s := args["stamped"]; s != "" && words[1] != "worker" {
			e.ID = words[1] + "@" + s
		}
	}
	if s, ok := args["stamped"]; ok {
		if e.OccurredAt, err = second(s); err != nil {
			return nil, 0, err
		}
	}
	if s, ok := args["observed"]; ok && s != "none" {
		if e.ObservedAt, err = second(s); err != nil {
			return nil, 0, err
		}
	} else if ok {
		e.ObservedAt = 0
	}
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range args {
			if !yield(k) {
				return
			}
		}
	}) {
		if name, ok := strings.CutPrefix(k, "el."); ok {
			e.Elements = append(e.Elements, hiring.Element{Name: name, Value: args[k]})
		}
	}
	switch what := strings.Join(words[2:], " "); words[1] {
	case "ats":
		err = parseATS(e, what, args)
	case "form", "sheet":
		err = parsePublisher(e, words[1], what, args)
	case "vendor":
		if args["order"] == "ours" {
			args["order"] = w.ordered
		}
		err = parseVendor(e, what, args)
	case "person":
		err = parsePerson(e, what, args)
	case "worker":
		err = w.parseWorker(e, what, args)
	default:
		err = fmt.Errorf("unknown system %q", words[1])
	}
	if err != nil {
		return nil, 0, err
	}
	e.Digest = contentDigest(e)
	return e, now, w.rules.Check(e)
}

// contentDigest covers everything but the observation.
func contentDigest(e *hiring.Event) hiring.Digest {
	c := *e
	c.ObservedAt, c.Key, c.Claimed = 0, hiring.Digest{}, false
	o := ""
	if c.Outcome != nil {
		o = fmt.Sprintf("%+v", *c.Outcome)
		c.Outcome = nil
	}
	if c.Score != nil {
		o += fmt.Sprintf("%+v", *c.Score)
		c.Score = nil
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v %s", c, o))
	return hiring.Digest(sum[:16])
}

// anyOrder delivers lines in every order, once and with every line twice, and requires one end.
func (w *world) anyOrder(lines []string) (string, error) {
	end := ""
	var fault error
	orders := 0
	permute(len(lines), func(order []int) {
		for times := 1; times <= 2 && fault == nil; times++ {
			w.state, w.last = hiring.NewState("gh-main/1"), hiring.Command{}
			for range times {
				for _, i := range order {
					e, now, err := w.parse(lines[i])
					if err != nil {
						fault = err
						return
					}
					w.decide(e, now, lines[i])
				}
			}
			w.advance(epoch + hiring.Micros(3600e6))
			got := describe(w.state)
			if end == "" {
				end = got
			}
			if got != end {
				fault = fmt.Errorf("order %v times %d ends otherwise:\n%s\nthe first order ends:\n%s", order, times, got, end)
			}
			orders++
		}
	})
	return fmt.Sprintf("%d orders, one end\n%s", orders, end), fault
}

func permute(n int, visit func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var step func(k int)
	step = func(k int) {
		if k == n {
			visit(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			step(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	step(0)
}
