package world

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// Config is what a world is a function of.
type Config struct {
	// Seed decides everything that is drawn.
	Seed uint64
	// Applications is the size of the population, the published payloads not counted.
	Applications int
	// Start is the moment the first delivery is sent. All history lies before it.
	Start time.Time
	// Instances are the ATS instances the population is spread over, at least one.
	Instances []Instance
	// Schemas frames the records; its ids must be known.
	Schemas *wire.Schemas
}

// Instance is one ATS instance.
type Instance struct {
	System string
	// Dialect is the vendor; greenhouse when empty.
	Dialect string
	// Spell writes the number of an application, a stage or a reason as topics have it; decimal when nil. To the simulator
	// they are numbers in every dialect.
	Spell func(kind IDKind, n int64) string
	// Hints: its webhooks say no more than that something changed, so that what was between two reads stays unknown.
	// Stories that turn on it happen at other instances.
	Hints bool
}

// IDKind is what an id names.
type IDKind string

// Kinds of ids.
const (
	IDApplication IDKind = "application"
	IDStage       IDKind = "stage"
	IDReason      IDKind = "reason"
)

func (in *Instance) id(kind IDKind, n int64) string {
	if in.Spell == nil {
		return strconv.FormatInt(n, 10)
	}
	return in.Spell(kind, n)
}

// application is an application's id.
func (in *Instance) application(n int64) string { return in.System + "/" + in.id(IDApplication, n) }

// greenhouse reports whether bodies of webhooks that are written out here are this one's.
func (in *Instance) greenhouse() bool { return in.Dialect == "" || in.Dialect == "greenhouse" }

// Validate returns every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	if c.Applications < 1 || c.Applications > 1_000_000 {
		faults = append(faults, fmt.Errorf("applications %d: give 1 to 1000000", c.Applications))
	}
	if c.Start.IsZero() {
		faults = append(faults, errors.New("start: missing"))
	}
	if len(c.Instances) == 0 {
		faults = append(faults, errors.New("instances: give at least one"))
	}
	for i, in := range c.Instances {
		if in.System == "" || slices.ContainsFunc(c.Instances[:i], func(o Instance) bool { return o.System == in.System }) {
			faults = append(faults, fmt.Errorf("instance %d, %q: give each a name of its own", i, in.System))
		}
	}
	if c.Schemas == nil || !c.Schemas.Ready() {
		faults = append(faults, errors.New("schemas: missing, or their ids are not known yet"))
	}
	return errors.Join(faults...)
}

// World is a generated population.
type World struct {
	Seed         uint64
	Start        time.Time
	Instances    []Instance
	Margin       time.Duration // the clock error declared of every vendor
	Applications []Application
	// Store is what each instance holds before anything is sent.
	Store map[string][]StoreApplication
	// Steps are in the order in which they are to be done.
	Steps []Step
}

// Margin is the clock error declared of every vendor; Waves how many waves a world has.
const (
	Margin = time.Minute
	Waves  = 4
)

// Application is one application: its true story and the ends that are right.
type Application struct {
	Kind   string `json:"kind"` // "application"
	ID     string `json:"id"`   // <ats instance>/<native id>
	Native int64  `json:"native"`
	Story  string `json:"story"`
	// Truth is what happened, in order.
	Truth []Fact `json:"truth"`
	// Ends are the right ends. The first is the true one; another is right only where an incident says so.
	Ends []End `json:"ends"`
	// Ambiguous: the story turns on two clocks that differ by less than their declared margin.
	Ambiguous bool `json:"ambiguous,omitempty"`
}

// Fact is one true event.
type Fact struct {
	At    time.Time `json:"at,omitzero"` // true time; zero = when the wave is sent
	Who   string    `json:"who"`         // human, robot, vendor, operator
	What  string    `json:"what"`
	Clock string    `json:"clock,omitempty"` // how far the source's own clock was off
}

// End is how an application stands when all is told and done.
type End struct {
	Canonical string `json:"canonical"` // canonical stage; empty when erased
	Erased    bool   `json:"erased,omitempty"`
	// Stage, Status and Reason are what the ATS shows.
	Stage  int64  `json:"stage"`
	Status string `json:"status"` // active, rejected or hired
	Reason int64  `json:"reason,omitempty"`
	// Fields are custom fields by key, in canonical text; empty means not set. A field not named may hold anything.
	Fields map[string]string `json:"fields"`
	// Incident names the kind of incident that must be open for this end to be right; empty = none is needed.
	Incident string `json:"incident,omitempty"`
}

