package history_test

import (
	"crypto/sha256"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/concord-ats/concord/pkg/audit/history"
	"github.com/concord-ats/concord/pkg/wire"
)

const (
	application = "gh-main/1"
	group       = "reconciler"
	decisions   = "hiring.decisions"
	states      = "hiring.state"
	changes     = "ats.changes"
)

// tape is a log written by hand, all of it in partition 0: three changes, decided in two transactions with an aborted one
// between them, and a dead letter.
type tape struct {
	records map[string][]history.Record
	// hidden and shown change what a reader of committed records sees.
	hidden, shown map[string]int64
	version       int64
	digest        wire.Digest
}

func frame(rec wire.Record) []byte { return rec.AppendAvro([]byte{0, 0, 0, 0, 1}) }

// add appends a record of a transaction; epoch 0 is none.
func (tp *tape) add(topic string, epoch int16, key string, value []byte) *history.Record {
	list := tp.records[topic]
	tp.records[topic] = append(list, history.Record{
		Offset: int64(len(list)), Producer: 7, Epoch: epoch, Transactional: epoch != 0, Key: []byte(key), Value: value, Headers: map[string]string{},
	})
	return &tp.records[topic][len(list)]
}

func (tp *tape) mark(m history.Marker, epoch int16, topics ...string) {
	for _, topic := range topics {
		tp.add(topic, epoch, "", nil).Marker = m
	}
}

// decide writes what one transaction writes about an input record: its decision and the state that leaves.
func (tp *tape) decide(epoch int16, offset int64) {
	s := wire.HiringState{ApplicationID: application, Version: tp.version + 1}
	sum := sha256.Sum256(frame(&s))
	d := wire.Decision{ApplicationID: application, Topic: changes, Offset: offset, Version: s.Version, StateBefore: tp.digest, StateAfter: wire.Digest(sum[:16])}
	tp.add(decisions, epoch, application, frame(&d))
	tp.add(states, epoch, application, frame(&s))
	tp.version, tp.digest = s.Version, d.StateAfter
}

// commit commits the group's offset in a transaction.
func (tp *tape) commit(epoch int16, offset int64) { tp.commitOf(group, epoch, offset) }

func (tp *tape) commitOf(group string, epoch int16, offset int64) {
	key, value := kmsg.NewOffsetCommitKey(), kmsg.NewOffsetCommitValue()
	key.Version, key.Group, key.Topic, value.Offset = 1, group, changes, offset
	tp.add(history.OffsetsTopic, epoch, string(key.AppendTo(nil)), value.AppendTo(nil))
}

func (tp *tape) end(m history.Marker, epoch int16) {
	tp.mark(m, epoch, decisions, states, history.OffsetsTopic)
}

func cleanTape() *tape {
	tp := &tape{records: map[string][]history.Record{}, hidden: map[string]int64{}, shown: map[string]int64{}}
	for i := range 3 {
		tp.add(changes, 0, application, frame(&wire.AtsChange{ID: fmt.Sprint(i), ApplicationID: application}))
	}
	tp.decide(1, 0)
	tp.commit(1, 1)
	tp.end(history.Commit, 1)

	version, digest := tp.version, tp.digest
	tp.decide(2, 1)
	tp.commit(2, 2)
	tp.end(history.Abort, 2)
	tp.version, tp.digest = version, digest

	tp.decide(3, 1)
	letter := tp.add(changes+".dlq", 3, application, []byte("raw"))
	for k, v := range map[string]string{"topic": changes, "partition": "0", "offset": "2", "group": group} {
		letter.Headers["concord.dlq."+k] = v
	}
	tp.commit(3, 3)
	tp.end(history.Commit, 3)
	tp.mark(history.Commit, 3, changes+".dlq")
	// Another group's open transaction is none of our business.
	tp.commitOf("another", 40, 1)
	tp.records[history.OffsetsTopic][len(tp.records[history.OffsetsTopic])-1].Producer = 99
	return tp
}

