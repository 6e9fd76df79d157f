package topics

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

func cluster(t *testing.T, opts ...kfake.Opt) *kgo.Client {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestCreateThenCheckFindsNothing(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"a cluster": {Partitions: 3, Replication: 1},
		"embedded":  {Partitions: 3, Replication: 1, Embedded: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cl := cluster(t)
			findings, err := Check(t.Context(), cl, o)
			if err != nil || len(findings) != len(table) {
				t.Fatalf("an empty cluster: %d findings, %v, want one a topic", len(findings), err)
			}
			for range 2 { // the second time there is nothing to do
				if _, err := Create(t.Context(), cl, o, false); err != nil {
					t.Fatal(err)
				}
				if findings, err = Check(t.Context(), cl, o); err != nil || len(findings) != 0 {
					t.Fatalf("after create: %v, %v", findings, err)
				}
			}
		})
	}
}

// A real cluster answers a create before each broker lists the topic: what runs next must not find it missing.
func TestCreateWaitsUntilTheTopicsAreListed(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	stale := 3 // answers about all topics that still know none: the one before creating, and two after
	c.ControlKey(kmsg.Metadata.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if request.(*kmsg.MetadataRequest).Topics != nil || stale == 0 {
			return nil, nil, false
		}
		stale--
		return request.ResponseKind(), nil, true
	})
	o := Options{Partitions: 1, Replication: 1}
	if _, err := Create(t.Context(), cl, o, false); err != nil {
		t.Fatal(err)
	}
	if findings, err := Check(t.Context(), cl, o); err != nil || len(findings) != 0 {
		t.Errorf("just after create: %v, %v", findings, err)
	}
}

func TestCheckExplainsEachMismatch(t *testing.T) {
	t.Parallel()
	o := Options{Partitions: 3, Replication: 1}
	cl := cluster(t)
	adm := kadm.NewClient(cl)
	// The state as a broker's own defaults would create it, with another count.
	if _, err := adm.CreateTopic(t.Context(), 5, 1, nil, HiringState); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopic(t.Context(), 3, 1, map[string]*string{
		"cleanup.policy": kadm.StringPtr("compact"), "retention.ms": kadm.StringPtr("-1"),
		"max.message.bytes": kadm.StringPtr("9000000"), "message.timestamp.type": kadm.StringPtr("LogAppendTime"),
	}, ATSChanges); err != nil {
		t.Fatal(err)
	}
	results, err := Create(t.Context(), cl, o, false)
	if err == nil || !strings.Contains(err.Error(), "topic "+HiringState+": has 5 partitions, want 3: ") {
		t.Errorf("create says %v, want that one has another partition count", err)
	}
	for _, r := range results {
		if (r.Action == Differs) != (r.Topic == HiringState) || (r.Error != "") != (r.Action == Differs) {
			t.Errorf("create: %+v", r)
		}
	}
	if counts, err := Partitions(t.Context(), cl); err != nil || !slices.Equal(counts, []int{3, 5}) {
		t.Errorf("partitions %v, %v, want 3 and 5", counts, err)
	}
	findings, err := Check(t.Context(), cl, o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range findings {
		if f.Fix == "" {
			t.Errorf("%s has no fix", f)
		}
		got = append(got, f.Topic+" "+f.Key+" "+f.Got+" "+f.Want)
	}
	slices.Sort(got)
	want := []string{
		"ats.changes cleanup.policy compact delete",
		"hiring.state cleanup.policy delete compact",
		"hiring.state delete.retention.ms 86400000 604800000",
		"hiring.state max.message.bytes 1048588 2097152",
		"hiring.state partitions 5 3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("findings\n%q\nwant\n%q", got, want)
	}

	results, err = Create(t.Context(), cl, o, true)
	if err == nil || strings.Count(err.Error(), "topic ") != 2 { // the fix speaks of one too
		t.Errorf("update says %v, want the one partition count alone", err)
	}
	if i := slices.IndexFunc(results, func(r Result) bool { return r.Topic == HiringState }); results[i].Action != Updated {
		t.Errorf("%s: %s, want it updated", HiringState, results[i].Action)
	}
	findings, err = Check(t.Context(), cl, o)
	if err != nil || len(findings) != 1 || findings[0].Key != "partitions" {
		t.Errorf("after update: %v, %v, want only the partition count left", findings, err)
	}
}

func TestPartitionCountsMustAgreeWithEachOther(t *testing.T) {
	t.Parallel()
	cl := cluster(t)
	adm := kadm.NewClient(cl)
	if _, err := Create(t.Context(), cl, Options{Partitions: 4, Replication: 1}, false); err != nil {
		t.Fatal(err)
	}
	if findings, err := Check(t.Context(), cl, Options{}); err != nil || len(findings) != 0 {
		t.Fatalf("any equal count: %v, %v", findings, err)
	}
	if _, err := adm.CreatePartitions(t.Context(), 1, ATSOutcomes); err != nil {
		t.Fatal(err)
	}
	findings, err := Check(t.Context(), cl, Options{})
	if err != nil || len(findings) != 1 || findings[0].Topic != ATSOutcomes {
		t.Errorf("one grown topic: %v, %v", findings, err)
	}
}

func TestAnOldClusterIsNamed(t *testing.T) {
	t.Parallel()
	cl := cluster(t, kfake.MaxVersions(kversion.V3_9_0()))
	o := Options{Partitions: 1, Replication: 1}
	if _, err := Create(t.Context(), cl, o, false); err != nil {
		t.Fatal(err)
	}
	findings, err := Check(t.Context(), cl, o)
	if err != nil || len(findings) != 1 || findings[0].Key != transactionVersion || findings[0].Topic != "" {
		t.Errorf("a cluster before KIP-890: %v, %v, want one finding about %s", findings, err, transactionVersion)
	}
}

func TestReplicasBeyondTheBrokersAreExplained(t *testing.T) {
	t.Parallel()
	results, err := Create(t.Context(), cluster(t), Options{Partitions: 1, Replication: 3}, false)
	if !errors.Is(err, kerr.InvalidReplicationFactor) || !strings.Contains(err.Error(), "kafka.replication") {
		t.Errorf("Create = %v, want it to name kafka.replication", err)
	}
	if len(results) != len(table) || results[0].Action != Failed {
		t.Errorf("results %v, want one failure a topic", results)
	}
}
