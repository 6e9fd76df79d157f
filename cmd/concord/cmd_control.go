package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// controlFlags are what every control command asks for.
type controlFlags struct {
	actor, reason, stage, scope string
	seen                        int64
	expires                     time.Duration
	yes                         bool
}

func (a *app) controlCommand() *cobra.Command {
	return group(
		"control", "Ask something of an application, as a person",
		a.control("advance", "Set the canonical stage to the next the policy has a way to", nil),
		a.control("reject", "Close an application as rejected", nil),
		a.control("withdraw", "Close an application as withdrawn by the candidate", nil),
		a.control("reopen", "Open a closed application again, in the stage it was closed in", nil),
		a.control("override", "Set the canonical stage, whatever the policy says of the way there", func(cmd *cobra.Command, f *controlFlags) {
			cmd.Flags().StringVar(&f.stage, "stage", "", "canonical stage, a state of the policy")
			cmd.Flags().DurationVar(&f.expires, "for", 0, "hold it against verdicts and other tools for this long, such as 72h, and ask the ATS for it no longer")
		}),
		a.control("hold", "Write nothing to the ATS for an application until it is released", func(cmd *cobra.Command, f *controlFlags) {
			cmd.Flags().DurationVar(&f.expires, "for", 0, "release by itself after this time, such as 72h")
			cmd.Flags().StringVar(&f.scope, "scope", "", "what is not written: stage, elements, orders, or the name of one element; all when left out")
		}),
		a.control("release", "End a hold, and what is open", func(cmd *cobra.Command, f *controlFlags) {
			cmd.Flags().StringVar(&f.scope, "scope", "", "an incident kind or an element: settle only that; or the scope of a hold")
		}),
		a.control("resync", "Read the application from the ATS again and write what is still owed", nil),
	)
}

// control is one control command. It shows the state it is about, asks, and publishes a control event that carries the version
// shown: if the state moves in between, the event is shown to a person again instead of being applied.
func (a *app) control(verb, short string, more func(*cobra.Command, *controlFlags)) *cobra.Command {
	var f controlFlags
	cmd := a.jsonFlag(&cobra.Command{
		Use:   verb + " APPLICATION",
		Short: short,
		Long: short + ".\n\nThe application's state is shown first; the event carries the version shown, so that it is not applied\n" +
			"blindly to a state that has moved since. --seen gives a version seen earlier instead.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.actor == "" || f.reason == "" {
				return usage("give --actor, an id that is no name or e-mail address, and --reason, such as a ticket number")
			}
			if strings.Contains(f.actor, "@") {
				return usage("--actor %s: give an id, not an e-mail address", f.actor)
			}
			if strings.Contains(f.reason, "@") {
				return usage("--reason %s: give a ticket number or a short phrase, not an e-mail address", f.reason)
			}
			if cmd.Flags().Changed("for") && f.expires <= 0 {
				return usage("--for %s: give a time to come, such as 72h, or leave it out", f.expires)
			}
			if err := a.load(cmd); err != nil {
				return err
			}
			return a.sendControl(cmd, verb, args[0], &f)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&f.actor, "actor", "", "who asks: an id, never a name or an e-mail address")
	flags.StringVar(&f.reason, "reason", "", "why: a ticket number or a short phrase without personal data")
	flags.Int64Var(&f.seen, "seen", 0, "the state version seen earlier; the one shown now when left out")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	if more != nil {
		more(cmd, &f)
	}
	return cmd
}

func (a *app) sendControl(cmd *cobra.Command, verb, application string, f *controlFlags) error {
	ctx := cmd.Context()
	r, err := a.reader(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	rules, _, _, err := a.judging(ctx, r, application)
	if err != nil {
		return err
	}
	b := rules.At(hiring.FromTime(time.Now()))
	if err := known(b, verb, f); err != nil {
		return err
	}
	state, err := r.state(ctx, application)
	if err != nil {
		return err
	}
	if to, is, err := destination(b, verb, &state.Head); err != nil {
		return err
	} else if is {
		verb, f.stage = "override", to
	}
	now := time.Now()
	event := &wire.Control{
		ID: rand.Text(), Source: "/concord/operators", Type: "control." + verb, ApplicationID: application,
		OccurredAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisEvent,
		Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: f.actor}, Reason: f.reason, Stage: f.stage, Scope: f.scope, SeenVersion: f.seen,
	}
	if event.SeenVersion == 0 {
		event.SeenVersion = state.Version
	}
	if f.expires > 0 {
		event.ExpiresAt = wire.MicrosOf(now.Add(f.expires))
	}
	instance, _, _ := strings.Cut(application, "/")
	a.say("%s", preview(verb, state, f, b.Keeps(instance)))
	if event.SeenVersion != state.Version {
		return fmt.Errorf("the state has version %d, not %d as seen: look again with `concord app show %s`", state.Version, event.SeenVersion, application)
	}
	if err := a.confirm(verb+" "+application, f.yes); err != nil {
		return err
	}
	result := r.client.ProduceSync(ctx, record(r.schemas, topics.HiringControl, event))
	produced, err := result.First()
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return a.sent(event, produced)
}

