package kpi

import (
	"container/heap"

	"github.com/concord-ats/concord/pkg/wire"
)

// waiting is a heap of the applications that are or were behind, longest first. One that no longer waits as the heap has it
// is dropped when it comes to the top, so the oldest costs no walk over all.
type waiting []waiter

type waiter struct {
	app   string
	since wire.Micros
}

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].since < w[j].since }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)        { *w = append(*w, x.(waiter)) }
func (w *waiting) Pop() any {
	old := *w
	last := len(old) - 1
	x := old[last]
	old[last] = waiter{} // let go of its key
	*w = old[:last]
	return x
}

// wait notes that an application is behind.
func (pt *partition) wait(app string, b behind) {
	pt.behind[app] = b
	w := pt.longest[b.dims]
	if w == nil {
		w = new(waiting)
		pt.longest[b.dims] = w
	}
	heap.Push(w, waiter{app, b.since})
	if len(*w) > 2*len(pt.behind)+64 {
		pt.tidy(b.dims, w)
	}
}

// tidy drops everyone who no longer waits, so that the heap is no larger than the set it is about.
func (pt *partition) tidy(d dims, w *waiting) {
	kept := (*w)[:0]
	seen := make(map[string]bool, len(pt.behind))
	for _, x := range *w {
		if !seen[x.app] && pt.behind[x.app] == (behind{d, x.since}) {
			seen[x.app] = true
			kept = append(kept, x)
		}
	}
	clear((*w)[len(kept):])
	*w = kept
	heap.Init(w)
}

// oldest returns since when the longest-waiting application of d is behind; 0 = none is.
func (pt *partition) oldest(d dims) wire.Micros {
	w := pt.longest[d]
	if w == nil {
		return 0
	}
	for len(*w) > 0 {
		top := (*w)[0]
		if pt.behind[top.app] == (behind{d, top.since}) {
			return top.since
		}
		heap.Pop(w)
	}
	delete(pt.longest, d)
	return 0
}
