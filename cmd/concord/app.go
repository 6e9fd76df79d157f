package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/redislink"
)

// app is one call of the program: its streams, its global flags, and the configuration once loaded.
type app struct {
	env    []string
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	file string   // --config
	sets []string // --set key=value
	json bool     // --json of the command that has it

	cfg       config.Loaded
	log       *zap.Logger
	metrics   *prometheus.Registry
	health    health
	closers   []closer
	adjust    adjust
	described descriptions
	mappings  *mappings        // of a process that speaks to ATSs, see takeUp
	bills     map[string]*bill // by ATS instance
}

// shorthand are the flags that stand for a configuration key.
var shorthand = []struct{ flag, key, usage string }{
	{"brokers", "kafka.brokers", "Kafka bootstrap addresses, host:port,…"},
	{"redis", "redis.addr", "Redis, host:port"},
	{"registry", "registry.url", "schema registry URL"},
	{"data", "data_dir", "folder for the local stores"},
	{"instance", "instance", "name of this process"},
	{"log-level", "log.level", "debug, info, warn or error"},
	{"start-timeout", "start_timeout", "how long to wait for services at start"},
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "concord",
		Short: "Keep an applicant tracking system and the tools around it in agreement",
		Long: "Concord folds screening events and ATS changes into one hiring state per application,\n" +
			"writes the outcome back to the ATS, confirms it, and measures how well that works.\n\n" + exitCodesHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	flags := root.PersistentFlags()
	flags.StringVar(&a.file, "config", "", "YAML configuration file (CONCORD_CONFIG)")
	flags.StringArrayVar(&a.sets, "set", nil, "set any configuration key: --set stream.sessions=4")
	for _, s := range shorthand {
		flags.String(s.flag, "", s.usage+" ("+s.key+")")
	}
	root.AddCommand(
		a.demoCommand(), a.runCommand(), a.topicsCommand(), a.schemasCommand(), a.publishCommand(), a.backfillCommand(), a.controlCommand(), a.appCommand(),
		a.policyCommand(), a.dlqCommand(), a.kpiCommand(), a.atsCommand(), a.simCommand(), a.benchCommand(), a.healthCommand(), a.configCommand(), a.versionCommand(),
	)
	asUsage(root)
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

// asUsage turns every error that arises before a command's own code runs, a wrong flag or argument, into a usage
// error.
func asUsage(cmd *cobra.Command) {
	wrap := func(cmd *cobra.Command, err error) error {
		if err == nil {
			return nil
		}
		return usage("%w (`%s --help` says how it is called)", err, cmd.CommandPath())
	}
	cmd.SetFlagErrorFunc(wrap)
	if args := cmd.Args; args != nil {
		cmd.Args = func(cmd *cobra.Command, given []string) error { return wrap(cmd, args(cmd, given)) }
	}
	for _, sub := range cmd.Commands() {
		asUsage(sub)
	}
}

// load reads the configuration and makes the logger. Commands that touch a service call it first.
func (a *app) load(cmd *cobra.Command) error {
	in := config.Input{File: a.file, Env: a.env, Flags: map[string]string{}}
	if in.File == "" {
		in.File = a.getenv("CONCORD_CONFIG")
	}
	for _, s := range a.sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return usage("--set %s: give key=value", s)
		}
		in.Flags[key] = value
	}
	for _, s := range shorthand {
		if f := cmd.Flags().Lookup(s.flag); f != nil && f.Changed {
			in.Flags[s.key] = f.Value.String()
		}
	}
	for flag, key := range map[string]string{"embedded": "embedded", "dev": "policy.dev"} {
		if f := cmd.Flags().Lookup(flag); f != nil && f.Changed && cmd.Name() == "run" {
			in.Flags[key] = f.Value.String()
		}
	}
	loaded, err := config.Load(in)
	if err != nil {
		return asUsageUnlessFaults(err)
	}
	if loaded.Instance == "" {
		if loaded.Instance, err = os.Hostname(); err != nil {
			return usage("this host has no name (%w); set instance", err)
		}
	}
	a.cfg, a.log, a.metrics = loaded, newLogger(loaded.Log.Level, a.stderr), newMetrics()
	redisLog.Do(func() { redislink.LogTo(a.log) })
	return nil
}

