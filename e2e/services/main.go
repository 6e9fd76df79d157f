//go:build unix

// Command services starts Kafka, a schema registry and Redis on loopback for work on Concord without Docker, and stops
// them: `make services`, `make services-stop`. Standard output is shell: eval "$(make -s services)".
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/concord-ats/concord/e2e/cluster"
)

const usage = `usage: services start [-dir DIR] [-nodes N]
       services stop [-dir DIR]
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("start or stop?\n%s", usage)
	}
	flags := flag.NewFlagSet("services", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	dir := flags.String("dir", ".services", "folder of the services' files")
	nodes := flags.Int("nodes", 1, "Kafka brokers")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "start":
		return start(ctx, *dir, *nodes, stdout, stderr)
	case "stop":
		stopped, err := cluster.Stop(*dir, 10*time.Second)
		if len(stopped) == 0 && err == nil {
			fmt.Fprintf(stderr, "nothing runs in %s\n", *dir)
		} else if err == nil {
			fmt.Fprintf(stderr, "stopped %s\n", strings.Join(stopped, ", "))
		}
		return err
	default:
		return fmt.Errorf("%q: start or stop?\n%s", args[0], usage)
	}
}

// environmentFile keeps what start printed, for a second start.
const environmentFile = "environment"

func start(ctx context.Context, dir string, nodes int, stdout, stderr io.Writer) error {
	file := filepath.Join(dir, environmentFile)
	alive, err := cluster.Running(dir)
	if err != nil {
		return err
	}
	if len(alive) > 0 {
		if len(alive) != nodes+2 {
			return fmt.Errorf("%s run in %s, which is not %d brokers, registry and redis: stop them first (make services-stop)",
				strings.Join(alive, ", "), dir, nodes)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		fmt.Fprintf(stderr, "%s run already\n", strings.Join(alive, ", "))
		_, err = stdout.Write(content)
		return err
	}
	c, err := cluster.Start(ctx, cluster.Config{
		Dir: dir, Nodes: nodes, Registry: true, Redis: true, Detached: true, Log: stderr,
	})
	if err != nil {
		return err
	}
	var out strings.Builder
	for _, variable := range c.Environment() {
		fmt.Fprintf(&out, "export %s\n", variable)
	}
	if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
		return err
	}
	_, err = io.WriteString(stdout, out.String())
	return err
}
