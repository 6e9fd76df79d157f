//go:build e2e && unix

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
)

// The exit codes of docs/operators.md that these tests meet.
const (
	exitFailure = 1
	exitRefused = 3
)

const allowLoss = "stream.allow_data_loss=true"

// ends waits until a process has ended by itself, with a code and with words in its log.
func (p *process) ends(t *testing.T, code int, words ...string) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatalf("%s goes on; the end of its log:\n%s", p.name, p.tail())
	}
	var exit *exec.ExitError
	if !errors.As(p.state, &exit) || exit.ExitCode() != code {
		t.Errorf("%s ended with %v, want exit code %d\n%s", p.name, p.state, code, p.tail())
	}
	for _, w := range words {
		if !strings.Contains(p.tail(), w) {
			t.Errorf("%s does not say %q:\n%s", p.name, w, p.tail())
		}
	}
}

// startWith starts a process with further settings, for this life only.
func (p *process) startWith(sets ...string) error {
	args := p.args
	defer func() { p.args = args }()
	for _, s := range sets {
		p.args = append(p.args[:len(p.args):len(p.args)], "--set", s)
	}
	return p.start()
}

// What a process has not read yet vanishes: it stops and says what happened, at start and while it runs, until it is told
// to go on without. It never begins anew by itself.
func TestLostInputs(t *testing.T) {
	t.Parallel()
	r := newRun(t, config{Applications: 1})
	f := newFeed(r, "lost")
	p := r.up("reconciler", 1)[0]
	must(t, p.waitReady(t.Context()))
	f.send(200)
	f.decided(nil)
	must(t, p.stop())
	client, err := kgo.NewClient(r.kafka...)
	must(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)

	// truncate deletes what stands on an input. Of that nothing is awaited any more.
	truncate := func(t *testing.T) {
		t.Helper()
		ends, err := admin.ListEndOffsets(t.Context(), topics.ScreeningEvents)
		must(t, err)
		done, err := admin.DeleteRecords(t.Context(), ends.Offsets())
		must(t, errors.Join(err, done.Error()))
		f.forget(topics.ScreeningEvents)
	}
	// goesOn has a process that was told to do so work again.
	goesOn := func(t *testing.T) {
		t.Helper()
		must(t, p.startWith(allowLoss))
		must(t, p.waitReady(t.Context()))
		f.send(100)
		f.decided(nil)
	}
	choices := "to go on without them set stream.allow_data_loss"

	t.Run("truncated before the start", func(t *testing.T) {
		f.send(100)
		truncate(t)
		must(t, p.start())
		p.ends(t, exitFailure, topics.ScreeningEvents+"/", "the group stopped at", choices)
		goesOn(t)
		must(t, p.stop())
	})
	t.Run("truncated under way", func(t *testing.T) {
		must(t, p.startWith())
		must(t, p.waitReady(t.Context()))
		must(t, p.pause())
		f.send(100) // a fetch under way may have these answered: then they are not lost
		f.send(100)
		truncate(t)
		must(t, p.carryOn())
		p.ends(t, exitFailure, topics.ScreeningEvents+"/", "input was truncated", choices)
		goesOn(t)
		must(t, p.stop())
	})
	t.Run("offsets of the group expired", func(t *testing.T) {
		must(t, eventually(t.Context(), time.Minute, func() bool {
			gone, err := admin.DeleteGroup(t.Context(), r.group+".reconciler")
			return err == nil && gone.Err == nil
		}))
		must(t, p.start())
		p.ends(t, exitFailure, "has state, but no input of it has a committed offset", choices)
		f.recounts()
		goesOn(t)
		must(t, p.stop())
		r.sameState(p)
	})
	t.Run("offsets of one input deleted", func(t *testing.T) {
		var set kadm.TopicsSet
		for n := range int32(partitions) {
			set.Add(topics.HiringControl, n)
		}
		must(t, eventually(t.Context(), time.Minute, func() bool {
			gone, err := admin.DeleteOffsets(t.Context(), r.group+".reconciler", set)
			return err == nil && gone.Error() == nil
		}))
		must(t, p.start())
		p.ends(t, exitFailure, topics.HiringControl+" has no committed offset in partition", choices)
		goesOn(t)
		must(t, p.stop())
	})
	recreate := func(t *testing.T) {
		t.Helper()
		_, err := admin.DeleteTopic(t.Context(), topics.ScreeningEvents)
		must(t, err)
		must(t, eventually(t.Context(), time.Minute, func() bool {
			left, err := admin.ListTopics(t.Context())
			return err == nil && !left.Has(topics.ScreeningEvents)
		}))
		r.tool("topics", "create")
		f.connect()
		f.forget(topics.ScreeningEvents)
	}
	t.Run("recreated before the start", func(t *testing.T) {
		recreate(t)
		must(t, p.start())
		p.ends(t, exitFailure, "topic "+topics.ScreeningEvents+" was deleted and created again", choices)
		goesOn(t)
		must(t, p.stop())
	})
	t.Run("recreated under way", func(t *testing.T) {
		must(t, p.start())
		must(t, p.waitReady(t.Context()))
		recreate(t)
		p.ends(t, exitFailure, "topic "+topics.ScreeningEvents+" was deleted", choices)
		goesOn(t)
		must(t, p.stop())
	})
}

