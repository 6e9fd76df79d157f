package world

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/concord-ats/concord/pkg/wire"
)

// Custom fields that a screening fills, which are elements of the dictionary as well.
const (
	fieldRecommendation = "screening_recommendation"
	fieldReport         = "screening_report_url"
	fieldScore          = "screening_score"
	fieldStatus         = "screening_status"
)

// Rates of what goes wrong on the way.
const (
	duplicateRate = 0.14 // of a vendor's events come twice
	reorderRate   = 0.14 // are held back behind later ones
	lateRate      = 0.05 // of the harmless ones come a wave later
)

// builder tells one story.
type builder struct {
	w   *World
	cfg *Config
	in  *Instance
	rng *rand.Rand
	app Application
	pos float64 // where in its wave the application's deliveries begin
	seq int

	vendor vendor
	end    End
	orders int
}

// vendor is a screening vendor with its clock.
type vendor struct {
	system string
	skew   time.Duration
}

var vendors = []vendor{
	{"assess-one", 0},
	{"assess-fast", 25 * time.Second},
	{"assess-slow", -25 * time.Second},
}

// wild is a vendor whose clock is further off than is declared. It is used only where that cannot matter.
var wild = []vendor{{"assess-ahead", 5 * time.Minute}, {"assess-behind", -10 * time.Minute}}

func newBuilder(w *World, cfg *Config, in *Instance, native int64, name string) *builder {
	rng := rand.New(rand.NewPCG(cfg.Seed, uint64(native)))
	b := &builder{w: w, cfg: cfg, in: in, rng: rng, pos: rng.Float64(), vendor: vendors[rng.IntN(len(vendors))]}
	b.app = Application{Kind: "application", ID: in.application(native), Native: native, Story: name}
	b.end = End{Status: "active", Fields: map[string]string{fieldRecommendation: "", fieldReport: "", fieldScore: "", fieldStatus: ""}}
	return b
}

func (b *builder) finish() {
	b.app.Ends = append([]End{b.end}, b.app.Ends...)
	b.w.Applications = append(b.w.Applications, b.app)
}

// ago is a time before the start.
func (b *builder) ago(d time.Duration) time.Time { return b.w.Start.Add(-d) }

// between draws a duration.
func (b *builder) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(b.rng.Int64N(int64(hi-lo)+1))
}

// recent draws how long ago a screening ended: most of them seconds ago, some two hours.
func (b *builder) recent() time.Duration {
	return time.Duration(math.Exp(b.rng.Float64()*math.Log(7200)) * float64(time.Second)).Round(time.Millisecond)
}

func (b *builder) fact(at time.Time, who, format string, args ...any) {
	b.app.Truth = append(b.app.Truth, Fact{At: at, Who: who, What: fmt.Sprintf(format, args...)})
}

// step adds a step to a wave. Steps of one application follow each other closely, unless one is held back.
func (b *builder) step(s Step) {
	b.seq++
	s.Application = b.app.ID
	if s.pos == 0 {
		s.pos = b.pos + float64(b.seq)*0.0005
	}
	b.w.Steps = append(b.w.Steps, s)
}

// create adds the application to the ATS.
func (b *builder) create(wave int, at time.Time) {
	offices, types := []string{"New York", "London", "Berlin"}, []string{"Full-time", "Part-time", "Contract"}
	twin, office, employment := b.rng.IntN(2), b.rng.IntN(3), b.rng.IntN(3) // a job is in one office, and of one type
	n := &StoreApplication{
		ID: b.app.Native, CandidateID: b.app.Native + 1_000_000, JobID: 100 + int64(9*twin+3*office+employment), StageID: nativeApply, Status: "active",
		Office: offices[office], EmploymentType: types[employment], AppliedAt: at, LastActivityAt: at,
	}
	b.end.Stage, b.end.Canonical = nativeApply, apply
	b.fact(at, "human", "applied")
	b.step(Step{Wave: wave, Action: &Action{Kind: "create", At: at, Actor: Actor{Kind: "human", ID: "applicant"}, New: n}})
}

// act does something in the ATS as a person. A zero time is the moment it is sent.
func (b *builder) act(wave int, at time.Time, when *Shown, a Action) {
	a.Application, a.At = b.app.Native, at
	if a.Actor.Kind == "" {
		a.Actor = Actor{Kind: "human", ID: "recruiter-" + strconv.Itoa(b.rng.IntN(40))}
	}
	b.step(Step{Wave: wave, Action: &a, When: when})
}

