package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/reconciler"
	"github.com/concord-ats/concord/processors/reconciler/replay"
)

// explanation is what is known of an application, in words for a recruiter.
type explanation struct {
	Application string           `json:"application"`
	At          wire.Micros      `json:"at"` // as it stood then
	Requisition wire.Requisition `json:"requisition"`
	Policy      string           `json:"policy"` // of the last decision
	Stage       explainedStage   `json:"stage"`
	Next        explainedNext    `json:"next"`
	ATS         explainedATS     `json:"ats"`
	Marks       []string         `json:"marks"`     // held, erased, deleted, …
	Conflicts   []explainedIssue `json:"conflicts"` // what is open, or waits out its grace
	Timeline    []explainedEvent `json:"timeline"`  // oldest first
	Repeated    int              `json:"repeated"`  // messages that came again and are left out
	Notes       []string         `json:"notes"`     // what could not be looked at
}

type explainedStage struct {
	Stage   string      `json:"stage"`
	Meaning string      `json:"meaning,omitempty"`
	Since   wire.Micros `json:"since,omitzero"`
	By      string      `json:"by,omitempty"`
	Place   string      `json:"policy,omitempty"`
}

type explainedNext struct {
	Owner    string      `json:"owner,omitempty"`
	Why      string      `json:"why,omitempty"` // it is nobody's, or not that of an owner of a state
	Due      wire.Micros `json:"due,omitzero"`
	Warn     wire.Micros `json:"warned,omitzero"`
	Overdue  bool        `json:"overdue"`
	Business bool        `json:"working_time"`
	Place    string      `json:"policy,omitempty"`
}

type explainedATS struct {
	System string      `json:"system"`
	Shows  string      `json:"shows"`
	Since  wire.Micros `json:"since,omitzero"`
	Should string      `json:"should_show"`
	Write  string      `json:"write"`
	Behind bool        `json:"behind"` // a stage is owed to it
	Wave   string      `json:"wave,omitempty"`
}

type explainedIssue struct {
	ID      string           `json:"id"`
	Kind    string           `json:"kind"`
	Meaning string           `json:"meaning"`
	About   string           `json:"about,omitempty"`
	Since   wire.Micros      `json:"open_since,omitzero"` // 0 = it waits out its grace
	Owner   string           `json:"owner,omitempty"`
	Values  []explainedValue `json:"values"`
	Leader  string           `json:"leader,omitempty"`
	Place   string           `json:"policy,omitempty"`
}

type explainedValue struct {
	System string      `json:"system"`
	Value  string      `json:"value"`
	At     wire.Micros `json:"at,omitzero"`
}

type explainedEvent struct {
	At       wire.Micros `json:"decided_at"`
	Happened wire.Micros `json:"happened_at,omitzero"`
	Who      string      `json:"who"`
	Said     string      `json:"said"`
	Reason   string      `json:"reason"`
	Decided  []string    `json:"decided"`
	Place    string      `json:"policy,omitempty"`
	Digest   wire.Digest `json:"policy_digest"`
}

// past is all the log says of one application.
type past struct {
	application string
	decisions   []*wire.Decision // in order
	inputs      map[string]*kgo.Record
	states      [][]byte // newest first
	conflicts   []*wire.Incident
	commands    map[string]*wire.Command
	cut         bool // more than was read
}

func coordinates(topic string, partition int32, offset int64) string {
	return fmt.Sprintf("%s/%d@%d", topic, partition, offset)
}

// pastLimit bounds the records of each topic that are read of one application.
const pastLimit = 20_000

// past reads all there is of an application, up to a time by the clock of its decisions; 0 = to the end.
func (r *reader) past(ctx context.Context, application string, until wire.Micros) (*past, error) {
	p := &past{application: application, inputs: map[string]*kgo.Record{}, commands: map[string]*wire.Command{}}
	read := func(topic string, fn func(*kgo.Record) error) error {
		found, done, err := r.newest(ctx, topic, application, pastLimit, decisionBudget)
		if err != nil {
			return err
		}
		p.cut = p.cut || !done
		for _, rec := range slices.Backward(found) {
			if err := fn(rec); err != nil {
				return fmt.Errorf("%s/%d/%d: %w", rec.Topic, rec.Partition, rec.Offset, err)
			}
		}
		return nil
	}
	err := read(topics.HiringDecisions, func(rec *kgo.Record) error {
		d := new(wire.Decision)
		if err := r.schemas.Decode(ctx, rec.Value, d); err != nil {
			return err
		}
		if until == 0 || d.Now <= until {
			p.decisions = append(p.decisions, d)
		}
		return nil
	})
	for _, topic := range []string{topics.ATSChanges, topics.ScreeningEvents, topics.HiringControl, topics.ATSOutcomes} {
		if err == nil {
			err = read(topic, func(rec *kgo.Record) error {
				p.inputs[coordinates(rec.Topic, rec.Partition, rec.Offset)] = rec
				return nil
			})
		}
	}
	if err == nil {
		err = read(topics.HiringState, func(rec *kgo.Record) error {
			if len(rec.Value) > 0 {
				p.states = append(p.states, rec.Value)
			}
			return nil
		})
	}
	if err == nil {
		err = read(topics.HiringConflicts, func(rec *kgo.Record) error {
			in := new(wire.Incident)
			p.conflicts = append(p.conflicts, in)
			return r.schemas.Decode(ctx, rec.Value, in)
		})
	}
	if err == nil {
		err = read(topics.ATSCommands, func(rec *kgo.Record) error {
			c := new(wire.Command)
			err := r.schemas.Decode(ctx, rec.Value, c)
			p.commands[c.ID] = c
			return err
		})
	}
	return p, err
}

