package replay

import "github.com/concord-ats/concord/pkg/wire"

// batchSteps is how many steps are gathered before they are lived, application by application: applications do not concern
// each other, and what is lived at once is in the processor's cache.
const batchSteps = 16 << 10

// batch gathers steps. The zero batch is ready.
type batch struct {
	steps []queued
	lives []*life // that have a step, in the order of their first
}

// queued is a step that waits.
type queued struct {
	step
	record wire.Decision // of the step
	offset int64         // of the decision
	next   int           // of the same life, from 1; 0 = none
}

// room returns where the next step may be put.
func (b *batch) room() *queued {
	if len(b.steps) == cap(b.steps) {
		grown := make([]queued, len(b.steps), max(64, min(2*cap(b.steps), batchSteps)))
		copy(grown, b.steps)
		b.steps = grown
		for i := range b.steps {
			b.steps[i].decision = &b.steps[i].record
		}
	}
	q := &b.steps[:len(b.steps)+1][len(b.steps)]
	q.decision = &q.record
	return q
}

// again moves what was put into the room of a batch that has been emptied since into the room there is now.
func (b *batch) again(q *queued) {
	if room := b.room(); room != q {
		*room, *q = *q, *room // records are decoded into, so that both stay
		room.decision, q.decision = &room.record, &q.record
	}
}

// add takes what was put into the room as the next step of a life.
func (b *batch) add(l *life) {
	b.steps = b.steps[:len(b.steps)+1]
	at := len(b.steps)
	b.steps[at-1].next = 0
	if l.first == 0 {
		l.first = at
		b.lives = append(b.lives, l)
	} else {
		b.steps[l.last-1].next = at
	}
	l.last = at
}

func (b *batch) full() bool { return len(b.steps) >= batchSteps }

// live lives every step, those of one application one after the other, and empties the batch.
func (b *batch) live(do func(*life, *queued)) {
	for _, l := range b.lives {
		for at := l.first; at != 0; at = b.steps[at-1].next {
			do(l, &b.steps[at-1])
		}
		l.first, l.last = 0, 0
	}
	b.lives, b.steps = b.lives[:0], b.steps[:0]
}
