package stream

import (
	"errors"
	"fmt"
)

// Errors a caller may branch on with [errors.Is].
var (
	// ErrFenced says that another process uses the same transactional id. The
	// older of the two, this one, must exit.
	ErrFenced = errors.New("fenced by another process with the same transactional id")
	// ErrGone says that the partition is no longer owned, so the submitted
	// function did not and will not run.
	ErrGone = errors.New("partition is no longer owned")
	// ErrTopicsMissing says that topics do not exist; the message names them.
	ErrTopicsMissing = errors.New("topics are missing")
	// ErrPartitionCount says that partition counts differ between topics, or
	// from the count the local store was built with.
	ErrPartitionCount = errors.New("partition counts differ")
	// ErrOldBroker says that the cluster has not finalized transaction.version
	// at 2 or above (KIP-890), so exactly-once cannot be promised.
	ErrOldBroker = errors.New("broker is too old for exactly-once")
	// ErrStartTimeout says that Kafka did not answer within Config.StartTimeout.
	ErrStartTimeout = errors.New("kafka did not answer in time")
	// ErrDataLoss says that an input or the committed offsets no longer reach
	// back to where this group stopped. It is returned unless
	// Config.AllowDataLoss is set.
	ErrDataLoss = errors.New("input was truncated, recreated, or its offsets expired")
	// ErrAssignment says that the group gave this member a partition of some
	// inputs only, for longer than the rebalance timeout.
	ErrAssignment = errors.New("assignment is incomplete")
	// ErrStore says that the local store cannot be written (a full disk, for
	// one). It is raised before the transaction is committed.
	ErrStore = errors.New("local store cannot be written")
)

// PoisonError is a record that can never be handled. See [Poison].
type PoisonError struct {
	Cause string // one of the caller's closed set of causes; a metric label
	Err   error
}

func (e *PoisonError) Error() string { return fmt.Sprintf("%s: %v", e.Cause, e.Err) }

// Unwrap returns the error below.
func (e *PoisonError) Unwrap() error { return e.Err }

// Poison marks a record as one that can never be handled. Returned from
// Handle, the record's writes and outputs are dropped, the record is
// dead-lettered inside the transaction, and the partition goes on. The cause
// must come from a small closed set, err must carry no personal data.
func Poison(cause string, err error) error { return &PoisonError{Cause: cause, Err: err} }

type fatalError struct{ err error }

func (e *fatalError) Error() string { return e.err.Error() }
func (e *fatalError) Unwrap() error { return e.err }

// Fatal marks an error that must stop the process: the transaction is aborted
// and [Runner.Run] returns err.
func Fatal(err error) error { return &fatalError{err: err} }
