package policy_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
)

var (
	mutations = flag.Int("mutations", 1000, "random mutations of the built-in bundle")
	seed      = flag.Uint64("mutation-seed", 0, "seed of the mutations; 0 = by the clock")
)

const mutationEvents = 10_000 // for each mutation that passes the check

// A mutation of the built-in bundle either passes the check, and then the core always knows what to do, whatever comes;
// or it is refused, with a message that names the place.
func TestMutations(t *testing.T) {
	from := *seed
	if from == 0 {
		from = uint64(time.Now().UnixNano())
	}
	t.Logf("-mutation-seed=%d", from)
	var passed, refused int
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range 2 {
		wg.Go(func() {
			for i := range next {
				rng := rand.New(rand.NewPCG(from, uint64(i)))
				files, what := mutate(t, rng)
				b, err := policy.Compile(files)
				if err != nil {
					if problem := misplaced(files, err); problem != "" {
						t.Errorf("mutation %d, %s: %s", i, what, problem)
					}
				} else if problem := undecided(b, rng); problem != "" {
					t.Errorf("mutation %d, %s: passes, and then %s", i, what, problem)
				}
				mu.Lock()
				if err == nil {
					passed++
				} else {
					refused++
				}
				mu.Unlock()
			}
		})
	}
	for i := range *mutations {
		next <- i
	}
	close(next)
	wg.Wait()
	t.Logf("%d passed, %d refused", passed, refused)
	if passed < *mutations/20 || refused < *mutations/20 {
		t.Errorf("%d passed and %d refused: the mutations no longer test both", passed, refused)
	}
}

// misplaced says why a refusal does not name its place; "" when it does.
func misplaced(files policy.Files, err error) string {
	var faults policy.Faults
	if !errors.As(err, &faults) || len(faults) == 0 {
		return fmt.Sprintf("is refused with %v, which names no place", err)
	}
	for _, f := range faults {
		text, ok := files[f.File]
		n := strings.Count(string(text), "\n") + 1
		if !ok && f.Problem != "is missing" || f.Problem == "" || f.Fix == "" || ok && (f.Line < 1 || f.Line > n) {
			return fmt.Sprintf("is refused with %q, whose place is not in the files", f)
		}
	}
	return ""
}

// mutate changes one to three things in the built-in bundle.
func mutate(t *testing.T, rng *rand.Rand) (policy.Files, string) {
	files := maps.Clone(policy.Default())
	names := slices.Sorted(maps.Keys(files))
	var what []string
	for range 1 + rng.IntN(3) {
		name := names[rng.IntN(len(names))]
		var doc yaml.Node
		if err := yaml.Unmarshal(files[name], &doc); err != nil {
			t.Error(err)
			return files, ""
		}
		what = append(what, name+": "+change(&doc, rng))
		text, err := yaml.Marshal(&doc)
		if err != nil {
			t.Error(err)
			return files, ""
		}
		files[name] = text
	}
	return files, strings.Join(what, "; ")
}

// change changes one node: a text, a key, or the items of a list or a mapping.
func change(doc *yaml.Node, rng *rand.Rand) string {
	var texts, lists []*yaml.Node
	keys := map[*yaml.Node]bool{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		switch {
		case n.Kind == yaml.ScalarNode:
			texts = append(texts, n)
		case n.Kind != yaml.DocumentNode && len(n.Content) > 0:
			lists = append(lists, n)
		}
		for i, c := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				keys[c] = true
			}
			walk(c)
		}
	}
	walk(doc)
	if len(texts) == 0 || len(lists) == 0 {
		return "nothing is left"
	}
	text, list := texts[rng.IntN(len(texts))], lists[rng.IntN(len(lists))]
	step := 1
	if list.Kind == yaml.MappingNode {
		step = 2
	}
	item := rng.IntN(len(list.Content)/step) * step
	switch kind := rng.IntN(10); {
	case kind < 4:
		// A value from elsewhere in the file, so that it is often of the right kind.
		was, now := text.Value, texts[rng.IntN(len(texts))].Value
		if keys[text] && rng.IntN(3) > 0 { // keys seldom change
			return change(doc, rng)
		}
		text.Value, text.Tag, text.Style = now, "!!str", 0
		return fmt.Sprintf("%q becomes %q", was, now)
	case kind < 6:
		was := text.Value
		odd := []string{"", "0", "-1", "1e9", "nobody", "9999999d", "1 business day", "*", "true", "2026-02-30", "ä", "apply", "hold", "a: b", "#", "1h", "2 business hours", "3d"}
		text.Value, text.Tag, text.Style = odd[rng.IntN(len(odd))], "!!str", 0
		return fmt.Sprintf("%q becomes %q", was, text.Value)
	case kind < 8:
		was := list.Content[item].Value
		list.Content = slices.Delete(list.Content, item, item+step)
		return fmt.Sprintf("item %d %q of line %d goes", item/step, was, list.Line)
	case kind < 9:
		list.Content = append(list.Content, list.Content[item:item+step]...)
		return fmt.Sprintf("item %d of line %d is there twice", item/step, list.Line)
	default:
		other := rng.IntN(len(list.Content)/step) * step
		for k := range step {
			list.Content[item+k], list.Content[other+k] = list.Content[other+k], list.Content[item+k]
		}
		return fmt.Sprintf("items %d and %d of line %d change places", item/step, other/step, list.Line)
	}
}