// destination is the stage that a verb other than override sets; is says whether it is such a verb. None of them sets a
// stage that it does not lead to.
func destination(b *hiring.Bundle, verb string, h *wire.Fold) (to string, is bool, err error) {
	at := b.Stage(hiring.Stage(h.Stage))
	closed := at != nil && at.Closed
	switch verb {
	default:
		return "", false, nil
	case "advance":
		best := 0
		for i := range b.Edges {
			next := b.Stage(b.Edges[i].To)
			if at != nil && b.Edges[i].From == at.Stage && !closed && !next.Closed && next.Rank > at.Rank && (to == "" || next.Rank < best) {
				to, best = string(next.Stage), next.Rank
			}
		}
	case "reject", "withdraw":
		status := map[string]hiring.Status{"reject": hiring.StatusRejected, "withdraw": hiring.StatusWithdrawn}[verb]
		i := slices.IndexFunc(b.Stages, func(s hiring.StageRule) bool { return s.Status == status })
		if i >= 0 && at != nil && !closed {
			to = string(b.Stages[i].Stage)
		}
	case "reopen":
		if before := b.Stage(hiring.Stage(h.EnteredFrom)); closed && before != nil && !before.Closed {
			to = h.EnteredFrom
		}
	}
	if to == "" {
		return "", true, usage("%s: an application in %s has no stage to go to by that; name one with `concord control override`", verb, orNone(h.Stage))
	}
	return to, true, nil
}

// known refuses a stage or a scope that means nothing under the policy in force: a hold of a misspelt element would hold
// nothing.
func known(b *hiring.Bundle, verb string, f *controlFlags) error {
	var stages, scopes []string
	for i := range b.Stages {
		stages = append(stages, string(b.Stages[i].Stage))
	}
	scopes = append(scopes, hiring.ScopeStage, hiring.ScopeElements, hiring.ScopeOrders)
	for i := range b.Elements {
		scopes = append(scopes, b.Elements[i].Name)
	}
	if verb == "release" {
		for k := hiring.IncidentUnspecified + 1; int(k) < hiring.IncidentKinds; k++ {
			scopes = append(scopes, k.String())
		}
	}
	if verb == "override" && !slices.Contains(stages, f.stage) {
		return usage("--stage %s: give %s", f.stage, strings.Join(stages, ", "))
	}
	if f.scope != "" && !slices.Contains(scopes, f.scope) {
		return usage("--scope %s: give %s", f.scope, strings.Join(scopes, ", "))
	}
	return nil
}

// preview says what the application is now and what is about to be asked. Kept says that it is in no ATS.
func preview(verb string, s *wire.HiringState, f *controlFlags, kept bool) string {
	now := time.Now()
	var holds []string // what holds besides what is asked about
	held := "not held"
	for i := range s.Head.Holds {
		h := &s.Head.Holds[i]
		if h.Until != 0 && !h.Until.Time().After(now) {
			continue
		}
		held = "held"
		if verb != "release" || f.scope != "" && h.Scope != f.scope {
			holds = append(holds, holdText(h))
		}
	}
	is := fmt.Sprintf("%s is in %s, version %d, %s; the ATS should show %s, confirmed is %s.",
		s.ApplicationID, orNone(s.Head.Stage), s.Version, held, tuple(&s.Desired), tuple(&s.Confirmed))
	if kept {
		is = fmt.Sprintf("%s is in %s, version %d; it is in no ATS.", s.ApplicationID, orNone(s.Head.Stage), s.Version)
	}
	var then string
	switch verb {
	case "override":
		then = fmt.Sprintf("Canonical becomes %s, and the ATS will be asked to show it.", f.stage)
		if kept {
			then = fmt.Sprintf("Its stage becomes %s.", f.stage)
		}
	case "hold":
		then = "Nothing will be written to the ATS until it is released."
		if f.expires > 0 {
			then = fmt.Sprintf("Nothing will be written to the ATS for %s, or until it is released.", f.expires)
		}
		if f.scope != "" {
			then = f.scope + ": n" + then[1:]
		}
	case "release":
		then = "What is owed to the ATS will be written."
		if f.scope != "" {
			then = f.scope + " is settled and no longer held; what is owed of it to the ATS will be written."
		}
	case "resync":
		then = "The ATS will be read, and what it does not show will be written."
	}
	if len(holds) > 0 {
		then += " These holds stand beside it, and stop what they are for: " + strings.Join(holds, "; ") + "."
	}
	return is + "\n" + then
}

func (a *app) sent(event *wire.Control, at *kgo.Record) error {
	if at == nil {
		return errors.New("publish: no record came back")
	}
	if a.json {
		return a.printJSON(struct {
			ID        string `json:"id"`
			Version   int64  `json:"seen_version"`
			Topic     string `json:"topic"`
			Partition int32  `json:"partition"`
			Offset    int64  `json:"offset"`
		}{event.ID, event.SeenVersion, at.Topic, at.Partition, at.Offset})
	}
	fmt.Fprintln(a.stdout, event.ID)
	a.say("published; `concord app show %s` tells what was decided", event.ApplicationID)
	return nil
}
