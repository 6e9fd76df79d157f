package main

import (
	"fmt"
	"strings"
	"time"
)

// bar is a progress bar on stderr; without a terminal it shows nothing.
type bar struct {
	a     *app
	what  string
	began time.Time
	drawn time.Time
}

func (a *app) bar(what string) *bar {
	b := &bar{a: a, what: what, began: time.Now()}
	if !a.terminal(a.stderr) {
		b.a = nil
	}
	return b
}

// barWidth is how many characters the bar itself takes.
const barWidth = 32

// show draws the bar at a part from 0 to 1, some times a second.
func (b *bar) show(part float64) {
	if b.a == nil || time.Since(b.drawn) < 100*time.Millisecond {
		return
	}
	b.drawn = time.Now()
	full := int(part * barWidth)
	left := ""
	if spent := time.Since(b.began); part > 0.01 && spent > time.Second {
		left = "  " + time.Duration(float64(spent)*(1-part)/part).Round(time.Second).String() + " left"
	}
	fmt.Fprintf(b.a.stderr, "\r\x1b[K%s  [%s%s] %3.0f %%%s", b.what, strings.Repeat("█", full), strings.Repeat("·", barWidth-full), 100*part, left)
}

// count draws no bar but what there is to say, where nobody knows the end.
func (b *bar) count() {
	if b.a == nil || time.Since(b.drawn) < 100*time.Millisecond {
		return
	}
	b.drawn = time.Now()
	fmt.Fprintf(b.a.stderr, "\r\x1b[K%s  %s", b.what, time.Since(b.began).Round(time.Second))
}

// done takes the bar away.
func (b *bar) done() {
	if b.a != nil && !b.drawn.IsZero() {
		fmt.Fprint(b.a.stderr, "\r\x1b[K")
	}
}
