package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/concord-ats/concord/pkg/policy"
)

//go:generate go run . policy diagram --format svg --out ../../docs/policy/machine.svg
//go:generate go run . policy dictionary --format markdown --out ../../docs/policy/dictionary.md

const builtIn = "the built-in bundle when left out"

func (a *app) policyCommand() *cobra.Command {
	return group(
		"policy", "Check, show, compare, simulate, sign and publish the policy: what is true, who may move what, who is told",
		a.policyInit(), a.policyCheck(), a.policyShow(), a.policyDigest(), a.policyDiagram(), a.policyDictionary(), a.policyDiff(), a.policySimulate(), a.policySign(), a.policyVerify(), a.policyPack(), a.policyPublish(), a.policyHistory(),
	)
}

// bundle reads the folder or archive of an optional argument.
func (a *app) bundle(args []string) (*policy.Policy, error) {
	if len(args) == 0 {
		return policy.Parse(policy.Default())
	}
	path := args[0]
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return a.folder(path)
	}
	archive, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the archive: %w", err)
	}
	p, _, err := policy.Unpack(archive) // whoever asks what it says does not ask who signed it
	if err != nil {
		return nil, usage("%s is no folder of a bundle, and %w", path, err)
	}
	return p, nil
}

// folder reads the folder of a bundle.
func (a *app) folder(path string) (*policy.Policy, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return nil, usage("%s is no folder: give the folder of a bundle; `concord policy init` makes one", path)
	}
	files, err := policy.ReadFiles(os.DirFS(path))
	if err != nil {
		return nil, a.findings(err)
	}
	p, err := policy.Parse(files)
	if err != nil {
		return nil, a.findings(err)
	}
	return p, nil
}

// findings prints what is wrong with a bundle to stdout; any other error stays one.
func (a *app) findings(err error) error {
	var faults policy.Faults
	if !errors.As(err, &faults) {
		return err
	}
	if a.json {
		if err := a.printJSON(checked{Faults: faults, Warnings: policy.Faults{}}); err != nil {
			return err
		}
	} else {
		for _, f := range faults {
			fmt.Fprintln(a.stdout, f)
		}
	}
	a.say("%s wrong", count(len(faults), "thing is", "things are"))
	return errFindings
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

func (a *app) policyInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Write the built-in bundle and its JSON Schemas into a folder, to start from",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			written, err := policy.Init(args[0])
			if err != nil {
				return err
			}
			for _, name := range written {
				fmt.Fprintln(a.stdout, name)
			}
			a.say("written to %s; `concord policy check %s` proves it", args[0], args[0])
			return nil
		},
	}
}

// checked is what a check says, for scripts.
type checked struct {
	Digest   *policy.Digest `json:"digest,omitempty"`
	Faults   policy.Faults  `json:"faults"`
	Warnings policy.Faults  `json:"warnings"`
}

func (a *app) policyCheck() *cobra.Command {
	var day string
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "check [DIR|ARCHIVE]",
		Short: "Prove that a bundle holds together; every fault with its place and fix",
		Long: "Prove that every state is reachable and none is a dead end, that no two transitions match one event, that each\n" +
			"has owner, SLA and authority, each element one golden source in each region, that each native stage of each ATS\n" +
			"is mapped once and each write can be made, and that scales agree. Exit code 1 when something is wrong.\n" +
			"Warnings are what time alone changes; they do not change the exit code. It is " + builtIn + ".",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			at := time.Now()
			if day != "" {
				var err error
				if at, err = time.Parse(time.DateOnly, day); err != nil {
					return usage("--at %s: give a day such as 2027-01-31", day)
				}
			}
			p, err := a.bundle(args)
			if err != nil {
				return err
			}
			faults, warnings := p.Check(at)
			if a.json {
				digest := p.Digest()
				if err := a.printJSON(checked{&digest, append(policy.Faults{}, faults...), append(policy.Faults{}, warnings...)}); err != nil {
					return err
				}
			} else {
				for _, f := range faults {
					fmt.Fprintln(a.stdout, f)
				}
				for _, f := range warnings {
					fmt.Fprintln(a.stdout, "warning:", f)
				}
			}
			if len(faults) > 0 {
				a.say("%s wrong", count(len(faults), "thing is", "things are"))
				return errFindings
			}
			a.say("%s %s holds, sha256:%s, with %s", p.Bundle.Name, p.Bundle.Version, p.Digest(), count(len(warnings), "warning", "warnings"))
			return nil
		},
	})
	cmd.Flags().StringVar(&day, "at", "", "the day warnings are given for, such as 2027-01-31; today when left out")
	return cmd
}

