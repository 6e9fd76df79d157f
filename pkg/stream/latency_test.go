package stream

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestRefusedRecordsAreSentAgainSoon: a real coordinator that has not finished with a transaction refuses the first
// records of the next. That must cost moments, not the seconds after which a client may ask for the metadata by default.
func TestRefusedRecordsAreSentAgainSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run(w.config(w.store()), &counter{})
	w.produce(&kgo.Record{Topic: topicA, Key: []byte("key"), Value: []byte("x")})
	w.read(topicOut, 1) // the metadata of every topic has just been asked for
	h := w.kafka.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.ConcurrentTransactions, Count: 1, When: ours})
	sent := time.Now()
	w.produce(&kgo.Record{Topic: topicA, Key: []byte("key"), Value: []byte("x")})
	w.read(topicOut, 2)
	if took := time.Since(sent); took > 2*time.Second {
		t.Errorf("a record that was refused once was committed after %v", took)
	}
	if h.Hits() != 1 {
		t.Errorf("%d requests were refused, want 1", h.Hits())
	}
}
