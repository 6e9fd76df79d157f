package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// result is what a call of the program left behind.
type result struct {
	code           int
	stdout, stderr string
}

// concord runs the program in this process, with the environment given and nothing else.
func concord(t *testing.T, env []string, stdin string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := run(t.Context(), args, env, strings.NewReader(stdin), &stdout, &stderr)
	return result{c, stdout.String(), stderr.String()}
}

func cluster(t *testing.T) (string, *kgo.Client) {
	t.Helper()
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
	return strings.Join(c.ListenAddrs(), ","), cl
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("kafka: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		env    []string
		want   int
		stderr string
	}{
		"help":                   {args: []string{"--help"}, want: exitOK},
		"version":                {args: []string{"version"}, want: exitOK},
		"completion":             {args: []string{"completion", "bash"}, want: exitOK},
		"unknown flag":           {args: []string{"--colour"}, want: exitUsage, stderr: "unknown flag: --colour"},
		"unknown command":        {args: []string{"tpics"}, want: exitUsage, stderr: `unknown command "tpics"`},
		"unknown subcommand":     {args: []string{"topics", "crate"}, want: exitUsage, stderr: `unknown command "crate"`},
		"argument too many":      {args: []string{"version", "now"}, want: exitUsage, stderr: `"now"`},
		"--set without value":    {args: []string{"config", "show", "--set", "kafka.brokers"}, want: exitUsage, stderr: "give key=value"},
		"wrong environment":      {args: []string{"config", "show"}, env: []string{"CONCORD_LOG_LEVEL=loud"}, want: exitUsage, stderr: "log.level = loud"},
		"configuration missing":  {args: []string{"config", "show", "--config", "/does/not/exist"}, want: exitUsage, stderr: "/does/not/exist"},
		"configuration no YAML":  {args: []string{"config", "show"}, env: []string{"CONCORD_CONFIG=" + broken}, want: exitUsage, stderr: broken},
		"nobody at the brokers":  {args: []string{"topics", "check", "--brokers", "127.0.0.1:1", "--start-timeout", "1s"}, want: exitStart, stderr: "waiting for kafka"},
		"all faults of one call": {args: []string{"topics", "check", "--log-level", "loud", "--start-timeout", "soon"}, want: exitUsage, stderr: "2 faults"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := concord(t, c.env, "", c.args...)
			if got.code != c.want {
				t.Errorf("exit code %d, want %d\n%s", got.code, c.want, got.stderr)
			}
			if !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("stderr does not say %q:\n%s", c.stderr, got.stderr)
			}
			if c.want != exitOK && got.stdout != "" {
				t.Errorf("a failed call wrote data: %s", got.stdout)
			}
		})
	}
}

func TestErrorsHaveTheirCode(t *testing.T) {
	t.Parallel()
	for want, errs := range map[int][]error{
		exitOK:      {nil},
		exitFailure: {errors.New("disk full"), errFindings},
		exitRefused: {errRefused, stream.ErrTopicsMissing, stream.ErrPartitionCount, stream.ErrOldBroker},
		exitStart:   {errStartTimeout, stream.ErrStartTimeout},
		exitFenced:  {stream.ErrFenced, store.ErrLocked},
	} {
		for _, err := range errs {
			if err != nil {
				err = fmt.Errorf("role reconciler: %w", err)
			}
			if got := code(err); got != want {
				t.Errorf("code(%v) = %d, want %d", err, got, want)
			}
		}
	}
}

func TestConfigShowPrintsWhereValuesComeFromAndNoSecret(t *testing.T) {
	t.Parallel()
	env := []string{"CONCORD_REDIS_PASSWORD=hunter2", "CONCORD_STREAM_SESSIONS=3"}
	text := concord(t, env, "", "config", "show", "--set", "stream.sessions=4")
	asJSON := concord(t, env, "", "config", "show", "--json", "--log-level", "debug")
	if text.code != exitOK || asJSON.code != exitOK {
		t.Fatalf("exit codes %d, %d: %s%s", text.code, asJSON.code, text.stderr, asJSON.stderr)
	}
	for _, want := range []string{"stream.sessions = 4  (flag)", "redis.password = [cut]  (environment)", "log.level = info\n"} {
		if !strings.Contains(text.stdout, want) {
			t.Errorf("stdout lacks %q:\n%s", want, text.stdout)
		}
	}
	var entries []struct{ Key, Value, Source string }
	if err := json.Unmarshal([]byte(asJSON.stdout), &entries); err != nil {
		t.Fatal(err)
	}
	if all := text.stdout + asJSON.stdout + text.stderr + asJSON.stderr; strings.Contains(all, "hunter2") {
		t.Errorf("a secret is printed:\n%s", all)
	}
}