// undecided says where the core has no rule for what comes under a bundle that passed the check; "" when it always has.
func undecided(b *hiring.Bundle, rng *rand.Rand) (problem string) {
	defer func() {
		if r := recover(); r != nil {
			problem = fmt.Sprintf("Decide panics: %v", r)
		}
	}()
	rules := &hiring.Rules{Bundles: []*hiring.Bundle{b}, Bounds: hiring.DefaultBounds()}
	now := hiring.FromTime(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	var s *hiring.State
	for i := range mutationEvents {
		if i%40 == 0 { // another application
			s = hiring.NewState("gh-main/" + fmt.Sprint(i))
		}
		now = now.Add(time.Duration(rng.IntN(7200)) * time.Second)
		e := randomEvent(rng, i, now)
		if rules.Check(&e) != nil {
			continue
		}
		at := now
		if e.Type == hiring.EventTimer && s.NextDue > at {
			at = s.NextDue
			now = at
		}
		d := hiring.Decide(rules, s, &e, at)
		s = d.State
		if problem := ruled(b, &e, &d); problem != "" {
			return fmt.Sprintf("event %d, %s of stage %q status %s: %s", i, e.Type, e.Stage, e.Status, problem)
		}
	}
	return ""
}

// ruled says where a decision has no rule behind it.
func ruled(b *hiring.Bundle, e *hiring.Event, d *hiring.Decision) string {
	here := b.For("gh-main", &d.State.Head.Requisition)
	if d.Reason == hiring.ReasonUnspecified {
		return "no reason"
	}
	if stage := d.State.Head.Stage; stage != "" {
		if r := here.Stage(stage); r == nil {
			return "the state is " + string(stage) + ", which has no rule"
		} else if r.Owner == "" {
			return string(stage) + " has no owner"
		}
	}
	for _, step := range d.Path {
		if step.Owner == "" || step.Authority == 0 {
			return fmt.Sprintf("step %q has no owner or authority", step.Edge)
		}
	}
	for _, i := range d.Incidents {
		if i.Owner == "" {
			return i.Kind.String() + " has no owner"
		}
		if i.Kind == hiring.IncidentUnmapped && i.Change == hiring.IncidentOpened && e.System == "gh-main" && slices.Contains(nativeStages, i.Element) {
			if sys, ok := here.System("gh-main"); ok && sys.Mapping != nil {
				return "native stage " + i.Element + " is not mapped"
			}
		}
	}
	return ""
}

var nativeStages = []string{"1001", "1002", "71416", "1004", "1005", "2944102", "2708728"}

func randomEvent(rng *rand.Rand, i int, now hiring.Micros) hiring.Event {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	e := hiring.Event{ID: fmt.Sprint("e", i), OccurredAt: now.Add(-time.Duration(rng.IntN(600)) * time.Second), ObservedAt: now}
	e.Digest[0], e.Digest[1], e.Digest[2] = byte(i), byte(i>>8), byte(i>>16)
	switch rng.IntN(10) {
	case 0, 1, 2, 3, 4:
		e.Source, e.System = "greenhouse", "gh-main"
		kinds := []hiring.EventType{
			hiring.EventCreated, hiring.EventStageChanged, hiring.EventStageChanged, hiring.EventStageChanged, hiring.EventRejected, hiring.EventUnrejected,
			hiring.EventHired, hiring.EventWithdrawn, hiring.EventTransferred, hiring.EventUpdated, hiring.EventSnapshot,
		}
		e.Type = kinds[rng.IntN(len(kinds))]
		e.Stage, e.Status = nativeStages[rng.IntN(len(nativeStages))], hiring.StatusActive
		switch e.Type {
		default: // the others leave the application active
		case hiring.EventRejected:
			e.Status, e.RejectReason = hiring.StatusRejected, pick("8", "14", "40")
		case hiring.EventHired:
			e.Status = hiring.StatusHired
		case hiring.EventWithdrawn:
			e.Status = hiring.StatusWithdrawn
		}
		e.Actor = hiring.ActorKind(rng.IntN(int(hiring.ActorConcord) + 1))
		e.Requisition = hiring.Requisition{ID: "r", Type: pick("", "sales", "engineering"), Region: pick("", "us", "de", "gb", "jp")}
		e.Elements = []hiring.Element{{Name: pick("salary_expectation", "screening_score", "start_date"), Value: pick("1", "2")}}
	case 5, 6, 7:
		e.Source, e.System, e.Order, e.Attempt = "vendor", pick("vendor", "other"), pick("o1", "o2"), 1
		kinds := []hiring.EventType{hiring.EventScreeningOrdered, hiring.EventScreeningStarted, hiring.EventScreeningCompleted, hiring.EventScreeningCompleted, hiring.EventScreeningCancelled, hiring.EventScreeningCorrected}
		e.Type = kinds[rng.IntN(len(kinds))]
		if e.Type == hiring.EventScreeningCompleted || e.Type == hiring.EventScreeningCorrected {
			e.HasResult, e.ResultRevision, e.FinishedAt = true, int32(i), e.OccurredAt
			e.Verdict = hiring.Verdict(rng.IntN(int(hiring.VerdictReject) + 1))
			e.Score = &hiring.Score{Value: float64(rng.IntN(101)), Max: 100, Scale: pick("raw", "percentile", "")}
		}
	case 8:
		e.Source, e.System, e.Actor = "operators", hiring.ControlSystem, hiring.ActorHuman
		kinds := []hiring.EventType{hiring.EventOverride, hiring.EventHold, hiring.EventRelease, hiring.EventResync}
		e.Type = kinds[rng.IntN(len(kinds))]
		if e.Type == hiring.EventOverride {
			e.Stage = pick("apply", "triage", "screening", "interviews", "offer", "hired", "rejected", "withdrawn")
		}
	default:
		e = hiring.Event{Type: hiring.EventTimer}
	}
	return e
}
