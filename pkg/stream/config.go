package stream

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/store"
)

// Config is what a [Runner] needs. Zero durations and counts take the default
// named beside the field.
type Config struct {
	// Opts reach every Kafka client: seed brokers, TLS, SASL, client id,
	// compression, a dialer. Consumer group, transaction and offset options
	// are set by the runner and must not be among them.
	Opts []kgo.Opt

	// Group is the consumer group. Required.
	Group string
	// TransactionalID is the stable prefix of the transactional ids; session n
	// uses "<prefix>-<n>". It must differ between processes, and stay the same
	// when a process restarts: the new process fences the old one. Required.
	TransactionalID string
	// Inputs are the consumed topics. All have the same number of partitions,
	// and partition p of all of them is always handled by one session. Required.
	Inputs []string
	// Changelog is the compacted topic of the state, with as many partitions
	// as the inputs. Required.
	Changelog string
	// Outputs are further topics that must have as many partitions as the
	// inputs (those [Tx.Produce] writes with the input's partition number).
	Outputs []string
	// Store is the local store. Required. Several runners may share one.
	Store *store.DB

	// Sessions is how many group members run in this process (2).
	Sessions int
	// CommitInterval is how long a record waits at most, where all keeps up,
	// until the transaction that handles it is committed (100 ms). The time its
	// end takes counts, for a quarter at most.
	CommitInterval time.Duration
	// MaxBatchRecords ends a transaction early, by input records (10,000).
	MaxBatchRecords int
	// MaxBatchBytes ends a transaction early, by input bytes (8 MiB).
	MaxBatchBytes int
	// MaxTimers bounds the timers fired in one transaction (1,000).
	MaxTimers int
	// CacheBytes bounds the decoded states held by all sessions together,
	// counted as a multiple of their encoded size (64 MiB).
	CacheBytes int64

	// SessionTimeout is after how long without a heartbeat the group gives a
	// member's partitions away (45 s).
	SessionTimeout time.Duration
	// RebalanceTimeout bounds a rebalance, and how long an incomplete
	// assignment is waited out before it is fatal (60 s).
	RebalanceTimeout time.Duration
	// HeartbeatInterval is how often a member tells the group it is alive
	// (a tenth of SessionTimeout, 3 s at most).
	HeartbeatInterval time.Duration
	// TransactionTimeout is after how long the coordinator aborts a transaction
	// whose producer went silent, and so how long readers of committed data may
	// wait for it (15 s, or a third of SessionTimeout when that is shorter). At
	// most 15 s, and shorter than SessionTimeout.
	TransactionTimeout time.Duration
	// StartTimeout bounds the wait for Kafka at start (60 s).
	StartTimeout time.Duration
	// DrainTimeout bounds the last commit after the context of Run ends (10 s).
	DrainTimeout time.Duration

	// Clock tells the time that handlers and timers see (time.Now). It does not
	// drive commit intervals, timeouts or back-off.
	Clock func() time.Time
	// Logger may be nil. Keys and values never reach it.
	Logger *zap.Logger
	// Metrics may be nil; see [NewMetrics].
	Metrics *Metrics

	// DeadLetter builds the dead letter of a record: topic, raw key and value,
	// headers, and the source's partition number. Required.
	DeadLetter func(rec *kgo.Record, cause string, err error, now time.Time) *kgo.Record
	// PanicCause is the cause of a record whose handler panicked ("fold_panic").
	PanicCause string

	// AllowDataLoss lets a group go on from the earliest record when an input
	// was truncated or recreated or the committed offsets expired, with a
	// warning. Off, this is fatal.
	AllowDataLoss bool

	// Faults are deliberate faults, for proofs. The zero value has none.
	Faults Faults

	idle  time.Duration // the longest poll
	watch time.Duration // between two looks of the watch
	pool  kgo.Pool      // where clients take memory for what they fetch
}

// Faults break the runtime on purpose, to prove that an audit notices or that
// recovery works. They have no place in a deployment.
type Faults struct {
	// UnsafeWriteStoreBeforeCommit writes the overlay to the store and the
	// cache before the transaction ends, so an abort leaves state that the log
	// does not have. This breaks exactly-once.
	UnsafeWriteStoreBeforeCommit bool
	// AbortEvery aborts every n-th transaction of a session. Harmless.
	AbortEvery int
	// CrashAfterPrepare is asked after the n-th Prepare of a session number
	// that saw records (n starts at 1 and counts over restarts); true closes
	// the session abruptly, its transaction still open, and starts it again.
	CrashAfterPrepare func(n int) bool
}

const (
	maxTransactionTimeout = 15 * time.Second
	maxDecompressedBatch  = 32 << 20
)

func (c *Config) setDefaults() {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	defInt := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	defInt(&c.Sessions, 2)
	defInt(&c.MaxBatchRecords, 10_000)
	defInt(&c.MaxBatchBytes, 8<<20)
	defInt(&c.MaxTimers, 1_000)
	if c.CacheBytes == 0 {
		c.CacheBytes = 64 << 20
	}
	def(&c.CommitInterval, 100*time.Millisecond)
	def(&c.SessionTimeout, 45*time.Second)
	def(&c.RebalanceTimeout, 60*time.Second)
	def(&c.HeartbeatInterval, min(c.SessionTimeout/10, 3*time.Second))
	def(&c.TransactionTimeout, min(c.SessionTimeout/3, maxTransactionTimeout))
	def(&c.StartTimeout, 60*time.Second)
	def(&c.DrainTimeout, 10*time.Second)
	def(&c.watch, watchInterval)
	if c.pool == nil {
		c.pool = &fetched
	}
	c.idle = idlePollClock
	if c.Clock == nil {
		c.Clock = time.Now
		c.idle = idlePoll
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(c.Group)
	}
	if c.PanicCause == "" {
		c.PanicCause = "fold_panic"
	}
}

// validate joins every fault of the configuration, defaults being set.
func (c *Config) validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.Group == "", "group is empty")
	fault(c.TransactionalID == "", "transactional id is empty")
	fault(len(c.Inputs) == 0, "inputs are empty")
	fault(slices.Contains(c.Inputs, ""), "an input is empty")
	fault(c.Changelog == "", "changelog is empty")
	fault(slices.Contains(c.Inputs, c.Changelog), "changelog %q is also an input", c.Changelog)
	fault(c.Store == nil, "store is nil")
	fault(c.DeadLetter == nil, "dead letter function is nil")
	fault(c.Sessions < 0, "sessions %d is negative", c.Sessions)
	fault(c.CommitInterval < 0, "commit interval %v is negative", c.CommitInterval)
	fault(c.TransactionTimeout > maxTransactionTimeout, "transaction timeout %v is above %v", c.TransactionTimeout, maxTransactionTimeout)
	fault(c.TransactionTimeout >= c.SessionTimeout, "transaction timeout %v is not below session timeout %v", c.TransactionTimeout, c.SessionTimeout)
	fault(c.CommitInterval >= c.TransactionTimeout, "commit interval %v is not below transaction timeout %v", c.CommitInterval, c.TransactionTimeout)
	fault(c.HeartbeatInterval >= c.SessionTimeout, "heartbeat interval %v is not below session timeout %v", c.HeartbeatInterval, c.SessionTimeout)
	return errors.Join(errs...)
}
