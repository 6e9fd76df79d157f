package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/deadletter"
)

// letterFilter is the filter flags the dead-letter commands share.
type letterFilter struct {
	topics             []string
	cause, fingerprint string
	since              time.Duration
	limit              int
}

func (f *letterFilter) flags(set *pflag.FlagSet) {
	set.StringSliceVar(&f.topics, "topic", nil, "source or dead-letter topics; all when left out")
	set.StringVar(&f.cause, "cause", "", "only this cause")
	set.StringVar(&f.fingerprint, "fingerprint", "", "only this fingerprint")
	set.DurationVar(&f.since, "since", 0, "only letters this young, such as 24h")
	set.IntVar(&f.limit, "limit", deadletter.DefaultLimit, "at most this many, the newest")
}

func (f *letterFilter) filter(now time.Time) deadletter.Filter {
	out := deadletter.Filter{Cause: f.cause, Fingerprint: f.fingerprint, Limit: f.limit}
	for _, t := range f.topics {
		if len(t) < len(deadletter.Suffix) || t[len(t)-len(deadletter.Suffix):] != deadletter.Suffix {
			t = deadletter.Topic(t)
		}
		out.Topics = append(out.Topics, t)
	}
	if f.since > 0 {
		out.Since = now.Add(-f.since)
	}
	return out
}

// brokers loads the configuration, waits for Kafka, and returns the client options.
func (a *app) brokers(cmd *cobra.Command) ([]kgo.Opt, error) {
	if err := a.load(cmd); err != nil {
		return nil, err
	}
	cl, err := a.kafka(cmd.Context())
	if err != nil {
		return nil, err
	}
	cl.Close()
	return a.cfg.Kafka.Options()
}

func (a *app) dlqCommand() *cobra.Command {
	return group("dlq", "Browse and replay dead letters", a.dlqList(), a.dlqShow(), a.dlqTail(), a.dlqReplay())
}

func (a *app) dlqList() *cobra.Command {
	var f letterFilter
	groups := false
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "ls",
		Short: "List dead letters, oldest first, or count them by likeness",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := a.brokers(cmd)
			if err != nil {
				return err
			}
			if groups {
				return a.letterGroups(cmd.Context(), opts, f.filter(time.Now()))
			}
			letters, err := deadletter.List(cmd.Context(), opts, f.filter(time.Now()))
			if err != nil {
				return err
			}
			if a.json {
				if letters == nil {
					letters = []deadletter.Letter{}
				}
				return a.printJSON(letters)
			}
			rows := make([][]string, 0, len(letters))
			for i := range letters {
				rows = append(rows, letterRow(&letters[i]))
			}
			return a.table(letterHeader, rows)
		},
	})
	f.flags(cmd.Flags())
	cmd.Flags().BoolVar(&groups, "group", false, "count letters of one topic, cause and error class together")
	return cmd
}

var letterHeader = []string{"LETTER", "DEAD AT", "CAUSE", "ERROR", "SOURCE", "ATTEMPTS", "VALUE BYTES", "FINGERPRINT"}

func letterRow(l *deadletter.Letter) []string {
	return []string{
		l.At.String(), l.DeadAt.UTC().Format(time.RFC3339), l.Cause, l.Error, l.Source.String(),
		strconv.Itoa(l.Attempts), strconv.Itoa(l.ValueSize), l.Fingerprint,
	}
}

func (a *app) letterGroups(ctx context.Context, opts []kgo.Opt, f deadletter.Filter) error {
	groups, err := deadletter.Summary(ctx, opts, f)
	if err != nil {
		return err
	}
	if a.json {
		if groups == nil {
			groups = []deadletter.Group{}
		}
		return a.printJSON(groups)
	}
	rows := make([][]string, 0, len(groups))
	for _, g := range groups {
		rows = append(rows, []string{
			strconv.FormatInt(g.Count, 10), g.Topic, g.Cause, g.Error, g.First.UTC().Format(time.RFC3339),
			g.Last.UTC().Format(time.RFC3339), g.Example.String(), g.Fingerprint,
		})
	}
	return a.table([]string{"COUNT", "TOPIC", "CAUSE", "ERROR", "FIRST", "LAST", "EXAMPLE", "FINGERPRINT"}, rows)
}

func (a *app) dlqShow() *cobra.Command {
	raw := false
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "show TOPIC/PARTITION/OFFSET",
		Short: "Show one dead letter, its headers and its bytes",
		Long: "Show one dead letter: where it came from and why, its headers, and its bytes as a hex dump.\n" +
			"The bytes are the publisher's and may hold personal data.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := deadletter.ParseCoord(args[0])
			if err != nil {
				return usage("%s: %w", args[0], err)
			}
			opts, err := a.brokers(cmd)
			if err != nil {
				return err
			}
			letter, err := deadletter.Get(cmd.Context(), opts, at)
			if err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			switch {
			case raw:
				if _, err := a.stdout.Write(letter.Record.Value); err != nil {
					return fmt.Errorf("print: %w", err)
				}
				return nil
			case a.json:
				return a.printJSON(struct {
					deadletter.Letter
					Headers []header `json:"headers"`
					Key     string   `json:"key_hex"`
					Value   string   `json:"value_hex"`
				}{letter, headers(letter.Record), hex.EncodeToString(letter.Record.Key), hex.EncodeToString(letter.Record.Value)})
			default:
				return a.printLetter(&letter)
			}
		},
	})
	cmd.Flags().BoolVar(&raw, "raw", false, "write only the value's bytes to stdout")
	return cmd
}

