package audit

import "testing"

// A share is judged with the margin that chance has at that size, and is still missed where there is none of it.
func TestCertain(t *testing.T) {
	for _, c := range []struct{ n, percent, want int }{{0, 10, 0}, {1540, 10, 118}, {1540, 2, 14}, {100_000, 10, 9715}} {
		if got := certain(c.n, c.percent); got != c.want {
			t.Errorf("of %d deliveries at %d%%: got %d, want %d", c.n, c.percent, got, c.want)
		}
	}
}
