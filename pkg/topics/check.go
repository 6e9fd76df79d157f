package topics

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Finding is one way in which a cluster differs from what Concord needs.
type Finding struct {
	// Topic is the topic, or "" for the cluster.
	Topic string `json:"topic"`
	// Key is a topic setting, "partitions", "exists" or "transaction.version".
	Key  string `json:"key"`
	Got  string `json:"got"`
	Want string `json:"want"`
	// Fix says what to do, and what happens otherwise.
	Fix string `json:"fix"`
}

// String is one line: where, key, value, and the fix.
func (f Finding) String() string {
	where := "cluster"
	if f.Topic != "" {
		where = f.Topic
	}
	return fmt.Sprintf("%s: %s = %s, want %s: %s", where, f.Key, f.Got, f.Want, f.Fix)
}

// transactionVersion is the feature level of KIP-890, and its least version.
const (
	transactionVersion     = "transaction.version"
	leastTransactionLevel  = 2
	kafkaWithTheFeature    = "Kafka 4.0"
	fixPartitions          = "counts are fixed once data is there: delete the topic if it is empty and run `concord topics create`, or migrate"
	fixMissing             = "run `concord topics create`"
	fixSetting             = "%s; run `concord topics create --update`"
	fixTransactionVersions = "exactly-once needs it: upgrade to " + kafkaWithTheFeature +
		", then kafka-features.sh upgrade --feature transaction.version=2"
)

// Check compares a cluster with the table and explains each difference; none is an empty slice. Options.Partitions 0
// accepts any count as long as it is the same everywhere. The error is about asking, not about what was found.
func Check(ctx context.Context, cl *kgo.Client, o Options) ([]Finding, error) {
	findings, err := checkFeatures(ctx, cl)
	if err != nil {
		return nil, err
	}
	counts, err := partitions(ctx, cl)
	if err != nil {
		return nil, err
	}
	var there []Topic
	want := int(o.Partitions)
	for _, t := range table {
		got, ok := counts[t.Name]
		if !ok {
			findings = append(findings, Finding{t.Name, "exists", "false", "true", fixMissing})
			continue
		}
		there = append(there, t)
		if want == 0 {
			want = got
		}
		if got != want {
			findings = append(findings, Finding{t.Name, "partitions", strconv.Itoa(got), strconv.Itoa(want), fixPartitions})
		}
	}
	settings, err := checkSettings(ctx, kadm.NewClient(cl), there, o)
	if err != nil {
		return nil, err
	}
	return append(findings, settings...), nil
}

// Partitions returns the partition counts that topics of the table have on a cluster, each once, in ascending order. A
// topic that is not there, or may not be described, has none.
func Partitions(ctx context.Context, cl *kgo.Client) ([]int, error) {
	counts, err := partitions(ctx, cl)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, t := range table {
		if n, ok := counts[t.Name]; ok {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// partitions returns the partition count of every topic there is. It asks the cluster each time: the client's own
// metadata may be older than a topic created a moment ago.
func partitions(ctx context.Context, cl *kgo.Client) (map[string]int, error) {
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = nil // all
	response, err := request.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	out := map[string]int{}
	for _, t := range response.Topics {
		if t.Topic != nil && t.ErrorCode == 0 {
			out[*t.Topic] = len(t.Partitions)
		}
	}
	return out, nil
}

func checkSettings(ctx context.Context, adm *kadm.Client, there []Topic, o Options) ([]Finding, error) {
	if len(there) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(there))
	for _, t := range there {
		names = append(names, t.Name)
	}
	described, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topic configurations: %w", err)
	}
	var findings []Finding
	for _, t := range there {
		resource, err := described.On(t.Name, nil)
		if err == nil {
			err = resource.Err
		}
		if err != nil {
			return nil, fmt.Errorf("describe the configuration of %s: %w", t.Name, err)
		}
		values := map[string]string{}
		for _, c := range resource.Configs {
			values[c.Key] = c.MaybeValue()
		}
		for _, s := range t.Settings(o.Embedded) {
			if got := values[s.Key]; !s.met(got) {
				findings = append(findings, Finding{t.Name, s.Key, got, s.Value, fmt.Sprintf(fixSetting, s.Why)})
			}
		}
	}
	return findings, nil
}

// met says whether a value found is as good as the one wanted.
func (s Setting) met(got string) bool {
	if !s.AtLeast {
		return strings.EqualFold(got, s.Value)
	}
	have, err := strconv.ParseInt(got, 10, 64)
	if err != nil {
		return false
	}
	want, err := strconv.ParseInt(s.Value, 10, 64)
	if err != nil {
		return false
	}
	return have == -1 || (want != -1 && have >= want)
}

func checkFeatures(ctx context.Context, cl *kgo.Client) ([]Finding, error) {
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "concord", "1"
	response, err := request.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("ask the cluster for its features: %w", err)
	}
	got := "not finalized"
	for _, f := range response.FinalizedFeatures {
		if f.Name != transactionVersion {
			continue
		}
		if f.MaxVersionLevel >= leastTransactionLevel {
			return nil, nil
		}
		got = strconv.Itoa(int(f.MaxVersionLevel))
	}
	return []Finding{{"", transactionVersion, got, strconv.Itoa(leastTransactionLevel), fixTransactionVersions}}, nil
}
