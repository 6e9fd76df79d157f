package reconciler

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/bench"
	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/policy"
	"github.com/concord-ats/concord/pkg/wire"
)

// sink takes outputs and forgets them.
type sink struct {
	rec     kgo.Record
	kept    []byte
	records int
	bytes   int
}

func (s *sink) Keep(b []byte) []byte {
	s.kept = append(s.kept[:0], b...)
	return s.kept
}

func (s *sink) Record() *kgo.Record {
	s.rec = kgo.Record{}
	return &s.rec
}

func (s *sink) Produce(rec *kgo.Record) {
	s.records++
	s.bytes += len(rec.Key) + len(rec.Value)
}

// BenchmarkEvent measures what an event costs between its bytes and those of what follows from it, under the full default
// policy, with the load of `concord bench`: no Kafka, no store, no dedupe net. In the uneven run the vendor's events come
// some thousand events after those of the ATS, so that every other one is late.
func BenchmarkEvent(b *testing.B) {
	bundle, err := policy.Compile(policy.Default())
	if err != nil {
		b.Fatal(err)
	}
	rules := &hiring.Rules{Bundles: []*hiring.Bundle{bundle}, Bounds: hiring.DefaultBounds()}
	schemas, err := wire.Open(wire.Config{})
	if err != nil {
		b.Fatal(err)
	}
	const partitions = 12
	r := newReader(schemas, rules, partitions)
	load := bench.Load{Seed: 1, Applications: 5_000, Events: 20_000, Duplicates: 0.03, Late: 0.02, End: time.Now()}
	var even, ahead, behind []*kgo.Record
	load.Each(schemas, func(rec *kgo.Record) bool {
		rec.Timestamp = load.End
		rec.Partition = int32(r.keyed.Partition(rec, partitions))
		even = append(even, rec)
		if rec.Topic == TopicScreening {
			behind = append(behind, rec)
		} else {
			ahead = append(ahead, rec)
		}
		return true
	})
	var uneven []*kgo.Record
	lag := len(ahead) / 2
	uneven = append(uneven, ahead[:lag]...)
	for ahead = ahead[lag:]; len(ahead)+len(behind) > 0; {
		if len(ahead) > 0 {
			uneven, ahead = append(uneven, ahead[0]), ahead[1:]
		}
		if len(behind) > 0 {
			uneven, behind = append(uneven, behind[0]), behind[1:]
		}
	}
	for _, run := range []struct {
		name string
		recs []*kgo.Record
	}{{"even", even}, {"uneven", uneven}} {
		b.Run(run.name, func(b *testing.B) {
			w := newWriter(schemas)
			var e hiring.Event
			var out sink
			states, sum, revised := map[string]*cell{}, 0, 0
			now := hiring.Micros(load.End.UnixMicro())
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n == len(run.recs) {
					clear(states)
					n = 0
				}
				rec := run.recs[n]
				n++
				app, err := r.read(b.Context(), rec, &e)
				if err != nil {
					b.Fatal(err)
				}
				prior, ok := states[app]
				if !ok {
					prior = new(cell)
				}
				was, err := w.open(app, prior)
				if err != nil {
					b.Fatal(err)
				}
				d, next := w.decide(rules, was, prior, &e, now)
				if err := w.decision(&out, prior, next, &e, &d, rec); err != nil {
					b.Fatal(err)
				}
				states[app] = next
				sum += len(next.value)
				if d.Reason == hiring.ReasonRevised || d.Reason == hiring.ReasonLate {
					revised++
				}
			}
			b.ReportMetric(float64(sum)/float64(b.N), "B/state")
			b.ReportMetric(float64(out.bytes)/float64(b.N), "B/outputs")
			b.ReportMetric(100*float64(revised)/float64(b.N), "%late")
		})
	}
}