// asUsageUnlessFaults keeps Faults as they are; a configuration file that cannot be read is wrong use too.
func asUsageUnlessFaults(err error) error {
	if code(err) == exitUsage {
		return err
	}
	return &usageError{err}
}

func (a *app) getenv(name string) string {
	i := slices.IndexFunc(a.env, func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
	if i < 0 {
		return ""
	}
	return a.env[i][len(name)+1:]
}

// redisLog guards the Redis library's logger, which is one for the process.
var redisLog sync.Once

func newLogger(level string, w io.Writer) *zap.Logger {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		l = zapcore.InfoLevel // Validate has refused any other name
	}
	encoder := zap.NewProductionEncoderConfig()
	encoder.TimeKey, encoder.EncodeTime = "time", zapcore.RFC3339NanoTimeEncoder
	encoder.EncodeDuration = zapcore.StringDurationEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(zapcore.AddSync(w)), l))
}

// say writes one message to stderr.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.stderr, format+"\n", args...) }

// jsonFlag adds --json to a command.
func (a *app) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON, for scripts")
	return cmd
}

// printJSON writes one indented value to stdout.
func (a *app) printJSON(v any) error { return encodeJSON(a.stdout, v) }

func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// printLine writes one value as one line of JSON to stdout, for streams.
func (a *app) printLine(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// line writes one row of a stream to stdout.
func (a *app) line(cells []string) error {
	if _, err := fmt.Fprintln(a.stdout, strings.Join(printable(cells), "  ")); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// printable writes out what a terminal would obey, or an aligned column would break on: texts come from outside.
func printable(cells []string) []string {
	out := slices.Clone(cells)
	for i, c := range out {
		if strings.ContainsFunc(c, func(r rune) bool { return !unicode.IsPrint(r) }) {
			q := strconv.Quote(c)
			out[i] = q[1 : len(q)-1]
		}
	}
	return out
}

// table writes aligned columns to stdout.
func (a *app) table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		fmt.Fprintln(w, strings.Join(printable(row), "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// terminal says whether a stream is a terminal; only then may it be coloured or redrawn.
func (a *app) terminal(stream any) bool {
	if o, ok := stream.(*output); ok {
		stream = o.Writer
	}
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks a yes-or-no question on the terminal. Without a terminal the answer must be --yes.
func (a *app) confirm(question string, yes bool) error {
	if yes {
		return nil
	}
	if !a.terminal(a.stdin) {
		return usage("%s: nothing was done; give --yes to go on without a terminal", question)
	}
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	var answer string
	if _, err := fmt.Fscanln(a.stdin, &answer); err != nil || !strings.EqualFold(strings.TrimSpace(answer), "y") {
		return usage("nothing was done")
	}
	return nil
}

// retry calls try until it succeeds, says on stderr why not whenever the reason changes, and gives up after
// start_timeout.
func (a *app) retry(ctx context.Context, service string, try func(context.Context) error) error {
	limit, cancel := context.WithTimeout(ctx, a.cfg.StartTimeout)
	defer cancel()
	last, pause := "", 100*time.Millisecond
	for {
		attempt, done := context.WithTimeout(limit, 5*time.Second)
		err := try(attempt)
		done()
		if err == nil {
			return nil
		}
		if permanent(err) {
			return err
		}
		if reason := err.Error(); reason != last && (limit.Err() == nil || last == "") {
			last = reason
			a.health.wait(service + ": " + reason)
			a.log.Warn("waiting for "+service, zap.String("reason", reason))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.Done():
			return fmt.Errorf("%s %w (%s): %s", service, errStartTimeout, a.cfg.StartTimeout, last)
		case <-time.After(pause):
			pause = min(2*pause, 2*time.Second)
		}
	}
}