type header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func headers(rec *kgo.Record) []header {
	out := make([]header, 0, len(rec.Headers))
	for _, h := range rec.Headers {
		out = append(out, header{h.Key, strconv.QuoteToASCII(string(h.Value))})
	}
	return out
}

// dumpBytes is how much of a value is dumped; --raw gives all of it.
const dumpBytes = 1024

func (a *app) printLetter(l *deadletter.Letter) error {
	rows := [][]string{
		{"cause", l.Cause},
		{"error", l.Error},
		{"source", l.Source.String()},
		{"dead at", l.DeadAt.UTC().Format(time.RFC3339Nano)},
		{"group", l.Group},
		{"attempts", strconv.Itoa(l.Attempts)},
		{"fingerprint", l.Fingerprint},
		{"key", strconv.QuoteToASCII(string(l.Record.Key))},
		{"value", strconv.Itoa(l.ValueSize) + " bytes"},
	}
	for _, h := range headers(l.Record) {
		rows = append(rows, []string{"header " + h.Key, h.Value})
	}
	if err := a.table([]string{"LETTER", l.At.String()}, rows); err != nil {
		return err
	}
	value := l.Record.Value
	if len(value) > dumpBytes {
		value = value[:dumpBytes]
	}
	fmt.Fprint(a.stdout, hex.Dump(value))
	if len(value) < len(l.Record.Value) {
		a.say("%d more bytes: --raw writes all of them", len(l.Record.Value)-len(value))
	}
	return nil
}

func (a *app) dlqTail() *cobra.Command {
	var f letterFilter
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "tail",
		Short: "Follow dead letters as they come, until interrupted",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts, err := a.brokers(cmd)
			if err != nil {
				return err
			}
			err = deadletter.Tail(cmd.Context(), opts, f.filter(time.Now()), func(l deadletter.Letter) error {
				if a.json {
					return a.printLine(l)
				}
				return a.line(letterRow(&l))
			})
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // its way to end
			}
			return err
		},
	})
	f.flags(cmd.Flags())
	return cmd
}

func (a *app) dlqReplay() *cobra.Command {
	var f letterFilter
	yes, again := false, false
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "replay [TOPIC/PARTITION/OFFSET …]",
		Short: "Send dead letters through their source topic again",
		Long: "Send dead letters through their source topic again: the ones named, or all that the filter flags select.\n" +
			"They take the live path; what is no longer wrong with them applies, the rest comes back as a dead letter.\n" +
			"A webhook that the gateway could not read never was a record (no_source): `dlq show --raw` gives its body, to be\n" +
			"sent to the gateway again. The exit code is 1 when a letter could not be replayed.\n" +
			"A letter that was replayed before is left out unless --again is given.",
		RunE: func(cmd *cobra.Command, args []string) error {
			var at []deadletter.Coord
			for _, arg := range args {
				c, err := deadletter.ParseCoord(arg)
				if err != nil {
					return usage("%s: %w", arg, err)
				}
				at = append(at, c)
			}
			selects := f.cause != "" || f.fingerprint != "" || f.since > 0 || len(f.topics) > 0
			if (len(at) > 0) == selects {
				return usage("name letters, or select them with --topic, --cause, --fingerprint or --since")
			}
			opts, err := a.brokers(cmd)
			if err != nil {
				return err
			}
			if selects {
				letters, err := deadletter.List(cmd.Context(), opts, f.filter(time.Now()))
				if err != nil {
					return err
				}
				for i := range letters {
					at = append(at, letters[i].At)
				}
			}
			if len(at) == 0 {
				a.say("no dead letter is selected")
				if a.json {
					return a.printJSON([]deadletter.Replayed{})
				}
				return nil
			}
			if err := a.confirm(fmt.Sprintf("replay %d dead letters", len(at)), yes); err != nil {
				return err
			}
			results, err := deadletter.Replay(cmd.Context(), opts, at, deadletter.ReplayConfig{Again: again})
			if printErr := a.printReplayed(results); printErr != nil {
				return printErr
			}
			return errors.Join(err, deadletter.Failed(results))
		},
	})
	f.flags(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&again, "again", false, "also letters that were replayed before")
	return cmd
}

func (a *app) printReplayed(results []deadletter.Replayed) error {
	if a.json {
		if results == nil {
			results = []deadletter.Replayed{}
		}
		return a.printJSON(results)
	}
	rows := make([][]string, 0, len(results))
	for _, r := range results {
		to := ""
		if r.To != nil {
			to = r.To.String()
		}
		rows = append(rows, []string{r.At.String(), string(r.Status), to})
	}
	return a.table([]string{"LETTER", "STATUS", "TO"}, rows)
}
