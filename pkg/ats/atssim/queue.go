package atssim

// ordered is what a queue holds: before says which of two comes first.
type ordered[T any] interface{ before(T) bool }

// queue is a binary heap: the first of its items comes out first. The zero value is empty.
type queue[T ordered[T]] []T

func (q *queue[T]) push(v T) {
	h := append(*q, v)
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].before(h[parent]) {
			break
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
	*q = h
}

// pop takes the first item of a queue that is not empty.
func (q *queue[T]) pop() T {
	h := *q
	first, last := h[0], len(h)-1
	h[0] = h[last]
	var none T
	h[last] = none // let go of what it holds
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(h) && h[child].before(h[least]) {
				least = child
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*q = h
	return first
}
