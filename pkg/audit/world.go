package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// truth is the world file, read.
type truth struct {
	seed   uint64
	start  time.Time
	edges  map[edge]bool
	stages map[place]stage
	// reasons are rejection reasons as topics have them.
	reasons map[place]string
	apps    map[string]*trueApplication
	// letters are the dead letters expected, by digest of key and value.
	letters map[string]*expectedLetter
	// records are the planned records, by identity.
	records   map[identity]*planned
	ambiguous int
}

// place is a number of an instance: of an application, a stage or a reason, as the simulator has it.
type place struct {
	system string
	native int64
}

// stage is a native stage as topics have it, and what it means; "" = not mapped.
type stage struct{ id, canonical string }

type edge struct{ name, from, to string }

type identity struct{ source, id string }

type trueApplication struct {
	ID        string    `json:"id"`
	Native    int64     `json:"native"`
	Story     string    `json:"story"`
	Ends      []trueEnd `json:"ends"`
	Ambiguous bool      `json:"ambiguous"`

	system string
	// conditional counts the planned actions that a person does only if the ATS shows what they expect.
	conditional int
}

type trueEnd struct {
	Canonical string            `json:"canonical"`
	Erased    bool              `json:"erased"`
	Stage     int64             `json:"stage"`
	Status    string            `json:"status"`
	Reason    int64             `json:"reason"`
	Fields    map[string]string `json:"fields"`
	Incident  string            `json:"incident"`
}

type expectedLetter struct {
	cause string
	want  int
	got   int
	id    string
}

type planned struct {
	want, got int
	optional  bool // follows an action that may have been skipped
}

// line is any line of the world file.
type line struct {
	Kind string `json:"kind"`

	Seed   uint64    `json:"seed"`
	Start  time.Time `json:"start"`
	System string    `json:"system"`

	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`

	trueApplication
	Canonical string `json:"canonical"`

	Via         string          `json:"via"`
	Application string          `json:"application"`
	Topic       string          `json:"topic"`
	Source      string          `json:"source"`
	Cause       string          `json:"dead_letter"`
	Digest      string          `json:"digest"`
	When        json.RawMessage `json:"when"`
}

// readWorld reads a world file.
func readWorld(in io.Reader) (*truth, error) {
	t := &truth{
		edges: make(map[edge]bool), stages: make(map[place]stage), reasons: make(map[place]string), apps: make(map[string]*trueApplication),
		letters: make(map[string]*expectedLetter), records: make(map[identity]*planned),
	}
	dec := json.NewDecoder(in)
	// The world line counts applications under the name that other lines use for an id.
	for n := 1; ; n++ {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read world file, value %d: %w", n, err)
		}
		var l line
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil, fmt.Errorf("read world file, value %d: %w", n, err)
		}
		t.add(&l)
	}
	if t.start.IsZero() || len(t.edges) == 0 || len(t.apps) == 0 {
		return nil, errors.New("read world file: it has no world, no edges or no applications")
	}
	return t, nil
}

func (t *truth) add(l *line) {
	switch l.Kind {
	case "world":
		t.seed, t.start = l.Seed, l.Start
	case "edge":
		t.edges[edge{l.Name, l.From, l.To}] = true
	case "stage":
		t.stages[place{l.System, l.Native}] = stage{l.ID, l.Canonical}
	case "reason":
		t.reasons[place{l.System, l.Native}] = l.ID
	case "application":
		a := l.trueApplication
		a.system, _, _ = strings.Cut(a.ID, "/")
		t.apps[a.ID] = &a
		if a.Ambiguous {
			t.ambiguous++
		}
	case "delivery":
		t.delivery(l)
	}
}

func (t *truth) delivery(l *line) {
	switch {
	case l.Cause != "":
		x := t.letters[l.Digest]
		if x == nil {
			x = &expectedLetter{cause: l.Cause, id: l.ID}
			t.letters[l.Digest] = x
		}
		x.want++
	case l.Source != "":
		key := identity{l.Source, l.ID}
		p := t.records[key]
		if p == nil {
			p = &planned{}
			t.records[key] = p
		}
		p.want++
		p.optional = p.optional || len(l.When) > 0
	}
	if a := t.apps[l.Application]; a != nil && len(l.When) > 0 {
		a.conditional++
	}
}
