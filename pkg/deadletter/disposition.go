package deadletter

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// DispositionsTopic records what became of dead letters. Compacted, keyed by the letter's
// topic/partition/offset, values in JSON; one partition is enough.
const DispositionsTopic = "dlq.dispositions"

// Disposition is what became of a dead letter.
type Disposition struct {
	// Action is "replayed".
	Action string `json:"action"`
	// TopicID is the id of the topic the letter stood on. A topic made anew under the
	// same name counts its offsets from zero again, so a disposition with another id
	// speaks of another letter.
	TopicID string `json:"topic_id"`
	// AtUS is when it was recorded, in microseconds since the epoch.
	AtUS int64 `json:"at_us"`
	// To is where the replayed record stands.
	To Coord `json:"to"`
}

// ActionReplayed is the action of a letter that was produced to its source topic again.
const ActionReplayed = "replayed"

// Dispositions returns what is recorded of the given letters. Letters with no disposition
// are not in the map. It reads the whole topic and keeps only what was asked for.
func Dispositions(ctx context.Context, opts []kgo.Opt, at []Coord) (map[Coord]Disposition, error) {
	adm, err := admin(opts)
	if err != nil {
		return nil, err
	}
	defer adm.Close()
	ids, err := topicIDs(ctx, adm, at)
	if err != nil {
		return nil, err
	}
	return dispositions(ctx, opts, adm, at, ids)
}

func dispositions(ctx context.Context, opts []kgo.Opt, adm *kadm.Client, at []Coord, ids map[string]string) (map[Coord]Disposition, error) {
	wanted := make(map[string]Coord, len(at))
	for _, c := range at {
		wanted[c.String()] = c
	}
	s, err := extent(ctx, adm, []string{DispositionsTopic}, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", DispositionsTopic, err)
	}
	found := make(map[Coord]Disposition)
	err = scan(ctx, opts, s, func(rec *kgo.Record) error {
		c, ok := wanted[string(rec.Key)]
		if !ok {
			return nil
		}
		if rec.Value == nil {
			delete(found, c)
			return nil
		}
		var d Disposition
		if err := json.Unmarshal(rec.Value, &d); err != nil {
			return fmt.Errorf("read disposition of %s: %w", c, err)
		}
		if d.TopicID == ids[c.Topic] {
			found[c] = d
		}
		return nil
	})
	return found, err
}

// topicIDs returns the ids of the letters' topics; a topic that does not exist has none.
func topicIDs(ctx context.Context, adm *kadm.Client, at []Coord) (map[string]string, error) {
	ids := make(map[string]string)
	var topics []string
	for _, c := range at {
		if !slices.Contains(topics, c.Topic) {
			topics = append(topics, c.Topic)
		}
	}
	if len(topics) == 0 {
		return ids, nil
	}
	details, err := adm.ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	for _, d := range details.Sorted() {
		if d.Err == nil {
			ids[d.Topic] = d.ID.String()
		}
	}
	return ids, nil
}
