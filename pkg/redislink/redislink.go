// Package redislink holds what every user of Redis in this module shares: client
// options that bound how long a call may take, a circuit that keeps a dead Redis
// from costing its timeout at every call, and a look at the server at start.
//
// Redis is never the authority here. So nothing in this package retries: a call
// that did not answer in time is reported as such and the caller goes on without.
package redislink

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// DefaultTimeout bounds one round trip to Redis, connecting included.
const DefaultTimeout = 250 * time.Millisecond

// Bounded returns a copy of opts in which no call outlives timeout: no retries
// (the circuit decides when to ask again), one dial attempt, and deadlines of the
// context obeyed. Address, TLS, user, password, database and credentials providers
// are taken over as they are. A timeout of zero or less means DefaultTimeout.
func Bounded(opts *redis.Options, timeout time.Duration) *redis.Options {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	o := *opts
	o.MaxRetries = -1
	o.DialerRetries = 1
	o.DialTimeout = timeout
	o.ReadTimeout = timeout
	o.WriteTimeout = timeout
	o.PoolTimeout = timeout
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &o
}

// IsReply reports whether err is an answer of the server (OOM, READONLY, LOADING,
// a syntax error …) rather than a connection that failed or did not answer. An
// answering server costs no timeout, so such an error does not open a circuit.
func IsReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// Category names the class of a Redis error for a metric label or a log field. It
// never carries text of the server or of the data. A nil error has category "".
func Category(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return ""
	case redis.IsOOMError(err):
		return "oom"
	case redis.IsReadOnlyError(err):
		return "readonly"
	case redis.IsLoadingError(err):
		return "loading"
	case redis.IsMasterDownError(err), redis.IsClusterDownError(err), redis.IsNoReplicasError(err):
		return "degraded"
	case redis.IsAuthError(err), redis.IsPermissionError(err):
		return "denied"
	case IsReply(err):
		return "refused"
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	default:
		return "connection"
	}
}

// Health is what a Redis says of itself. Unknown values are empty: managed and
// embedded servers do not report everything.
type Health struct {
	// Version is the server's version, such as "7.0.15".
	Version string
	// MaxmemoryPolicy is the eviction policy, such as "noeviction".
	MaxmemoryPolicy string
	// Role is "master" or "slave".
	Role string
	// Warnings tells, one sentence each, what makes this server a poor net. They
	// belong into the log at warning level, loudly, once, at start.
	Warnings []string
}

// Inspect asks a server for its version and eviction policy and tries what owner keys
// rest on: the command, and a script that reads it. It changes nothing but one probe key that expires after
// a second. An unreachable server is a warning too, never an error: whoever uses
// Redis here works without it.
func Inspect(ctx context.Context, client redis.UniversalClient, probeKey string) Health {
	var h Health
	info, err := client.Info(ctx).Result()
	if err != nil {
		h.Warnings = append(h.Warnings, fmt.Sprintf("redis does not answer INFO (%s): working without it until it does", Category(err)))
		if !IsReply(err) {
			return h
		}
	}
	h.read(info)
	if h.Version != "" && !atLeast7(h.Version) {
		h.Warnings = append(h.Warnings, fmt.Sprintf("redis %s is older than 7.0: SET with NX and GET is refused there, every claim will be unknown", h.Version))
	}
	if h.MaxmemoryPolicy != "" && h.MaxmemoryPolicy != "noeviction" {
		h.Warnings = append(h.Warnings, fmt.Sprintf("redis evicts keys (maxmemory-policy %s): set noeviction, or duplicates pass the net under memory pressure", h.MaxmemoryPolicy))
	}
	if h.Role == "slave" {
		h.Warnings = append(h.Warnings, "redis is a replica: writes are refused, every claim will be unknown")
	}
	err = client.SetArgs(ctx, probeKey, "1", redis.SetArgs{Mode: "NX", Get: true, TTL: time.Second}).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		h.Warnings = append(h.Warnings, fmt.Sprintf("redis refuses SET with NX, GET and PX (%s): every claim will be unknown", Category(err)))
	}
	if err := client.Eval(ctx, "return redis.call('GET', KEYS[1])", []string{probeKey}).Err(); err != nil && !errors.Is(err, redis.Nil) {
		h.Warnings = append(h.Warnings, fmt.Sprintf("redis refuses EVAL (%s): every claim will be unknown", Category(err)))
	}
	return h
}

func (h *Health) read(info string) {
	for line := range strings.Lines(info) {
		name, value, found := strings.Cut(strings.TrimSpace(line), ":")
		if !found {
			continue
		}
		switch name {
		case "redis_version":
			h.Version = value
		case "maxmemory_policy":
			h.MaxmemoryPolicy = value
		case "role":
			h.Role = value
		}
	}
}

func atLeast7(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 7
}
