package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/concord-ats/concord/cmd/concord/config"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/processors/reconciler/replay"
)

// The exit codes. Scripts may rely on them.
const (
	exitOK      = 0 // done, nothing found
	exitFailure = 1 // failed or interrupted, or a check has findings
	exitUsage   = 2 // wrong flags, arguments or configuration; nothing was tried
	exitRefused = 3 // the cluster refuses or is not fit: credentials, topics missing, partition counts, version
	exitStart   = 4 // Kafka, Redis or the registry did not answer within start_timeout
	exitFenced  = 5 // another process has this one's name or its data folder
	exitDiffers = 6 // a simulation found that something would have been otherwise
)

const exitCodesHelp = `Exit codes:
  0  done, nothing found
  1  failed or interrupted, or a check has findings
  2  wrong flags, arguments or configuration; nothing was tried
  3  the cluster refuses or is not fit: credentials, topics missing, partition counts, version
  4  a service did not answer within the start timeout
  5  another process has this one's name (fenced) or its data folder
  6  a simulation found that something would have been otherwise`

var (
	// errFindings says that a check ran and found something; what, is already on stdout.
	errFindings = errors.New("there are findings")
	// errDiffers says that a simulation found differences; which, is already on stdout.
	errDiffers = errors.New("there are differences")
	// errRefused says that the cluster is not fit; the message says why.
	errRefused = errors.New("the cluster is not fit")
	// errStartTimeout says that a service did not answer in time.
	errStartTimeout = errors.New("did not answer within start_timeout")
)

// usageError is a command line that cannot be run.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// code gives the exit code of an error.
func code(err error) int {
	var faults config.Faults
	var wrongUse *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &faults), errors.As(err, &wrongUse):
		return exitUsage
	case errors.Is(err, errDiffers):
		return exitDiffers
	case errors.Is(err, stream.ErrFenced), errors.Is(err, store.ErrLocked):
		return exitFenced
	case errors.Is(err, errStartTimeout), errors.Is(err, stream.ErrStartTimeout):
		return exitStart
	case errors.Is(err, errRefused), errors.Is(err, stream.ErrTopicsMissing), errors.Is(err, replay.ErrTopicMissing),
		errors.Is(err, stream.ErrPartitionCount), errors.Is(err, stream.ErrOldBroker):
		return exitRefused
	default:
		return exitFailure
	}
}

// advice adds what to do to an error whose own message cannot know the command line.
func advice(err error) string {
	switch {
	case errors.Is(err, stream.ErrTopicsMissing), errors.Is(err, replay.ErrTopicMissing):
		return "run `concord topics create`"
	case errors.Is(err, stream.ErrPartitionCount), errors.Is(err, stream.ErrOldBroker):
		return "`concord topics check` says what differs and how to mend it"
	case errors.Is(err, stream.ErrFenced):
		return "give each process a name of its own (instance), and start it once"
	case errors.Is(err, store.ErrLocked):
		return "give each process a folder of its own (data_dir), or stop the other one"
	case errors.Is(err, stream.ErrDataLoss):
		return "find out what removed the records; to go on without them set stream.allow_data_loss"
	default:
		return ""
	}
}

// exit reports an error on stderr and returns the exit code.
func (a *app) exit(err error) int {
	c := code(err)
	if err != nil && c != exitOK && !errors.Is(err, errFindings) && !errors.Is(err, errDiffers) {
		if errors.Is(err, context.Canceled) {
			a.say("concord: interrupted")
			return c
		}
		a.say("concord: %v", err)
		if hint := advice(err); hint != "" {
			a.say("concord: %s", hint)
		}
	}
	return c
}