func (a *app) policyDigest() *cobra.Command {
	return &cobra.Command{
		Use:   "digest [DIR|ARCHIVE]",
		Short: "Print the SHA-256 of a bundle's canonical form",
		Long: "Print the SHA-256 of a bundle's canonical form. Comments, quoting and the order of keys do not change it.\n" +
			"Decisions carry its first 16 bytes. It is " + builtIn + ".",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.bundle(args)
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, p.Digest())
			return nil
		},
	}
}

func (a *app) policyShow() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "show [DIR|ARCHIVE]",
		Short: "Print a bundle: states, transitions, who owns them, systems, waves",
		Long:  "Print a bundle: states, transitions, who owns them, systems, waves. --json prints the canonical form. It is\n" + builtIn + ".",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.bundle(args)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(struct {
					Digest policy.Digest   `json:"digest"`
					Files  json.RawMessage `json:"files"`
				}{p.Digest(), p.Canonical()})
			}
			return a.showPolicy(p)
		},
	})
}

func (a *app) showPolicy(p *policy.Policy) error {
	fmt.Fprintf(a.stdout, "%s %s\nsha256:%s\neffective from %s, review by %s\n\n", p.Bundle.Name, p.Bundle.Version, p.Digest(), p.Bundle.EffectiveFrom, p.Bundle.ReviewBy)
	var rows [][]string
	for _, s := range p.Machine.States {
		rows = append(rows, []string{s.ID, orNone(string(s.Close)), s.Owner, s.SLA.String(), s.Meaning})
	}
	if err := a.table([]string{"STATE", "CLOSES", "OWNER", "SLA", "MEANING"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	rows = nil
	step := func(name string, from []string, to, owner string, sla policy.Span, authority []policy.Actor, verdict policy.Verdict) {
		var who []string
		for _, a := range authority {
			who = append(who, string(a))
		}
		rows = append(rows, []string{name, strings.Join(from, ", "), to, owner, sla.String(), strings.Join(who, ", "), orNone(string(verdict))})
	}
	for _, t := range p.Machine.Transitions {
		step(t.Name, t.From, t.To, t.Owner, t.SLA, t.Authority, t.Verdict)
	}
	r := &p.Machine.Reopen
	step("reopen", r.From, "the ATS's last stage", r.Owner, r.SLA, r.Authority, "")
	if err := a.table([]string{"TRANSITION", "FROM", "TO", "OWNER", "SLA", "AUTHORITY", "VERDICT"}, rows); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "\na forbidden jump: %s; a move without authority: %s\n", p.Machine.Jumps.Forbidden, p.Machine.Jumps.Unauthorised)
	for _, r := range p.Machine.Jumps.Rules {
		fmt.Fprintf(a.stdout, "but %s → %s: %s; %s (%s)\n", r.From, cmp.Or(r.To, "any"), cmp.Or(r.Forbidden, p.Machine.Jumps.Forbidden), cmp.Or(r.Unauthorised, p.Machine.Jumps.Unauthorised), r.Why)
	}
	if o := p.Machine.Orders; o != nil {
		for _, t := range o.Tests {
			fmt.Fprintf(a.stdout, "entering %s orders %s of %s for %s; an answer is due within %s\n", o.State, t.Test, t.Vendor, t.For, o.AnswerWithin)
		}
	}
	fmt.Fprintln(a.stdout)
	rows = nil
	for id, s := range p.Bundle.Systems {
		rows = append(rows, []string{id, string(s.Kind), s.Owner, s.Region, strings.Join(s.Instances, ", "), strconv.Itoa(len(s.Masters)), s.Meaning})
	}
	slices.SortFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	if err := a.table([]string{"SYSTEM", "KIND", "OWNER", "REGION", "INSTANCES", "MASTERS", "MEANING"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	rows = nil
	for _, w := range p.Waves.Waves {
		rows = append(rows, []string{w.Name, w.For.String(), strconv.Itoa(w.Percent) + " %", string(w.Mode)})
	}
	rows = append(rows, []string{"(default)", "all others", "100 %", string(p.Waves.Default)})
	for _, pause := range p.Waves.Pause {
		rows = append(rows, []string{"(pause)", "region " + pause.Region, "100 %", "paused since " + pause.Since.String() + " by " + pause.By + ": " + pause.Why})
	}
	return a.table([]string{"WAVE", "FOR", "SHARE", "MODE"}, rows)
}

// rendered is a command that writes one text of a bundle in one of several forms.
func (a *app) rendered(name, short string, forms map[string]func(*policy.Policy) (string, error), first string) *cobra.Command {
	var names []string
	for form := range forms {
		names = append(names, form)
	}
	slices.Sort(names)
	format, out := first, ""
	cmd := &cobra.Command{
		Use:   name + " [DIR|ARCHIVE]",
		Short: short,
		Long:  short + ". It is of " + builtIn + ".",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			render, ok := forms[format]
			if !ok {
				return usage("--format %s: give %s", format, strings.Join(names, ", "))
			}
			p, err := a.bundle(args)
			if err != nil {
				return err
			}
			text, err := render(p)
			if err != nil {
				return err
			}
			if out != "" {
				if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
					return fmt.Errorf("write %s: %w", name, err)
				}
				return nil
			}
			if _, err := fmt.Fprint(a.stdout, text); err != nil {
				return fmt.Errorf("print: %w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", first, strings.Join(names, ", "))
	cmd.Flags().StringVar(&out, "out", "", "write to this file instead of stdout")
	return cmd
}

func sure(render func(*policy.Policy) string) func(*policy.Policy) (string, error) {
	return func(p *policy.Policy) (string, error) { return render(p), nil }
}

func (a *app) policyDiagram() *cobra.Command {
	return a.rendered("diagram", "Draw the machine: owner, SLA and authority on each edge, what is forbidden, the digest", map[string]func(*policy.Policy) (string, error){
		"mermaid": sure((*policy.Policy).Mermaid), "dot": sure((*policy.Policy).DOT), "svg": sure((*policy.Policy).SVG),
	}, "svg")
}

func (a *app) policyDictionary() *cobra.Command {
	return a.rendered("dictionary", "Write the data dictionary, or as a data contract (ODCS 3.1) for the topics", map[string]func(*policy.Policy) (string, error){
		"markdown": sure((*policy.Policy).DictionaryMarkdown), "html": sure((*policy.Policy).DictionaryHTML), "csv": sure((*policy.Policy).DictionaryCSV),
		"odcs": (*policy.Policy).ODCS,
	}, "markdown")
}

func (a *app) policyDiff() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say in words what a bundle changes",
		Long:  "Say in words what NEW changes: by meaning, not by lines. Each is a folder or an archive.",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			old, err := a.bundle(args[:1])
			if err != nil {
				return err
			}
			now, err := a.bundle(args[1:])
			if err != nil {
				return err
			}
			changes := append([]policy.Change{}, policy.Diff(old, now)...)
			if a.json {
				return a.printJSON(struct {
					Old     policy.Digest   `json:"old"`
					New     policy.Digest   `json:"new"`
					Changes []policy.Change `json:"changes"`
				}{old.Digest(), now.Digest(), changes})
			}
			for _, c := range changes {
				fmt.Fprintln(a.stdout, c)
			}
			a.say("%s of meaning", count(len(changes), "change", "changes"))
			return nil
		},
	})
}
