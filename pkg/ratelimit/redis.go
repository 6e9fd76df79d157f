package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// shared keeps the state of keys in Redis: one hash a key, with fields t (TAT) and b (end of
// the penalty), microseconds by Redis' clock, gone when neither says anything any more.
type shared struct {
	client redis.UniversalClient
	prefix string
}

// takeScript is decide, run where the state is. Numbers are formatted by hand: Lua would
// write a time in microseconds as 1.7e+15.
var takeScript = redis.NewScript(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local interval, burst, n = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local cell = redis.call('HMGET', KEYS[1], 't', 'b')
local tat, blocked = tonumber(cell[1] or '0'), tonumber(cell[2] or '0')
if blocked > now then return string.format('%.0f', blocked - now) end
if n == 0 then return '0' end
local new = math.max(tat, now) + n * interval
local early = new - interval * burst - now
if early > 0 then return string.format('%.0f', early) end
redis.call('HSET', KEYS[1], 't', string.format('%.0f', new))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((new - now) / 1000) + 1000))
return '0'
`)

var blockScript = redis.NewScript(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local till = now + tonumber(ARGV[1])
local cell = redis.call('HMGET', KEYS[1], 't', 'b')
local tat, blocked = tonumber(cell[1] or '0'), tonumber(cell[2] or '0')
if blocked > till then till = blocked end
redis.call('HSET', KEYS[1], 'b', string.format('%.0f', till))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil((math.max(till, tat) - now) / 1000) + 1000))
return '0'
`)

func (s *shared) take(ctx context.Context, key string, l Limit, n int) (time.Duration, error) {
	us, err := takeScript.Run(ctx, s.client, []string{s.prefix + key}, l.interval(), l.Burst, n).Int64()
	if err != nil {
		return 0, fmt.Errorf("take from shared limit: %w", err)
	}
	return time.Duration(us) * time.Microsecond, nil
}

func (s *shared) block(ctx context.Context, key string, d time.Duration) error {
	if err := blockScript.Run(ctx, s.client, []string{s.prefix + key}, d.Microseconds()).Err(); err != nil {
		return fmt.Errorf("block shared limit: %w", err)
	}
	return nil
}