// forget awaits nothing any more of what was sent to a topic.
func (f *feed) forget(topic string) {
	for p := range f.sent {
		if p.topic == topic {
			delete(f.sent, p)
			delete(f.ended, p)
		}
	}
}

// recounts awaits nothing any more of what was sent so far: it will be decided again, as duplicates.
func (f *feed) recounts() {
	clear(f.sent)
	clear(f.ended)
}

// One topic is given another partition: a running process stops, the next one does not start, and both say which topic it
// is and what to do.
func TestPartitionCountChanged(t *testing.T) {
	t.Parallel()
	r := newRun(t, config{Applications: 1})
	p := r.up("reconciler", 1)[0]
	must(t, p.waitReady(t.Context()))
	client, err := kgo.NewClient(r.kafka...)
	must(t, err)
	defer client.Close()
	grown, err := kadm.NewClient(client).UpdatePartitions(t.Context(), partitions+1, topics.HiringControl)
	must(t, errors.Join(err, grown.Error()))
	advice := "`concord topics check` says what differs and how to mend it"
	p.ends(t, exitRefused, "partition counts differ", topics.HiringControl, advice)
	must(t, p.start())
	p.ends(t, exitRefused, fmt.Sprintf("%s=%d", topics.HiringControl, partitions+1), fmt.Sprintf("%s=%d", topics.ScreeningEvents, partitions), advice)
	out, code := r.try("topics", "check")
	if want := fmt.Sprintf("%s: partitions = %d, want %d", topics.HiringControl, partitions+1, partitions); code != exitRefused || !strings.Contains(out, want) {
		t.Errorf("topics check ended with %d and said:\n%s", code, out)
	}
}

// try runs a command of concord and returns its standard output and exit code.
func (r *run) try(args ...string) (string, int) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), binary, append(args, r.sets()...)...)
	cmd.Env = r.env
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// Exactly-once needs transaction.version 2: a cluster that was taken back is refused, and what to run is said.
func TestOldTransactionVersion(t *testing.T) {
	t.Parallel()
	r := newRun(t, config{Applications: 1})
	feature := func(verb, level string) {
		t.Helper()
		_, err := r.cluster.Tool(t.Context(), "org.apache.kafka.tools.FeatureCommand", "--bootstrap-server", r.cluster.Brokers()[0],
			verb, "--feature", "transaction.version="+level)
		must(t, err)
	}
	feature("downgrade", "1")
	defer feature("upgrade", "2")
	p := r.up("reconciler", 1)[0]
	p.ends(t, exitRefused, "broker is too old for exactly-once", "kafka-features upgrade --feature transaction.version=2")
	if out, code := r.try("topics", "check"); code != exitRefused || !strings.Contains(out, "transaction.version = 1, want 2") {
		t.Errorf("topics check ended with %d and said:\n%s", code, out)
	}
}
