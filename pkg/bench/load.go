package bench

import (
	"cmp"
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/wire"
)

// Load is a stream of events. Equal loads give equal records.
type Load struct {
	Seed         uint64
	Applications int
	// Events are drawn from the applications at random; 0 gives each application its first Had events instead, in turn.
	Events int
	// Zipf is the exponent with which few applications draw most events, above 1; 0 draws all alike.
	Zipf float64
	// Duplicates and Late are the shares of events that are delivered twice, and after some that happened later.
	Duplicates, Late float64
	// Had is how many events each application has had before; Past says it of each by number and is moved on by Each.
	Had  int
	Past []uint32
	// End is when the last event happens, Span how long before it the first; 0 is 48 hours.
	End  time.Time
	Span time.Duration
}

// span is how much time the events take in the life of the applications: less than the default policy lets an
// application rest, or half the load would be about applications that are stuck.
const span = 48 * time.Hour

// before is the load that brings each application to Had events, ending where this one begins.
func (l Load) before() Load {
	return Load{Seed: l.Seed, Applications: l.Applications, Had: l.Had, End: l.End.Add(-span)}
}

// Each calls fn with every record in the order of its delivery, until fn returns false. Records are not used again.
func (l Load) Each(schemas *wire.Schemas, fn func(*kgo.Record) bool) {
	w := &writer{seed: l.Seed, schemas: schemas}
	if l.Events == 0 {
		l.inTurn(w, fn)
		return
	}
	rng := rand.New(rand.NewPCG(l.Seed, 1))
	draw := func() int { return rng.IntN(l.Applications) }
	if l.Zipf > 1 {
		z := rand.NewZipf(rng, l.Zipf, 1, uint64(l.Applications-1))
		draw = func() int { return int(z.Uint64()) }
	}
	had := l.Past
	if had == nil {
		had = l.past()
	}
	var waiting delayed
	took := cmp.Or(l.Span, span)
	start, step := l.End.Add(-took), float64(took)/float64(l.Events)
	for i := range l.Events {
		for len(waiting) > 0 && waiting[0].at <= i {
			if !fn(heap.Pop(&waiting).(held).rec) {
				return
			}
		}
		app := draw()
		rec := w.record(uint64(app), int(had[app]), start.Add(time.Duration(float64(i)*step)))
		had[app]++
		if rng.Float64() < l.Duplicates {
			again := *rec
			heap.Push(&waiting, held{i + 1 + rng.IntN(5_000), &again})
		}
		if rng.Float64() < l.Late {
			// Late enough for the application's next event to be there before it.
			heap.Push(&waiting, held{i + 1 + rng.IntN(min(2*l.Applications, l.Events/4+1)), rec})
			continue
		}
		if !fn(rec) {
			return
		}
	}
	for len(waiting) > 0 {
		if !fn(heap.Pop(&waiting).(held).rec) {
			return
		}
	}
}

// past is the Past of applications that have had Had events each.
func (l Load) past() []uint32 {
	return slices.Repeat([]uint32{uint32(l.Had)}, l.Applications)
}

func (l Load) inTurn(w *writer, fn func(*kgo.Record) bool) {
	const life = 6 * time.Hour
	for n := range l.Had {
		at := l.End.Add(-life).Add(life * time.Duration(n) / time.Duration(l.Had))
		for app := range l.Applications {
			if !fn(w.record(uint64(app), n, at.Add(time.Duration(app)*time.Microsecond))) {
				return
			}
		}
	}
}

// held is a record that is delivered before draw number at.
type held struct {
	at  int
	rec *kgo.Record
}

type delayed []held

func (d delayed) Len() int           { return len(d) }
func (d delayed) Less(i, j int) bool { return d[i].at < d[j].at }
func (d delayed) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *delayed) Push(x any)        { *d = append(*d, x.(held)) }
func (d *delayed) Pop() any {
	old := *d
	last := old[len(old)-1]
	*d = old[:len(old)-1]
	return last
}
