package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// shared keeps the state of keys in Redis: one hash a key, with fields t (TAT) and b (end of
// the penalty), microseconds by Redis' clock, gone when neither says anything any more. Where
// units are counted a sorted set beside it has the time of each of the last window, of those in
// use a time to come, and field s numbers them.
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
return string.format('%.0f', -now)
`)

// countScript is count, run where the state is.
var countScript = redis.NewScript(`
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local window, rate, n, hold = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local behind, look, part = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local blocked = tonumber(redis.call('HGET', KEYS[1], 'b') or '0')
if blocked > now then return string.format('%.0f', blocked - now) end
if n == 0 then return '0' end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - window))
local taken = redis.call('ZCARD', KEYS[2])
local function at(i) return tonumber(redis.call('ZRANGE', KEYS[2], i, i, 'WITHSCORES')[2]) end
local over = taken + n - rate
if over > 0 or behind > 0 then
  local fits = false
  if over <= 0 then
    over = taken + behind - rate
    local last = over - 1 + n
    fits = over > 0 and last < taken and at(last) <= math.min(now, at(over - 1) + math.floor(window / part))
    over = math.max(over, 1)
  end
  if not fits then
    if taken < over or at(over - 1) > now then return look end
    return string.format('%.0f', math.max(at(over - 1) + window - now, 1))
  end
end
local number = redis.call('HINCRBY', KEYS[1], 's', n)
for i = 1, n do redis.call('ZADD', KEYS[2], string.format('%.0f', now + hold), string.format('%.0f', number - i)) end
local last = math.ceil((window + hold) / 1000) + 1000
redis.call('PEXPIRE', KEYS[1], last)
redis.call('PEXPIRE', KEYS[2], last)
return string.format('%.0f', -now)
`)

// settleScript ends units that were taken at a time: unused ones go back, used ones count from now on. A key that is gone
// has nothing to settle.
var settleScript = redis.NewScript(`
local unused, used, interval, at = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000000 + tonumber(time[2]))
local tat = tonumber(redis.call('HGET', KEYS[1], 't') or '0')
if tat > 0 then redis.call('HSET', KEYS[1], 't', string.format('%.0f', tat - unused * interval)) end
for i, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], at, at, 'LIMIT', 0, unused + used)) do
  if i <= unused then redis.call('ZREM', KEYS[2], member) else redis.call('ZADD', KEYS[2], now, member) end
end
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

// key names the hash of a key. What a script touches together has one hash tag, so that a Redis cluster keeps it together.
func (s *shared) key(key string) string { return s.prefix + "{" + key + "}" }

// take returns a wait, or the time under which the units were taken, in microseconds of Redis' clock.
func (s *shared) take(ctx context.Context, key string, l Limit, ask want) (wait time.Duration, at int64, err error) {
	var us int64
	if l.counted() {
		us, err = countScript.Run(
			ctx, s.client, []string{s.key(key), s.key(key) + ":w"}, l.Window.Microseconds(), l.Rate, ask.n, ask.hold.Microseconds(), ask.behind, look, atOnce,
		).Int64()
	} else {
		us, err = takeScript.Run(ctx, s.client, []string{s.key(key)}, l.interval(), l.Burst, ask.n).Int64()
	}
	if err != nil {
		return 0, 0, fmt.Errorf("take from shared limit: %w", err)
	}
	if us < 0 {
		return 0, ask.hold.Microseconds() - us, nil
	}
	return time.Duration(us) * time.Microsecond, 0, nil
}

func (s *shared) settle(ctx context.Context, key string, l Limit, unused, used int, at int64) error {
	if err := settleScript.Run(ctx, s.client, []string{s.key(key), s.key(key) + ":w"}, unused, used, l.interval(), at).Err(); err != nil {
		return fmt.Errorf("settle with the shared limit: %w", err)
	}
	return nil
}

func (s *shared) block(ctx context.Context, key string, d time.Duration) error {
	if err := blockScript.Run(ctx, s.client, []string{s.key(key)}, d.Microseconds()).Err(); err != nil {
		return fmt.Errorf("block shared limit: %w", err)
	}
	return nil
}
