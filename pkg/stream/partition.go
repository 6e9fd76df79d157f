package stream

import (
	"context"
	"time"
)

// Partition is one owned partition number of all inputs, with its state. It
// lives from assignment to revocation.
type Partition[S any] struct {
	s *session[S]
}

// Number is the partition number.
func (p *Partition[S]) Number() int32 { return 0 }

// Context ends as soon as the partition is revoked, lost or fenced, or the
// session is closed, before anything else is done about it.
func (p *Partition[S]) Context() context.Context { return nil }

// AssignedAt is when the group assigned the partition, by Config.Clock.
func (p *Partition[S]) AssignedAt() time.Time { return time.Time{} }

// OwnedUntil is the moment, by time.Now, up to which the group cannot have given
// the partition to another member: the last answered heartbeat plus the session
// timeout. Safe for concurrent use.
func (p *Partition[S]) OwnedUntil() time.Time { return time.Time{} }

// CaughtUp reports whether every input has been consumed to the end seen at the
// assignment. Safe for concurrent use.
func (p *Partition[S]) CaughtUp() bool { return false }

// Submit runs fn inside a transaction of the owning session, and returns once
// it is queued. fn runs at most once per queueing, but again after an
// abort, and a later restart forgets it. It returns [ErrGone] when the partition is not owned
// any more, or the error of ctx when the queue is full until it ends. An error
// of fn is handled like one of Handle; a poison error drops fn and is logged.
// Safe for concurrent use, except from the session's own goroutine when the
// queue may be full.
func (p *Partition[S]) Submit(ctx context.Context, fn func(tx *Tx[S]) error) error { return nil }

// Scan calls fn for every committed state in key order until it returns false.
// Only for the session's goroutine (Assigned, Handle and the like).
func (p *Partition[S]) Scan(fn func(key string, s S) bool) error { return nil }
