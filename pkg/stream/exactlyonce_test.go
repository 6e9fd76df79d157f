package stream

import (
	"testing"
)

func TestCountsExactlyOnce(t *testing.T) {
	w := newWorld(t)
	db := w.store()
	want := w.send(seeded(t), 50, 2000)
	run := w.run(w.config(db), &counter{})
	w.read(topicOut, 2000)
	run.ready()
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	closeStore(t, db)
	w.check(want)
}
