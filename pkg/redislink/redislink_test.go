package redislink_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/concord-ats/concord/pkg/redislink"
)

// forbidden refuses one command, as a user without the right to it is refused.
type forbidden string

var errForbidden = errors.New("this user has no permissions to run it")

func (f forbidden) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f forbidden) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.EqualFold(cmd.Name(), string(f)) {
			cmd.SetErr(errForbidden)
			return errForbidden
		}
		return next(ctx, cmd)
	}
}

func (f forbidden) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// What claims are made of is tried at the start: where a user lacks the right to a part of it, that is told.
func TestInspectTriesWhatClaimsNeed(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"", "set", "eval"} {
		client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
		client.AddHook(forbidden(command))
		h := redislink.Inspect(t.Context(), client, "probe")
		if command == "" && len(h.Warnings) != 0 {
			t.Errorf("a server that allows everything: %q", h.Warnings)
		}
		if command != "" && (len(h.Warnings) != 1 || !strings.Contains(h.Warnings[0], strings.ToUpper(command))) {
			t.Errorf("%s is refused: %q, want one warning that names it", command, h.Warnings)
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
}