// StoreApplication is an application as the simulator is seeded with it.
type StoreApplication struct {
	ID             int64     `json:"id"`
	CandidateID    int64     `json:"candidate_id"`
	JobID          int64     `json:"job_id"`
	StageID        int64     `json:"stage_id"`
	Status         string    `json:"status"`
	Office         string    `json:"office,omitempty"`
	EmploymentType string    `json:"employment_type,omitempty"`
	AppliedAt      time.Time `json:"applied_at,omitzero"`
	LastActivityAt time.Time `json:"last_activity_at,omitzero"`
}

// Actor is who acts in the ATS: kind human, integration or system.
type Actor struct {
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
}

// Action is what a human or a robot does in the ATS, in the simulator's own JSON.
type Action struct {
	Kind        string                     `json:"kind"`
	Application int64                      `json:"application,omitempty"`
	At          time.Time                  `json:"at,omitzero"` // past, or zero for the moment it is sent
	Actor       Actor                      `json:"actor"`
	Stage       int64                      `json:"stage,omitempty"`
	Reason      int64                      `json:"reason,omitempty"`
	Fields      map[string]json.RawMessage `json:"fields,omitempty"`
	New         *StoreApplication          `json:"new,omitempty"`
	Silent      bool                       `json:"silent,omitempty"`
}

// Message is one record for a topic.
type Message struct {
	Topic   string
	Key     string
	Value   []byte
	Headers []wire.Header
}

// Webhook is one body for the gateway, to be signed by the sender.
type Webhook struct {
	System  string
	EventID string
	Body    []byte
}

// Step is one thing to do. Exactly one of Action, Message and Webhook is set; Publish may go with an Action.
type Step struct {
	Wave        int
	Application string // empty when it is about none
	Action      *Action
	// When is what the ATS must show for the action to be done: a person acts on what they see.
	When *Shown
	// Publish is what a connector says of the action after it is done; its time is the version the ATS gave it.
	Publish *wire.AtsChange
	Message *Message
	Webhook *Webhook

	Source, ID, Type string    // identity of a message
	OccurredAt       time.Time // as the message says; zero when it does not
	Duplicate        bool      // the same event again
	Late             bool      // sent in a later wave than it belongs to
	Cause            wire.Cause

	pos float64
}

// Shown is a stage and status in the ATS.
type Shown struct {
	Stage  int64
	Status string
}

// Generate makes a world. It is deterministic.
func Generate(cfg Config) (*World, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	w := &World{Seed: cfg.Seed, Start: cfg.Start.UTC().Truncate(time.Millisecond), Instances: cfg.Instances, Margin: Margin, Store: make(map[string][]StoreApplication)}
	rng := rand.New(rand.NewPCG(cfg.Seed, 0x636f6e636f7264))
	told := cast(cfg.Applications, cfg.Instances)
	rng.Shuffle(len(told), func(i, j int) { told[i], told[j] = told[j], told[i] })
	for i, s := range told {
		b := newBuilder(w, &cfg, s.at, int64(500_001+i), s.name)
		s.tell(b)
		b.finish()
	}
	w.published(&cfg)
	w.malformed(&cfg, rng)
	slices.SortStableFunc(w.Steps, func(a, b Step) int { return cmp.Or(cmp.Compare(a.Wave, b.Wave), cmp.Compare(a.pos, b.pos)) })
	return w, nil
}

// part is a story and the instance where it happens.
type part struct {
	story
	at *Instance
}

// cast returns one story for each application, in proportion to the stories' weights. Every story is told at
// least once when there is room and an instance where it can happen, and by turns at those.
func cast(n int, instances []Instance) []part {
	all := stories()
	total := 0
	for _, s := range all {
		total += s.weight
	}
	out := make([]part, 0, n)
	turn := 0
	add := func(s *story, times int) {
		var where []*Instance
		for i := range instances {
			if in := &instances[i]; s.happensAt(in) {
				where = append(where, in)
			}
		}
		for ; times > 0 && len(where) > 0 && len(out) < n; times-- {
			out = append(out, part{*s, where[turn%len(where)]})
			turn++
		}
	}
	for i := range all {
		add(&all[i], max(1, all[i].weight*n/total))
	}
	add(&all[0], n)
	return out
}
