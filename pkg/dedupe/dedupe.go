package dedupe

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/concord-ats/concord/pkg/redislink"
)

// Verdict is the answer to one claim.
type Verdict uint8

const (
	// Unknown: Redis gave no usable answer. Process the record.
	Unknown Verdict = iota
	// Fresh: the identity had no owner; this record owns it now. Process it.
	Fresh
	// Mine: this record already owns the identity: it is delivered again after an
	// abort or a crash. Process it.
	Mine
	// Other: another record owns the identity. A duplicate candidate, no more: the
	// state decides.
	Other
)

// String returns the verdict as it stands in metric labels and logs.
func (v Verdict) String() string {
	switch v {
	case Unknown:
		return "unknown"
	case Fresh:
		return "fresh"
	case Mine:
		return "mine"
	case Other:
		return "other"
	default:
		return "invalid"
	}
}

// Claim asks for the ownership of one identity.
type Claim struct {
	Identity Identity
	Owner    Owner
}

// Result answers one claim.
type Result struct {
	Verdict Verdict
	// Owner is who owned the identity before. Set only where Verdict is Other.
	Owner Owner
}

// Config of a Claimer. The zero value is usable.
type Config struct {
	// Prefix of every key; empty means "concord:d:".
	Prefix string
	// TTL is how long an owner is remembered, counted from its first claim; zero
	// means 7 days. It should exceed the time within which duplicates arrive.
	TTL time.Duration
	// Timeout bounds one Claim call; zero means redislink.DefaultTimeout.
	Timeout time.Duration
	// ProbeAfter and ProbeAtMost bound the pause before a silent Redis is asked
	// again; zero means 500 ms and 15 s.
	ProbeAfter, ProbeAtMost time.Duration
	// Metrics may be shared by several claimers; nil keeps none.
	Metrics *Metrics
	// Logger gets the start check and each change between reachable and not; nil is
	// silent.
	Logger *zap.Logger
	// Now is the clock of the circuit and of the latency metric; nil means time.Now.
	Now func() time.Time
}

// Claimer claims identities in one Redis. Safe for concurrent use.
type Claimer struct {
	client  *redis.Client
	cfg     Config
	circuit redislink.Circuit
}

// New returns a claimer on the Redis that opts name: address, TLS, user, password
// and database pass through; timeouts and retries are set here, as a slow Redis must
// not stall a stream. It does not connect: see Check.
func New(opts *redis.Options, cfg Config) *Claimer {
	if cfg.Prefix == "" {
		cfg.Prefix = "concord:d:"
	}
	if cfg.TTL <= 0 {
		cfg.TTL = 7 * 24 * time.Hour
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = redislink.DefaultTimeout
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Claimer{
		client:  redis.NewClient(redislink.Bounded(opts, cfg.Timeout)),
		cfg:     cfg,
		circuit: redislink.Circuit{First: cfg.ProbeAfter, Longest: cfg.ProbeAtMost},
	}
}

// Check looks at the server (version, eviction policy, the command itself) and logs
// one warning for each thing that makes it a poor net. It never fails: without Redis
// a stream is slower, not wrong.
func (c *Claimer) Check(ctx context.Context) redislink.Health {
	h := redislink.Inspect(ctx, c.client, c.cfg.Prefix+"probe")
	for _, w := range h.Warnings {
		c.cfg.Logger.Warn("dedupe net is weak", zap.String("problem", w))
	}
	return h
}

// Claim asks for all claims of one poll in one round trip and answers them in their
// order, so that of two equal identities in one poll the first owns. It returns one
// result per claim and takes no longer than the timeout; while Redis is held to be
// away it returns at once. A cancelled ctx yields Unknown.
func (c *Claimer) Claim(ctx context.Context, claims []Claim) []Result {
	results := make([]Result, len(claims))
	if len(claims) == 0 {
		return results
	}
	start := c.cfg.Now()
	if !c.circuit.Allow(start) {
		c.cfg.Metrics.skipped(len(claims))
		return results
	}
	err := c.pipeline(ctx, claims, results)
	end := c.cfg.Now()
	switch {
	case err == nil || redislink.IsReply(err):
		if c.circuit.Open() {
			c.cfg.Logger.Info("dedupe net is back")
		}
		c.circuit.Succeeded()
	case ctx.Err() != nil:
		c.circuit.Abandoned()
	default:
		if !c.circuit.Open() {
			c.cfg.Logger.Warn("dedupe net is away", zap.String("cause", redislink.Category(err)))
		}
		c.circuit.Failed(end)
	}
	c.cfg.Metrics.observe(results, end.Sub(start), err)
	return results
}

// claim sets each key that has no owner, as SET key owner NX GET PX ttl does, and returns the place and the owner of the
// others: one reply for many keys, and a short one, as few records are duplicates.
const claim = `local owned = {}
for i, key in ipairs(KEYS) do
  local owner = redis.call('SET', key, ARGV[i], 'NX', 'GET', 'PX', ARGV[#KEYS + 1])
  if owner then
    owned[#owned + 1] = i
    owned[#owned + 1] = owner
  end
end
return owned`

// claimsPerCall bounds how long one call holds Redis up for everybody else: about a millisecond.
const claimsPerCall = 500

var errReply = errors.New("reply not readable")

// pipeline fills results and returns the first failure: that of the connection if there was one, else that of a single
// call. The claims of a call that failed are Unknown.
func (c *Claimer) pipeline(ctx context.Context, claims []Claim, results []Result) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	pipe := c.client.Pipeline()
	cmds := make([]*redis.Cmd, 0, len(claims)/claimsPerCall+1)
	memory := requests.Get().(*request)
	memory.write(claims, c.cfg.Prefix, c.cfg.TTL.Milliseconds())
	for from := 0; from < len(claims); from += claimsPerCall {
		cmds = append(cmds, pipe.Do(ctx, memory.call(from, min(from+claimsPerCall, len(claims)))...))
	}
	_, execErr := pipe.Exec(ctx)
	var first error
	if execErr != nil && !redislink.IsReply(execErr) {
		first = execErr
	} else {
		requests.Put(memory) // every call of it has been answered
	}
	for i, cmd := range cmds {
		from := i * claimsPerCall
		to := min(from+claimsPerCall, len(claims))
		owned, err := cmd.Slice()
		if err == nil {
			err = read(owned, claims[from:to], results[from:to])
		}
		if err != nil && (first == nil || redislink.IsReply(first) && !redislink.IsReply(err)) {
			first = err
		}
	}
	return first
}

// read turns the reply of one call into results.
func read(owned []any, claims []Claim, results []Result) error {
	if len(owned)%2 != 0 {
		return errReply
	}
	for i := range results {
		results[i].Verdict = Fresh
	}
	for i := 0; i < len(owned); i += 2 {
		n, isInt := owned[i].(int64)
		value, isText := owned[i+1].(string)
		if !isInt || !isText || n < 1 || n > int64(len(claims)) {
			clear(results)
			return errReply
		}
		r := &results[n-1]
		switch owner, err := parseOwner(value); {
		case err != nil:
			*r = Result{} // somebody else's value: it owns nothing that can be compared
		case owner == claims[n-1].Owner:
			r.Verdict = Mine
		default:
			*r = Result{Verdict: Other, Owner: owner}
		}
	}
	return nil
}

// Away reports whether Redis did not answer when it was last asked.
func (c *Claimer) Away() bool { return c.circuit.Open() }

// Close closes the connections. Claims after it are Unknown.
func (c *Claimer) Close() error { return c.client.Close() }
