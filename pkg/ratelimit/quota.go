package ratelimit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// quota counts the units of one key that a calendar day has, UTC, by Redis' clock. Where Redis is away a process takes no more
// than its share of what was left when it last answered, and tells it when it is back: until all have, one may take what
// another took. What it took itself it knows in any case, so that a Redis that comes back empty gives no process a second day;
// what others took there after it last asked may then go twice.
// Safe for concurrent use.
type quota struct {
	limiter *Limiter
	key     string

	mu    sync.Mutex // also over a call to Redis, so that its answers are in order
	day   int64      // since 1970
	own   int64      // taken by this process
	base  int64      // taken by all, as Redis last said
	alone int64      // taken since, without Redis; given back there, below zero
	away  bool       // Redis has not answered since
}

const secondsOfDay = int64(24 * time.Hour / time.Second)

// quotaScript counts units of the day if so many and keep more are left; units that were taken on a day it ends instead,
// as settle says. It returns the day, what is taken of it, what it added to that, and the wait in microseconds.
var quotaScript = redis.NewScript(`
local time = redis.call('TIME')
local day = math.floor(tonumber(time[1]) / 86400)
local daily, n, keep, on, unused, used = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local cell = redis.call('HMGET', KEYS[1], 'd', 'n')
local taken, wait = 0, 0
if tonumber(cell[1] or '-1') == day then taken = tonumber(cell[2]) end
if tonumber(ARGV[7]) == day then taken = math.max(taken, tonumber(ARGV[8])) + tonumber(ARGV[9]) end
if on == day then n = -unused elseif on > 0 then n = used
elseif taken + n + keep > daily then
  n, wait = 0, (86400 - tonumber(time[1]) % 86400) * 1000000 - tonumber(time[2])
end
redis.call('HSET', KEYS[1], 'd', day, 'n', taken + n)
redis.call('PEXPIRE', KEYS[1], 172800000)
return {day, taken + n, n, wait}
`)

// take takes n units if keep more are left after them; else the wait is that until the day ends.
func (q *quota) take(ctx context.Context, n, keep int) (wait time.Duration, day int64, err error) {
	return q.count(ctx, n, keep, 0, 0, 0)
}

// settle ends units that were taken on a day: unused ones go back, used ones are also of the next day where that has begun, as
// the server may have counted them then.
func (q *quota) settle(ctx context.Context, unused, used int, on int64) {
	if unused == 0 && on == q.today() {
		return
	}
	_, _, _ = q.count(ctx, 0, 0, on, unused, used) // an error is that of ctx: they stay taken
}

func (q *quota) today() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return max(q.day, q.limiter.cfg.Now().Unix()/secondsOfDay)
}

// left is what the day has left, as this process knows.
func (q *quota) left() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.day < q.limiter.cfg.Now().Unix()/secondsOfDay {
		return q.limiter.cfg.Daily
	}
	return max(0, q.limiter.cfg.Daily-int(q.base+q.alone))
}

// count is the script's call, or what it does done here where Redis is not to be had.
func (q *quota) count(ctx context.Context, n, keep int, on int64, unused, used int) (wait time.Duration, day int64, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.limiter
	if l.shared != nil {
		known := q.own
		if q.away {
			known = q.base
		}
		var said []int64
		_, ok, err := l.ask(ctx, func(ctx context.Context) (_ time.Duration, err error) {
			said, err = l.shared.count(ctx, q.key, l.cfg.Daily, n, keep, on, unused, used, q.day, known, q.alone)
			return 0, err
		})
		if err != nil {
			return 0, 0, err
		}
		if ok {
			q.roll(said[0])
			q.base, q.alone, q.away = said[1], 0, false
			q.own += said[2]
			return time.Duration(said[3]) * time.Microsecond, q.day, nil
		}
		q.away = true
	}
	now := l.cfg.Now()
	q.roll(max(q.day, now.Unix()/secondsOfDay))
	add := int64(n)
	switch {
	case on == q.day:
		add = -int64(unused)
	case on > 0:
		add = int64(used)
	case q.alone+add > (int64(l.cfg.Daily-keep)-q.base)/int64(l.cfg.Processes):
		return time.Unix((q.day+1)*secondsOfDay, 0).Sub(now), q.day, nil
	}
	q.alone += add
	q.own += add
	return 0, q.day, nil
}

// roll begins a day.
func (q *quota) roll(day int64) {
	if day != q.day {
		q.day, q.own, q.base, q.alone = day, 0, 0, 0
	}
}

// count counts units of a day. What the process knows of a day it took without Redis is brought along.
func (s *shared) count(ctx context.Context, key string, daily, n, keep int, on int64, unused, used int, day, known, alone int64) ([]int64, error) {
	said, err := quotaScript.Run(ctx, s.client, []string{s.key(key) + ":d"}, daily, n, keep, on, unused, used, day, known, alone).Int64Slice()
	if err == nil && len(said) != 4 {
		err = fmt.Errorf("%d numbers instead of 4", len(said))
	}
	if err != nil {
		return nil, fmt.Errorf("count the day's quota: %w", err)
	}
	return said, nil
}