func (tp *tape) check(t *testing.T) *history.Report {
	t.Helper()
	r, err := history.Check(&history.Log{
		Uncommitted: func(topic string, visit func(*history.Record) error) error {
			for i := range tp.records[topic] {
				if err := visit(&tp.records[topic][i]); err != nil {
					return err
				}
			}
			return nil
		},
		Committed: func(topic string, visit func(int32, int64)) error {
			marker := map[int16]history.Marker{}
			for _, r := range tp.records[topic] {
				if r.Marker != history.None {
					marker[r.Epoch] = r.Marker
				}
			}
			for _, r := range tp.records[topic] {
				committed := !r.Transactional || marker[r.Epoch] == history.Commit
				if at, ok := tp.hidden[topic]; ok && at == r.Offset {
					committed = false
				}
				if at, ok := tp.shown[topic]; ok && at == r.Offset {
					committed = true
				}
				if committed && r.Marker == history.None {
					visit(0, r.Offset)
				}
			}
			return nil
		},
	}, history.Groups{Reconciler: group, Writeback: "writeback", KPI: "kpi"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCleanLogHasNoFindings(t *testing.T) {
	t.Parallel()
	r := cleanTape().check(t)
	if len(r.Findings) != 0 {
		t.Fatalf("findings: %v", r.Findings)
	}
	if r.Committed != 2 || r.AbortedTx != 1 || r.Aborted != 3 || r.Commits != 2 || r.Decided != 3 {
		t.Errorf("report: %s", r)
	}
}

func TestEachAnomalyIsFound(t *testing.T) {
	t.Parallel()
	// remark changes how a transaction ends in one topic; no marker at all is None.
	remark := func(topic string, epoch int16, m history.Marker) func(*tape) {
		return func(tp *tape) {
			for i := range tp.records[topic] {
				if r := &tp.records[topic][i]; r.Marker != history.None && r.Epoch == epoch {
					r.Marker, r.Producer = m, 7
					if m == history.None {
						r.Marker, r.Producer = history.Commit, 8 // another producer's
					}
				}
			}
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*tape)
		kind  history.Kind
		what  string
	}{
		{"an aborted record is seen", func(tp *tape) { tp.shown[decisions] = 2 }, history.Visible, "did not commit"},
		{"a committed record is not seen", func(tp *tape) { tp.hidden[states] = 0 }, history.Visible, "is not seen"},
		{"committed in one partition, aborted in another", remark(states, 3, history.Abort), history.Torn, "not in another"},
		{"outputs committed, offsets aborted", remark(history.OffsetsTopic, 3, history.Abort), history.Torn, "not in another"},
		{"offsets committed, outputs aborted", func(tp *tape) {
			remark(decisions, 3, history.Abort)(tp)
			remark(states, 3, history.Abort)(tp)
		}, history.Lost, "moved over a record that was not decided"},
		{"offsets without an end", remark(history.OffsetsTopic, 3, history.None), history.Open, "no end"},
		{"a transaction without an end", remark(decisions, 3, history.None), history.Open, "no end"},
		{"a record that is never decided", func(tp *tape) {
			tp.add(changes, 0, application, frame(&wire.AtsChange{ID: "3", ApplicationID: application}))
			tp.commit(4, 4)
			tp.mark(history.Commit, 4, history.OffsetsTopic)
		}, history.Lost, "not decided"},
		{"a record decided twice", func(tp *tape) {
			tp.decide(4, 1)
			tp.commit(4, 3)
			tp.end(history.Commit, 4)
		}, history.Twice, "twice"},
		{"decided and the offset stays", func(tp *tape) {
			tp.add(changes, 0, application, frame(&wire.AtsChange{ID: "3", ApplicationID: application}))
			tp.decide(4, 3)
			tp.commit(4, 3)
			tp.end(history.Commit, 4)
		}, history.Apart, "did not move over it"},
		{"decided in one transaction, moved over in the next", func(tp *tape) {
			tp.add(changes, 0, application, frame(&wire.AtsChange{ID: "3", ApplicationID: application}))
			tp.decide(4, 3)
			tp.commit(4, 3)
			tp.end(history.Commit, 4)
			tp.commit(5, 4)
			tp.mark(history.Commit, 5, history.OffsetsTopic)
		}, history.Apart, "another transaction"},
		{"written without an offset", func(tp *tape) {
			tp.add("hiring.conflicts", 4, application, []byte("x"))
			tp.mark(history.Commit, 4, "hiring.conflicts")
		}, history.Apart, "committed no offset"},
		{"an offset that goes back", func(tp *tape) {
			tp.commit(4, 1)
			tp.mark(history.Commit, 4, history.OffsetsTopic)
		}, history.Apart, "went back"},
		{"an offset outside of a transaction", func(tp *tape) { tp.commit(0, 3) }, history.Apart, "outside"},
		{"a gap in the versions", func(tp *tape) {
			tp.add(changes, 0, application, frame(&wire.AtsChange{ID: "3", ApplicationID: application}))
			tp.version++
			tp.decide(4, 3)
			tp.commit(4, 4)
			tp.end(history.Commit, 4)
		}, history.Version, "does not go on"},
		{"a state of another transaction", func(tp *tape) {
			s := tp.records[states]
			tp.add(states, 4, application, s[len(s)-2].Value)
			tp.commit(4, 3)
			tp.mark(history.Commit, 4, states, history.OffsetsTopic)
		}, history.Version, "is not what a decision"},
		{"a decision of an aborted input", func(tp *tape) {
			tp.add(changes, 9, application, frame(&wire.AtsChange{ID: "3", ApplicationID: application}))
			tp.mark(history.Abort, 9, changes)
			tp.decide(4, 3)
			tp.commit(4, 5)
			tp.end(history.Commit, 4)
		}, history.Visible, "no reader of committed records sees"},
		{"a decision that cannot be read", func(tp *tape) {
			tp.add(decisions, 0, application, []byte("{"))
		}, history.Unread, "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tp := cleanTape()
			c.spoil(tp)
			r := tp.check(t)
			if !slices.ContainsFunc(r.Findings, func(f history.Finding) bool {
				return f.Kind == c.kind && strings.Contains(f.What, c.what) && len(f.IDs) > 0
			}) {
				t.Errorf("want %s %q, have %v", c.kind, c.what, r.Findings)
			}
		})
	}
}

// The checker must not share the engine's mistakes.
func TestImportsOnlyTheWireTypes(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		own := strings.TrimPrefix(dep, "github.com/concord-ats/concord/")
		if own != dep && own != "pkg/audit/history" && own != "pkg/wire" && own != "pkg/wire/avro" && own != "schemas" {
			t.Errorf("imports %s", dep)
		}
	}
}
