package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// outputs are the topics the reconciler writes to.
var outputs = []string{topics.HiringState, topics.HiringDecisions, topics.HiringConflicts, topics.ATSCommands}

// copyOf is the topic to which the copy writes what the reconciler wrote to topic.
func copyOf(topic string) string { return "concord.bench.copy." + topic }

func (b *Bench) copies() []string {
	names := make([]string, len(outputs))
	for i, t := range outputs {
		names[i] = copyOf(t)
	}
	return names
}

// Shape is what a reconciler wrote for its input: the copy writes as many records of the same sizes.
type Shape struct {
	Inputs  []string `json:"inputs"`
	Outputs []Output `json:"outputs"`
}

// Output is one topic of a shape.
type Output struct {
	Topic    string  `json:"topic"`
	PerInput float64 `json:"per_input"` // records
	Bytes    float64 `json:"bytes"`     // of a record: key, value and headers
	// Values are real ones, so that they compress as they do; the copy repeats them, beside the key of its input.
	Values [][]byte `json:"values"`
}

// samples is how many values of a topic the copy repeats: together more than what lz4 looks back on.
const samples = 8192

// shape reads everything the reconciler has committed on its outputs for n input records, and counts its reasons.
func (b *Bench) shape(ctx context.Context, n int64) (Shape, map[string]int64, error) {
	out, reasons := Shape{Inputs: inputs}, map[string]int64{}
	var decision wire.Decision
	for _, topic := range outputs {
		o := Output{Topic: copyOf(topic)}
		var records, bytes int64
		err := b.read(ctx, topic, func(rec *kgo.Record) {
			records++
			bytes += size(rec)
			if topic == topics.HiringDecisions && b.Schemas.DecodeLocal(rec.Value, &decision) == nil {
				reasons[decision.Reason.String()]++
			}
			if len(o.Values) < samples {
				o.Values = append(o.Values, append([]byte(nil), rec.Value...))
			}
		})
		if err != nil {
			return out, nil, err
		}
		if records == 0 {
			continue
		}
		o.PerInput, o.Bytes = float64(records)/float64(n), float64(bytes)/float64(records)
		out.Outputs = append(out.Outputs, o)
	}
	return out, reasons, nil
}

// read calls fn with every committed record of a topic.
func (b *Bench) read(ctx context.Context, topic string, fn func(*kgo.Record)) error {
	cl, err := b.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer cl.Close()
	ends, err := b.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list offsets: %w", err)
	}
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left++
		}
	})
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", topic, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if end, _ := ends.Lookup(topic, rec.Partition); rec.Offset == end.Offset-1 {
				left--
			}
			if !rec.Attrs.IsControl() {
				fn(rec)
			}
		})
	}
	return nil
}

func (s Shape) save(path string) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("save shape: %w", err)
	}
	return nil
}

// LoadShape reads a shape that a bench has saved.
func LoadShape(path string) (Shape, error) {
	var s Shape
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("load shape: %w", err)
	}
	return s, nil
}