// move moves the application as a person.
func (b *builder) move(wave int, at time.Time, to int64) {
	b.moveWhen(wave, at, to, nil)
}

func (b *builder) moveWhen(wave int, at time.Time, to int64, when *Shown) {
	b.fact(at, "human", "moved to %d", to)
	b.end.Stage = to
	b.act(wave, at, when, Action{Kind: "move", Stage: to})
}

func (b *builder) reject(wave int, at time.Time, reason int64, when *Shown) {
	b.fact(at, "human", "rejected with reason %d", reason)
	b.end.Status, b.end.Reason = "rejected", reason
	b.act(wave, at, when, Action{Kind: "reject", Reason: reason})
}

func (b *builder) unreject(wave int, at time.Time, when *Shown) {
	b.fact(at, "human", "unrejected")
	b.end.Status, b.end.Reason = "active", 0
	b.act(wave, at, when, Action{Kind: "unreject"})
}

func (b *builder) hire(wave int, at time.Time, when *Shown) {
	b.fact(at, "human", "hired")
	b.end.Status = "hired"
	b.act(wave, at, when, Action{Kind: "hire"})
}

// history takes the application to a stage by people's hands, so that the stage before was entered at least
// twenty minutes before. The last move is at until.
func (b *builder) history(wave int, until time.Time, route ...int64) {
	times := make([]time.Time, len(route)+1)
	at := until
	for i := len(route); i >= 0; i-- {
		times[i] = at
		at = at.Add(-b.between(20*time.Minute, 3*time.Hour))
	}
	b.create(wave, times[0])
	for i, to := range route {
		b.move(wave, times[i+1], to)
	}
	for _, s := range Stages() {
		if s.Native == b.end.Stage {
			b.end.Canonical = s.Canonical
		}
	}
}

// toScreening is the usual way into screening, ending at until.
func (b *builder) toScreening(wave int, until time.Time) {
	b.history(wave, until, nativeTriage, nativeScreening)
}

// newOrder starts another screening order.
func (b *builder) newOrder() string {
	b.orders++
	return fmt.Sprintf("order-%d-%d", b.app.Native, b.orders)
}

// screen says one thing of a vendor. A result is added by the caller.
func (b *builder) screen(wave int, typ string, at time.Time, order string, attempt int32, result *wire.ScreeningResult, extra ...wire.Element) *wire.ScreeningEvent {
	said := at.Add(b.vendor.skew)
	f := Fact{At: at, Who: "vendor", What: typ + " " + order}
	if b.vendor.skew != 0 {
		f.Clock = b.vendor.skew.String()
	}
	if result != nil {
		f.What += " " + result.Recommendation.String()
		result.FinishedAt = wire.MicrosOf(said)
	}
	b.app.Truth = append(b.app.Truth, f)
	e := &wire.ScreeningEvent{
		ID: fmt.Sprintf("%s-%d-%d", typ, b.app.Native, b.seq), Source: "https://" + b.vendor.system + ".example/events", Type: typ, System: b.vendor.system,
		OccurredAt: wire.MicrosOf(said), TimeBasis: wire.TimeBasisEvent, ApplicationID: b.app.ID, OrderID: order, Attempt: attempt, Result: result, Elements: extra,
	}
	harmless := result == nil && typ != "screening.cancelled"
	b.send(wave, "screening.events", e, harmless)
	return e
}

// prelude is all a vendor says before the result; the screening ends at done.
func (b *builder) prelude(wave int, order string, attempt int32, from, done time.Time) {
	gap := done.Sub(from)
	b.screen(wave, "screening.ordered", from.Add(gap/20), order, attempt, nil)
	b.screen(wave, "screening.invited", from.Add(gap/10), order, attempt, nil)
	b.screen(wave, "screening.started", from.Add(gap/2), order, attempt, nil)
}

// result draws a score and returns a result, with the fields the ATS must show for it.
func (b *builder) result(rec wire.Recommendation, revision int32) (*wire.ScreeningResult, map[string]string) {
	percent := 1 + b.rng.IntN(99)
	scale := []float64{100, 10, 5, 20}[b.rng.IntN(4)]
	url := fmt.Sprintf("https://%s.example/reports/%d-%d", b.vendor.system, b.app.Native, revision)
	r := &wire.ScreeningResult{
		Status: wire.ResultStatusComplete, Revision: revision, Recommendation: rec, ReportURL: url,
		Score: &wire.Score{Value: float64(percent) * scale / 100, Min: 0, Max: scale, Scale: "raw"},
	}
	return r, map[string]string{
		fieldRecommendation: rec.String(), fieldReport: url, fieldScore: strconv.Itoa(percent), fieldStatus: "complete",
	}
}