func TestTopicsCreateThenCheck(t *testing.T) {
	t.Parallel()
	brokers, cl := cluster(t)
	env := []string{"CONCORD_KAFKA_BROKERS=" + brokers, "CONCORD_KAFKA_PARTITIONS=2", "CONCORD_KAFKA_REPLICATION=1"}

	before := concord(t, env, "", "topics", "check")
	if before.code != exitRefused || !strings.Contains(before.stdout, "screening.events: exists = false, want true: run `concord topics create`") {
		t.Fatalf("an empty cluster: exit %d\n%s", before.code, before.stdout)
	}
	if created := concord(t, env, "", "topics", "create"); created.code != exitOK {
		t.Fatalf("create: exit %d\n%s", created.code, created.stderr)
	}
	if after := concord(t, env, "", "topics", "check"); after.code != exitOK || after.stdout != "" {
		t.Fatalf("check after create: exit %d\n%s%s", after.code, after.stdout, after.stderr)
	}

	if _, err := kadm.NewClient(cl).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "cleanup.policy", Value: kadm.StringPtr("delete")},
	}, topics.HiringState); err != nil {
		t.Fatal(err)
	}
	got := concord(t, env, "", "topics", "check", "--json")
	var findings []topics.Finding
	if err := json.Unmarshal([]byte(got.stdout), &findings); err != nil {
		t.Fatalf("%v: %s", err, got.stdout)
	}
	if got.code != exitRefused || len(findings) != 1 {
		t.Fatalf("exit %d, findings %v, want one", got.code, findings)
	}
	f := findings[0]
	if f.Topic != topics.HiringState || f.Key != "cleanup.policy" || f.Got != "delete" || f.Want != "compact" || f.Fix == "" {
		t.Errorf("finding %+v does not explain itself", f)
	}
	wrong := concord(t, append(env, "CONCORD_KAFKA_PARTITIONS=3"), "", "topics", "check")
	if wrong.code != exitRefused || !strings.Contains(wrong.stdout, "partitions = 2, want 3") {
		t.Errorf("another partition count: exit %d\n%s", wrong.code, wrong.stdout)
	}
	wrong = concord(t, append(env, "CONCORD_KAFKA_PARTITIONS=3"), "", "topics", "create")
	if wrong.code != exitRefused || !strings.Contains(wrong.stdout, "differs") || !strings.Contains(wrong.stderr, "has 2 partitions, want 3") {
		t.Errorf("create with another partition count: exit %d\n%s%s", wrong.code, wrong.stdout, wrong.stderr)
	}
}

// What runs goes by the topics; a configuration that says otherwise is told at the start.
func TestRunTellsOfAnotherPartitionCount(t *testing.T) {
	t.Parallel()
	env := services(t)
	for _, partitions := range []string{"2", "3"} {
		log := &buffer{}
		a := &app{env: append(slices.Clone(env), "CONCORD_KAFKA_PARTITIONS="+partitions), stdin: strings.NewReader(""), stdout: io.Discard, stderr: log}
		if err := a.load(a.root()); err != nil {
			t.Fatal(err)
		}
		if _, err := a.prepare(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(log.String(), `"kafka.partitions":3,"topics":[2]`); told != (partitions == "3") {
			t.Errorf("%s partitions configured, 2 there: %s", partitions, log)
		}
	}
}

// What is published, and the topics, are asked for until Kafka answers or start_timeout is over; a topic that is missing is told
// at once.
func TestStartWaitsForThePolicy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refusals int // answers of each kind that Kafka fails first
		seed     bool
		exit     int
	}{
		"a moment": {2, true, exitOK},
		"for good": {math.MaxInt, true, exitStart},
		"no topic": {0, false, exitRefused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := []kfake.Opt{kfake.NumBrokers(1)}
			if c.seed {
				opts = append(opts, kfake.SeedTopics(2, topics.Policy))
			}
			cluster, err := kfake.NewCluster(opts...)
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			asked := 0
			cluster.ControlKey(int16(kmsg.ListOffsets), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				if asked++; asked > c.refusals {
					return nil, nil, false
				}
				req := kreq.(*kmsg.ListOffsetsRequest)
				resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
				for _, topic := range req.Topics {
					out := kmsg.NewListOffsetsResponseTopic()
					out.Topic = topic.Topic
					for _, p := range topic.Partitions {
						part := kmsg.NewListOffsetsResponseTopicPartition()
						part.Partition, part.ErrorCode = p.Partition, kerr.UnknownServerError.Code
						out.Partitions = append(out.Partitions, part)
					}
					resp.Topics = append(resp.Topics, out)
				}
				return resp, nil, true
			})
			log := &buffer{}
			a := &app{env: []string{"CONCORD_KAFKA_BROKERS=" + cluster.ListenAddrs()[0]}, stdin: strings.NewReader(""), stdout: io.Discard, stderr: log}
			if err := a.load(a.root()); err != nil {
				t.Fatal(err)
			}
			a.cfg.StartTimeout = 10 * time.Second
			if c.exit == exitStart {
				a.cfg.StartTimeout = 300 * time.Millisecond
			}
			schemas, err := wire.Open(wire.Config{})
			if err != nil {
				t.Fatal(err)
			}
			if err := a.takeUp(t.Context(), schemas, ""); code(err) != c.exit {
				t.Errorf("exit %d, want %d: %v", code(err), c.exit, err)
			}
			if told := strings.Contains(log.String(), "waiting for kafka"); told != (c.refusals > 0) {
				t.Errorf("waits in the log: %v\n%s", told, log)
			}
		})
	}
}

// A service that never answers is named with the reason, also when the first try outlasts the time there is.
func TestRetrySaysWhy(t *testing.T) {
	t.Parallel()
	a := &app{stdin: strings.NewReader(""), stdout: t.Output(), stderr: t.Output()}
	if err := a.load(a.root()); err != nil {
		t.Fatal(err)
	}
	a.cfg.StartTimeout = 50 * time.Millisecond
	err := a.retry(t.Context(), "kafka", func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("connection refused")
	})
	if code(err) != exitStart || !strings.HasSuffix(err.Error(), "(50ms): connection refused") {
		t.Errorf("got %v, want it to end with the reason", err)
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// Data that could not be written is a failure, whatever prints it.
func TestFullStdoutIsAFailure(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"version"}, {"version", "--json"}, {"policy", "digest"}, {"policy", "show"}, {"policy", "diagram"}, {"config", "show"}, {"--help"},
	} {
		var stderr bytes.Buffer
		if c := run(t.Context(), args, nil, strings.NewReader(""), fullDisk{}, &stderr); c != exitFailure || !strings.Contains(stderr.String(), "no space left on device") {
			t.Errorf("%v: exit %d, want %d: %s", args, c, exitFailure, &stderr)
		}
	}
}
