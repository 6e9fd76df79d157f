package deadletter

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bounds of what browsing keeps in memory.
const (
	DefaultLimit = 100
	MaxLimit     = 100_000
	maxGroups    = 10_000
)

// ErrNotFound reports coordinates at which no dead letter stands.
var ErrNotFound = errors.New("no dead letter there")

// Filter selects dead letters. Its zero value selects all.
type Filter struct {
	// Topics are topics of dead letters; empty means every topic ending in Suffix.
	Topics []string
	// Cause and Fingerprint, where set, must be equal.
	Cause, Fingerprint string
	// Since, where set, is the earliest time of dead-lettering.
	Since time.Time
	// Limit is how many letters List returns; zero means DefaultLimit, and it is never
	// more than MaxLimit.
	Limit int
}

// Match reports whether the filter selects a letter.
func (f Filter) Match(l *Letter) bool {
	return (f.Cause == "" || f.Cause == l.Cause) &&
		(f.Fingerprint == "" || f.Fingerprint == l.Fingerprint) &&
		!l.DeadAt.Before(f.Since)
}

// List returns the newest letters that the filter selects, oldest first, without their
// records. opts name the brokers and how to authenticate.
func List(ctx context.Context, opts []kgo.Opt, f Filter) ([]Letter, error) {
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	f.Limit = min(f.Limit, MaxLimit)
	var newest byAge
	err := each(ctx, opts, f, func(l Letter) error {
		l.Record = nil
		heap.Push(&newest, l)
		if len(newest) > f.Limit {
			heap.Pop(&newest)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(newest, compareAge)
	return newest, nil
}

// Group is a number of alike failures.
type Group struct {
	Topic       string    `json:"topic"`
	Cause       string    `json:"cause"`
	Error       string    `json:"error"`
	Fingerprint string    `json:"fingerprint"`
	Count       int64     `json:"count"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	// Example is the newest letter of the group.
	Example Coord `json:"example"`
}

// Summary counts the letters that the filter selects, by topic and fingerprint, most
// frequent first. Beyond 10,000 groups the rest is counted under the fingerprint "other".
// Limit is not regarded.
func Summary(ctx context.Context, opts []kgo.Opt, f Filter) ([]Group, error) {
	type key struct{ topic, fingerprint string }
	groups := make(map[key]*Group)
	err := each(ctx, opts, f, func(l Letter) error {
		k := key{l.At.Topic, l.Fingerprint}
		g := groups[k]
		if g == nil && len(groups) >= maxGroups {
			k = key{"", "other"}
			g = groups[k]
		}
		if g == nil {
			g = &Group{Topic: l.At.Topic, Cause: l.Cause, Error: l.Error, Fingerprint: k.fingerprint, First: l.DeadAt}
			if k.fingerprint == "other" {
				g.Topic, g.Cause, g.Error = "", "other", "other"
			}
			groups[k] = g
		}
		g.Count++
		if l.DeadAt.Before(g.First) {
			g.First = l.DeadAt
		}
		if !l.DeadAt.Before(g.Last) {
			g.Last, g.Example = l.DeadAt, l.At
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Group, 0, len(groups))
	for _, g := range groups {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return out, nil
}

// Get returns one letter with its record, or ErrNotFound.
func Get(ctx context.Context, opts []kgo.Opt, at Coord) (Letter, error) {
	letters, err := fetch(ctx, opts, []Coord{at})
	if err != nil {
		return Letter{}, err
	}
	l, ok := letters[at]
	if !ok {
		return Letter{}, fmt.Errorf("get %s: %w", at, ErrNotFound)
	}
	return l, nil
}

// Tail calls fn with every letter that the filter selects, as they come, from Since on or
// else from the end at the time of the call. It reads the topics that exist then. It ends
// with the error of fn, of the brokers, or of ctx.
func Tail(ctx context.Context, opts []kgo.Opt, f Filter, fn func(Letter) error) error {
	adm, err := admin(opts)
	if err != nil {
		return err
	}
	topics, err := topicsOfLetters(ctx, adm, f.Topics)
	adm.Close()
	if err != nil {
		return err
	}
	if len(topics) == 0 {
		return fmt.Errorf("tail: no topic ending in %s: %w", Suffix, ErrNotFound)
	}
	from := kgo.NewOffset().AtEnd()
	if !f.Since.IsZero() {
		from = kgo.NewOffset().AfterMilli(f.Since.UnixMilli())
	}
	cl, err := kgo.NewClient(append(slices.Clone(opts),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxBytes(16<<20),
		kgo.MaxConcurrentFetches(1),
	)...)
	if err != nil {
		return fmt.Errorf("open reader: %w", err)
	}
	defer cl.Close()
	for {
		fetches := cl.PollRecords(ctx, 1000)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("tail: %w", err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			l := Read(it.Next())
			if !f.Match(&l) {
				continue
			}
			if err := fn(l); err != nil {
				return err
			}
		}
	}
}

// each calls fn with every letter the filter selects that stood there at the call.
func each(ctx context.Context, opts []kgo.Opt, f Filter, fn func(Letter) error) error {
	adm, err := admin(opts)
	if err != nil {
		return err
	}
	defer adm.Close()
	topics, err := topicsOfLetters(ctx, adm, f.Topics)
	if err != nil {
		return err
	}
	s, err := extent(ctx, adm, topics, f.Since)
	if err != nil {
		return err
	}
	return scan(ctx, opts, s, func(rec *kgo.Record) error {
		l := Read(rec)
		if !f.Match(&l) {
			return nil
		}
		return fn(l)
	})
}

// fetch returns those of the letters that exist.
func fetch(ctx context.Context, opts []kgo.Opt, at []Coord) (map[Coord]Letter, error) {
	adm, err := admin(opts)
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	wanted := make(map[Coord]bool, len(at))
	want := make(spans)
	var topics []string
	for _, c := range at {
		wanted[c] = true
		if want[c.Topic] == nil {
			topics = append(topics, c.Topic)
		}
		sp, ok := want[c.Topic][c.Partition]
		if !ok {
			sp = span{c.Offset, c.Offset + 1}
		}
		want.set(c.Topic, c.Partition, span{min(sp.from, c.Offset), max(sp.to, c.Offset+1)})
	}
	if topics, err = topicsOfLetters(ctx, adm, topics); err != nil {
		return nil, err
	}
	there, err := extent(ctx, adm, topics, time.Time{})
	if err != nil {
		return nil, err
	}
	read := make(spans)
	for topic, partitions := range want {
		for p, sp := range partitions {
			is := there[topic][p]
			// To is one past the end of the wanted stretch at least once a record stands
			// there; up to the end of the log the reader cannot miss its stop.
			read.set(topic, p, span{max(sp.from, is.from), min(sp.to, is.to)})
		}
	}
	found := make(map[Coord]Letter, len(at))
	err = scan(ctx, opts, read, func(rec *kgo.Record) error {
		if c := (Coord{rec.Topic, rec.Partition, rec.Offset}); wanted[c] {
			found[c] = Read(rec)
		}
		return nil
	})
	return found, err
}

func admin(opts []kgo.Opt) (*kadm.Client, error) {
	adm, err := kadm.NewOptClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("open client: %w", err)
	}
	return adm, nil
}

// byAge is a heap with the oldest letter on top.
type byAge []Letter

func compareAge(a, b Letter) int {
	return cmp.Or(a.DeadAt.Compare(b.DeadAt), cmp.Compare(a.At.Topic, b.At.Topic),
		cmp.Compare(a.At.Partition, b.At.Partition), cmp.Compare(a.At.Offset, b.At.Offset))
}

// Len implements heap.Interface.
func (h byAge) Len() int { return len(h) }

// Less implements heap.Interface.
func (h byAge) Less(i, j int) bool { return compareAge(h[i], h[j]) < 0 }

// Swap implements heap.Interface.
func (h byAge) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *byAge) Push(x any) { *h = append(*h, x.(Letter)) }

// Pop implements heap.Interface.
func (h *byAge) Pop() any {
	old := *h
	l := old[len(old)-1]
	*h = old[:len(old)-1]
	return l
}