// screening is a whole order with a result.
func (b *builder) screening(wave int, from, done time.Time, rec wire.Recommendation) map[string]string {
	order := b.newOrder()
	b.prelude(wave, order, 1, from, done)
	r, fields := b.result(rec, 1)
	b.screen(wave, "screening.completed", done, order, 1, r)
	b.end.Fields = fields
	return fields
}

// control is what an operator asks.
func (b *builder) control(wave int, typ string, at time.Time, edit func(*wire.Control)) {
	c := &wire.Control{
		ID: fmt.Sprintf("%s-%d-%d", typ, b.app.Native, b.seq), Source: "concord/operators", Type: typ, OccurredAt: wire.MicrosOf(at),
		TimeBasis: wire.TimeBasisEvent, ApplicationID: b.app.ID, Actor: wire.Actor{Kind: wire.ActorKindHuman, ID: "operator-7"}, Reason: "ticket " + strconv.Itoa(1000+b.rng.IntN(9000)),
	}
	if edit != nil {
		edit(c)
	}
	b.fact(at, "operator", "%s %s", typ, c.Stage)
	b.send(wave, "hiring.control", c, false)
}

// send adds a record, and what goes wrong with it on the way. Only harmless events may come a wave late.
func (b *builder) send(wave int, topic string, rec wire.Event, harmless bool) {
	env := rec.Envelope()
	s := Step{Wave: wave, Source: env.Source, ID: env.ID, Type: env.Type, OccurredAt: env.Time.Time()}
	s.Message = &Message{Topic: topic, Key: b.app.ID, Value: b.cfg.Schemas.Append(nil, rec), Headers: wire.EnvelopeHeaders(nil, env)}
	switch roll := b.rng.Float64(); {
	case harmless && roll < lateRate && wave == mainWave:
		s.Wave, s.Late = wave+1, true
	case topic == "screening.events" && roll < lateRate+reorderRate:
		s.pos = b.pos + float64(b.seq)*0.0005 + 0.002 + 0.02*b.rng.Float64()
	}
	b.step(s)
	if b.rng.Float64() < duplicateRate {
		again := s
		again.Duplicate = true
		again.pos = b.pos + float64(b.seq)*0.0005 + 0.001 + 0.03*b.rng.Float64()
		if b.rng.Float64() < 0.5 { // another publisher, which leaves the headers out
			m := *s.Message
			m.Headers = nil
			again.Message = &m
		}
		b.step(again)
	}
}

// robot acts in the ATS without a webhook; a connector that knows who acted says so on ats.changes.
func (b *builder) robot(wave int, at time.Time, from, to int64, when *Shown) {
	b.fact(at, "robot", "moved to %d", to)
	robot := Actor{Kind: "integration", ID: "rival-robot"}
	b.tell(wave, when, Action{Kind: "move", At: at, Stage: to, Actor: robot}, wire.AtsChange{
		Type: "application.stage_changed", Status: wire.ApplicationStatusActive, Actor: wire.Actor{Kind: wire.ActorKindIntegration, ID: robot.ID},
		Stage: wire.NativeStage{ID: b.in.id(IDStage, to)}, PreviousStage: wire.NativeStage{ID: b.in.id(IDStage, from)},
	})
}

// tell does something in the ATS of which a connector tells in place of a webhook.
func (b *builder) tell(wave int, when *Shown, a Action, change wire.AtsChange) {
	a.Application, a.Silent = b.app.Native, true
	change.ID, change.Source = fmt.Sprintf("connector-%d-%03d", b.app.Native, b.seq), "connector/"+b.in.System
	change.System, change.OccurredAt, change.TimeBasis, change.ApplicationID = b.in.System, wire.MicrosOf(a.At), wire.TimeBasisEvent, b.app.ID
	b.step(Step{Wave: wave, Action: &a, When: when, Publish: &change, Source: change.Source, ID: change.ID, Type: change.Type, OccurredAt: a.At})
}

// edit sets a custom field as a person.
func (b *builder) edit(wave int, at time.Time, when *Shown, key, value string) {
	raw := json.RawMessage(value)
	b.fact(at, "human", "set %s", key)
	b.act(wave, at, when, Action{Kind: "edit", Fields: map[string]json.RawMessage{key: raw}})
}

// lastOrder names the newest order.
func (b *builder) lastOrder() string { return fmt.Sprintf("order-%d-%d", b.app.Native, b.orders) }
