// Command concord is Concord: the processors, the demo, and the tools an operator needs, in one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// version is set by the linker; a plain `go build` leaves what the toolchain knows of the commit.
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal asks for a clean end; the next one, no longer caught, ends at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program behind main: data goes to stdout, messages to stderr, and the exit code is the result.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &output{Writer: stdout}
	a := &app{env: env, stdin: stdin, stdout: out, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if failed := out.failed.Load(); failed != nil && (err == nil || errors.Is(err, errFindings) || errors.Is(err, errDiffers)) {
		err = fmt.Errorf("print: %w", *failed) // what is said to be on stdout is not
	}
	return a.exit(err)
}

// output is standard output; it remembers the first write that failed, so that no printer has to.
type output struct {
	io.Writer
	failed atomic.Pointer[error]
}

// Write implements [io.Writer].
func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	if err != nil {
		o.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}
