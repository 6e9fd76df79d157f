package topics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options say how the topics are to be.
type Options struct {
	Partitions  int32
	Replication int16
	// Embedded is for the broker inside this process; see [Topic.Settings].
	Embedded bool
}

// Action is what Create did about one topic.
type Action string

// The actions.
const (
	Created   Action = "created"
	Unchanged Action = "exists"
	Updated   Action = "updated"
	Differs   Action = "differs" // it exists, with another partition count
	Failed    Action = "failed"
)

// Result is the outcome for one topic.
type Result struct {
	Topic  string `json:"topic"`
	Action Action `json:"action"`
	Error  string `json:"error,omitempty"`
}

// How long the brokers may take to hear of a new topic, and how often they are asked.
const (
	listTimeout  = 30 * time.Second
	listInterval = 50 * time.Millisecond
)

// Create creates the topics of the table that are missing. With update it also gives existing topics the settings
// they lack; it never changes a partition count: a topic that exists with another one is left alone and told. It returns
// once the cluster lists what was created. There is one result a topic, in the order of the table; the error is about the
// cluster as a whole, or says which topics failed or differ.
func Create(ctx context.Context, cl *kgo.Client, o Options, update bool) ([]Result, error) {
	existing, err := partitions(ctx, cl)
	if err != nil {
		return nil, err
	}
	adm := kadm.NewClient(cl)
	var out []Result
	var failed []error
	var created []string
	for _, t := range table {
		r := Result{Topic: t.Name, Action: Unchanged}
		var err error
		got, there := existing[t.Name]
		switch {
		case !there:
			r.Action = Created
			if err = create(ctx, adm, t, o); errors.Is(err, kerr.TopicAlreadyExists) {
				r.Action, err = Unchanged, nil
			}
		case update:
			var lacking []Finding
			if lacking, err = checkSettings(ctx, adm, []Topic{t}, o); err == nil && len(lacking) > 0 {
				r.Action = Updated
				err = alter(ctx, adm, lacking)
			}
		}
		if err != nil {
			r.Action = Failed
		} else if there && o.Partitions != 0 && got != int(o.Partitions) {
			err = fmt.Errorf("has %d partitions, want %d: %s", got, o.Partitions, fixPartitions)
			if r.Action == Unchanged {
				r.Action = Differs
			}
		}
		if err != nil {
			r.Error = err.Error()
			failed = append(failed, fmt.Errorf("topic %s: %w", t.Name, err))
		}
		if r.Action == Created {
			created = append(created, t.Name)
		}
		out = append(out, r)
	}
	if err := listed(ctx, cl, created); err != nil {
		failed = append(failed, err)
	}
	return out, errors.Join(failed...)
}

// listed waits until the cluster lists the topics: the controller answers before the brokers have heard of them, and a
// processor that starts in between finds topics missing.
func listed(ctx context.Context, cl *kgo.Client, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	for {
		there, err := partitions(ctx, cl)
		if err != nil {
			return err
		}
		missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return there[name] > 0 })
		if len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("created, and still not listed by the cluster: %s: %w", strings.Join(missing, ", "), ctx.Err())
		case <-time.After(listInterval):
		}
	}
}

func create(ctx context.Context, adm *kadm.Client, t Topic, o Options) error {
	configs := map[string]*string{}
	for _, s := range t.Settings(o.Embedded) {
		configs[s.Key] = kadm.StringPtr(s.Value)
	}
	_, err := adm.CreateTopic(ctx, o.Partitions, o.Replication, configs, t.Name)
	switch {
	case errors.Is(err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("%d replicas need as many brokers; set kafka.replication: %w", o.Replication, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("the user may not create it; grant Create on the topic: %w", err)
	}
	return err
}

func alter(ctx context.Context, adm *kadm.Client, lacking []Finding) error {
	for _, f := range lacking {
		responses, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{
			{Op: kadm.SetConfig, Name: f.Key, Value: kadm.StringPtr(f.Want)},
		}, f.Topic)
		if err != nil {
			return fmt.Errorf("set %s: %w", f.Key, err)
		}
		for _, r := range responses {
			if r.Err != nil {
				return fmt.Errorf("set %s: %w", f.Key, r.Err)
			}
		}
	}
	return nil
}