// explain says all there is to say of an application as it stood at a time; 0 = now.
func (a *app) explain(ctx context.Context, r *reader, application string, at wire.Micros) (*explanation, error) {
	if _, err := r.state(ctx, application); err != nil {
		return nil, err
	}
	p, err := r.past(ctx, application, at)
	if err != nil {
		return nil, err
	}
	if len(p.decisions) == 0 {
		return nil, fmt.Errorf("nothing was decided of %s up to %s", application, instant(at))
	}
	x := &explainer{r: r, past: p, e: &explanation{Application: application, At: at, Marks: []string{}, Conflicts: []explainedIssue{}, Timeline: []explainedEvent{}, Notes: []string{}}}
	if now := wire.MicrosOf(time.Now()); at == 0 {
		x.e.At = now
	} else if at > now {
		x.note(instant(at) + " lies ahead: it is told as if nothing were heard until then")
	}
	if x.policies, err = a.policies(); err != nil {
		return nil, err
	}
	partitions, err := x.judged(ctx, a)
	if err != nil {
		return nil, err
	}
	engine := reconciler.NewEngine(r.schemas, x.rules, partitions)
	one := replay.One{Application: application, Decisions: p.decisions, States: p.states, Input: func(topic string, partition int32, offset int64) *kgo.Record {
		return p.inputs[coordinates(topic, partition, offset)]
	}}
	switch x.s, err = one.State(ctx, engine); {
	case err == nil:
	case errors.Is(err, replay.ErrNoBeginning), errors.Is(err, replay.ErrOtherPolicy):
		x.note("how it stood cannot be computed again: " + err.Error())
	default:
		x.note("how it stood cannot be computed again; are grace, settle and horizon those of the reconciler? " + err.Error())
	}
	if p.cut {
		x.note("older records than the last million of a partition were not looked at")
	}
	if err := x.timeline(ctx); err != nil {
		return nil, err
	}
	x.e.Policy = x.named(p.decisions[len(p.decisions)-1].Policy)
	if x.s != nil {
		x.stands()
	}
	return x.e, nil
}

// explainer puts an explanation together.
type explainer struct {
	r        *reader
	past     *past
	policies []*policy.Policy
	rules    *hiring.Rules
	s        *hiring.State // as it stood; nil = not known
	e        *explanation
}

// judged makes the rules those of the application's partition: the configured ones, and what was activated there. It returns
// how many partitions there are.
func (x *explainer) judged(ctx context.Context, a *app) (partitions int32, err error) {
	rules, published, partitions, err := a.judging(ctx, x.r, x.past.application)
	x.rules, x.policies = rules, append(x.policies, published...)
	return partitions, err
}

func (x *explainer) note(text string) { x.e.Notes = append(x.e.Notes, text) }

// by returns the policy of a digest; nil where it is not at hand.
func (x *explainer) by(digest wire.Digest) *policy.Policy {
	for _, p := range x.policies {
		if full := p.Digest(); wire.Digest(full[:16]) == digest {
			return p
		}
	}
	return nil
}

// named is a policy in words: its name and version, where it is at hand, and its digest.
func (x *explainer) named(digest wire.Digest) string {
	name := "sha256:" + digest.String() + "…"
	if of := x.by(digest); of != nil {
		name = of.Bundle.Name + " " + of.Bundle.Version + ", " + name
	}
	return name
}

// inForce is the policy of the last decision; the newest there is where that is not at hand.
func (x *explainer) inForce() *policy.Policy {
	return cmp.Or(x.by(x.past.decisions[len(x.past.decisions)-1].Policy), x.policies[len(x.policies)-1])
}

// hidden stands for a value that must not be shown.
const hidden = "(not shown: personal)"

// value is a value of an element, or what stands for it.
func (x *explainer) value(element, value string) string {
	if value == "" {
		return "nothing"
	}
	if !x.inForce().Shown(element) {
		return hidden
	}
	return value
}

// facet is what an observation or an incident says of a facet: the ATS's own stage and status, or an element.
func (x *explainer) facet(facet, system, value string) string {
	if element, ok := strings.CutPrefix(facet, "element:"); ok {
		return x.value(element, value)
	}
	switch facet {
	case "stage":
		return x.stage(system, value)
	case "status", "screening":
		return value
	case "reason":
		return x.value("rejection_reason", value)
	}
	return x.value(facet, value)
}

// stage is a stage of an ATS in words: its label and id.
func (x *explainer) stage(system, native string) string {
	if label := x.inForce().StageLabel(system, native); label != "" {
		return label + " (" + native + ")"
	}
	return orNone(native)
}
