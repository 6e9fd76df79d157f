package kpi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
)

// Counts of windows.
const (
	countSkewed    = "skewed"
	countLate      = "late"
	countHires     = "hires"
	countFinished  = "screenings_finished"
	countDecisions = "decisions"
	countBehind    = "ats_behind"
	countOldest    = "ats_behind_oldest_at"
	countOpened    = "opened"
	countResolved  = "resolved"
	countRetracted = "retracted"
	countOpen      = "open"
	countStuck     = "stuck"
)

const markKey = "mark"

// maxAppIncidents bounds the closed incidents remembered of one application. Open ones are not forgotten: they are
// counted until they are closed, and the reconciler's bound on a state bounds them.
const maxAppIncidents = 64

// processor measures for one session. Owned by the session's goroutine.
type processor struct {
	cfg        *Config
	m          *metrics
	partitions map[int32]*partition
	decision   wire.Decision
	outcome    wire.Outcome
	incident   wire.Incident
}

// partition is what is in hand for one partition: the deltas of the running transaction, and who is behind.
type partition struct {
	gen     uint64
	open    bool // gen's transaction is collecting
	deltas  map[windowID]*delta
	newest  wire.Micros
	behind  map[string]behind     // by application
	longest map[dims]*waiting     // who of them waits longest
	touched map[windowID]struct{} // "now" records of dims whose behind set changed
}

type behind struct {
	dims  dims
	since wire.Micros
}

func newProcessor(cfg *Config, m *metrics) *processor {
	return &processor{cfg: cfg, m: m, partitions: make(map[int32]*partition)}
}

// Assigned rebuilds who is behind from the restored state.
func (p *processor) Assigned(part *stream.Partition[*entry]) error {
	pt, number := &partition{}, part.Number()
	p.partitions[number] = pt
	context.AfterFunc(part.Context(), func() { p.m.gone(number) })
	if err := part.Scan(func(_ string, e *entry) bool {
		if e.window != nil && e.window.WindowStart == 0 {
			p.m.restored(e.window)
		}
		return true
	}); err != nil {
		return err
	}
	return pt.rebuild(part)
}

func (pt *partition) rebuild(part *stream.Partition[*entry]) error {
	pt.behind, pt.longest = make(map[string]behind), make(map[dims]*waiting)
	return part.Scan(func(key string, e *entry) bool {
		if app, ok := strings.CutPrefix(key, "a|"); ok && e.app != nil && e.app.behindSince != 0 {
			pt.wait(app, behind{e.app.dims, e.app.behindSince})
		}
		return true
	})
}

// Prepare implements stream.Processor.
func (p *processor) Prepare(context.Context, []*kgo.Record) error { return nil }

// Fire implements stream.Processor; kpi.state has no timers.
func (p *processor) Fire(*stream.Tx[*entry], string, int64) error { return nil }

// begin makes sure that what is collected belongs to the running transaction. After an abort the committed mark
// is behind ours: what was collected is dropped, as the records come again.
func (p *processor) begin(tx *stream.Tx[*entry]) (*partition, error) {
	pt := p.partitions[tx.Partition().Number()]
	if pt == nil {
		return nil, stream.Fatal(fmt.Errorf("partition %d was not assigned", tx.Partition().Number()))
	}
	e, ok, err := tx.Get(markKey)
	if err != nil {
		return nil, err
	}
	var m mark
	if ok {
		m = *e.mark
	}
	if pt.open && m.gen == pt.gen {
		return pt, nil
	}
	if pt.open || pt.gen != m.gen && pt.gen != 0 {
		if err := pt.rebuild(tx.Partition()); err != nil {
			return nil, err
		}
	}
	pt.gen, pt.open, pt.newest = m.gen+1, true, m.newest
	pt.deltas, pt.touched = make(map[windowID]*delta), make(map[windowID]struct{})
	return pt, tx.Put(markKey, &entry{mark: &mark{newest: m.newest, gen: pt.gen}})
}

// Handle measures one record.
func (p *processor) Handle(tx *stream.Tx[*entry], rec *kgo.Record) error {
	pt, err := p.begin(tx)
	if err != nil {
		return err
	}
	ctx := tx.Partition().Context()
	switch rec.Topic {
	case topics.HiringDecisions:
		if err = p.cfg.Schemas.Decode(ctx, rec.Value, &p.decision); err == nil {
			return p.decided(tx, pt, &p.decision)
		}
	case topics.ATSOutcomes:
		if err = p.cfg.Schemas.Decode(ctx, rec.Value, &p.outcome); err == nil {
			p.wrote(pt, &p.outcome)
			return nil
		}
	case topics.HiringConflicts:
		if err = p.cfg.Schemas.Decode(ctx, rec.Value, &p.incident); err == nil {
			return p.conflict(tx, pt, &p.incident)
		}
	default:
		return stream.Fatal(fmt.Errorf("topic %q is no input of the kpi consumer", rec.Topic))
	}
	var w *wire.Error
	if errors.As(err, &w) {
		return stream.Poison(string(w.Cause), err)
	}
	return err
}

// at returns the delta of the window of a metric at a time. Past the horizon a record is late.
func (p *processor) at(pt *partition, metric string, d dims, t wire.Micros) *delta {
	length := wire.Micros(p.cfg.Window.Microseconds())
	start := t - t%length
	pt.newest = max(pt.newest, start)
	if start < pt.newest-wire.Micros(p.cfg.Horizon.Microseconds()) {
		pt.delta(windowID{metricQuality, pt.newest, d}).add(countLate, metric, 1)
		return nil
	}
	return pt.delta(windowID{metric, start, d})
}

func (pt *partition) delta(id windowID) *delta {
	d := pt.deltas[id]
	if d == nil {
		d = &delta{id: id}
		pt.deltas[id] = d
	}
	return d
}

func (pt *partition) now(metric string, d dims) *delta { return pt.delta(windowID{metric, 0, d}) }

// wrote measures an outcome. A refresh writes nothing.
func (p *processor) wrote(pt *partition, o *wire.Outcome) {
	if o.Kind == wire.CommandKindRefresh {
		return
	}
	d := p.at(pt, metricWriteback, dims{o.System, o.Requisition.Type, o.Requisition.Region}, o.FinishedAt)
	if d == nil {
		return
	}
	d.add(o.Outcome.String(), "", 1)
	if o.Outcome == wire.OutcomeKindConfirmed && o.Cause.ScreeningFinishedAt != 0 {
		d.took(o.FinishedAt, o.Cause.ScreeningFinishedAt)
	}
}

// took measures the latency of a success.
func (d *delta) took(at, finished wire.Micros) {
	latency := float64(at-finished) / 1e6
	if latency < 0 {
		latency = 0
		d.add(countSkewed, "", 1)
	}
	d.sample = append(d.sample, latency)
}

// recorded measures a verdict that moves an application which is in no ATS: the decision is the outcome. The first one
// of a screening counts; what is late may have it decided again.
func (p *processor) recorded(pt *partition, own dims, o *wire.Decision, was *appEntry) (recordedAt wire.Micros) {
	byVerdict := func(s wire.Step) bool { return s.Authority == "vendor" }
	if o.Mode != "record" || o.ScreeningFinishedAt <= was.recordedAt || !slices.ContainsFunc(o.Path, byVerdict) {
		return was.recordedAt
	}
	if d := p.at(pt, metricWriteback, own, o.Now); d != nil {
		d.add(wire.OutcomeKindConfirmed.String(), "", 1)
		d.took(o.Now, o.ScreeningFinishedAt)
	}
	return o.ScreeningFinishedAt
}

func (p *processor) app(tx *stream.Tx[*entry], id string) (appEntry, error) {
	e, ok, err := tx.Get("a|" + id)
	if err != nil || !ok {
		return appEntry{}, err
	}
	return *e.app, nil
}

// decided measures a decision.
func (p *processor) decided(tx *stream.Tx[*entry], pt *partition, o *wire.Decision) error {
	own := dims{o.System, o.Requisition.Type, o.Requisition.Region}
	t := o.EffectiveAt
	if t == 0 || o.Disposition == wire.DispositionTimer {
		t = o.Now
	}
	quality := p.at(pt, metricQuality, own, t)
	if quality != nil {
		quality.add(countDecisions, o.Reason.String(), 1)
		for i := range o.Path {
			if o.Path[i].To == "hired" {
				quality.add(countHires, "", 1)
			}
		}
	}
	was, err := p.app(tx, o.ApplicationID)
	if err != nil {
		return err
	}
	next := was
	if o.ScreeningFinishedAt > was.finishedAt {
		next.finishedAt = o.ScreeningFinishedAt
		if d := p.at(pt, metricQuality, own, o.ScreeningFinishedAt); d != nil {
			d.add(countFinished, "", 1)
		}
	}
	next.recordedAt = p.recorded(pt, own, o, &was)
	next.behindSince = 0
	if o.ATSBehind {
		next.behindSince = o.ScreeningFinishedAt
	}
	if next.behindSince == was.behindSince && next.finishedAt == was.finishedAt && next.recordedAt == was.recordedAt && (next.behindSince == 0 || was.dims == own) {
		return nil
	}
	next.dims = own
	p.moveBehind(pt, o.ApplicationID, &was, &next)
	return tx.Put("a|"+o.ApplicationID, &entry{app: &next})
}

// moveBehind keeps the count and the set of applications whose ATS is behind.
func (p *processor) moveBehind(pt *partition, app string, was, next *appEntry) {
	if was.behindSince != 0 {
		pt.now(metricQuality, was.dims).add(countBehind, "", -1)
		pt.touched[windowID{metricQuality, 0, was.dims}] = struct{}{}
		delete(pt.behind, app)
	}
	if next.behindSince != 0 {
		pt.now(metricQuality, next.dims).add(countBehind, "", 1)
		pt.touched[windowID{metricQuality, 0, next.dims}] = struct{}{}
		pt.wait(app, behind{next.dims, next.behindSince})
	}
}

// conflict measures a change of an incident. Ids are counted once; a retraction takes the count back.
func (p *processor) conflict(tx *stream.Tx[*entry], pt *partition, o *wire.Incident) error {
	next, err := p.app(tx, o.ApplicationID)
	if err != nil {
		return err
	}
	own := dims{o.System, o.Requisition.Type, o.Requisition.Region}
	if next.dims == (dims{}) {
		next.dims = own
	}
	next.incidents = slices.Clone(next.incidents)
	at := slices.IndexFunc(next.incidents, func(i appIncident) bool { return i.id == o.ID })
	known := at >= 0
	if !known {
		next.incidents = append(next.incidents, appIncident{id: o.ID, kind: o.Kind, owner: o.Owner, dims: own, state: wire.IncidentChangeRetracted, at: o.OpenedAt})
		at = len(next.incidents) - 1
	}
	in := &next.incidents[at]
	kind := o.Kind.String()
	open := func(n int64) { // in what it was opened with, also when it is closed
		now := pt.now(metricConflicts, in.dims)
		now.add(countOpen, kind, n)
		if o.Kind == wire.IncidentKindStuck {
			now.add(countStuck, in.owner, n)
		}
	}
	switch o.Change {
	case wire.IncidentChangeOpened:
		if in.state == wire.IncidentChangeRetracted {
			in.at = o.OpenedAt
			if d := p.at(pt, metricConflicts, own, o.OpenedAt); d != nil {
				d.add(countOpened, kind, 1)
			}
		}
		if in.state != wire.IncidentChangeOpened {
			in.dims, in.owner = own, o.Owner
			open(1)
		}
	case wire.IncidentChangeResolved:
		if in.state == wire.IncidentChangeOpened {
			open(-1)
		}
		if d := p.at(pt, metricConflicts, own, o.ClosedAt); d != nil {
			d.add(countResolved, kind, 1)
		}
	case wire.IncidentChangeRetracted:
		if in.state == wire.IncidentChangeOpened {
			open(-1)
		}
		if d := p.at(pt, metricConflicts, own, in.at); d != nil {
			d.add(countRetracted, kind, 1)
		}
	}
	in.state = o.Change
	next.incidents = forget(next.incidents)
	return tx.Put("a|"+o.ApplicationID, &entry{app: &next})
}

// forget drops the oldest closed incident past the bound.
func forget(all []appIncident) []appIncident {
	closed, oldest := 0, -1
	for i := range all {
		if all[i].state == wire.IncidentChangeOpened {
			continue
		}
		if closed++; oldest < 0 {
			oldest = i
		}
	}
	if closed <= maxAppIncidents {
		return all
	}
	return slices.Delete(all, oldest, oldest+1)
}

// Flush brings the deltas of the transaction into their windows and publishes each window once.
func (p *processor) Flush(tx *stream.Tx[*entry]) error {
	pt := p.partitions[tx.Partition().Number()]
	if pt == nil || !pt.open {
		return nil
	}
	for id := range pt.touched {
		pt.delta(id).put(countOldest, int64(pt.oldest(id.dims)))
	}
	ids := make([]windowID, 0, len(pt.deltas))
	for id := range pt.deltas {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b windowID) int {
		return cmp.Or(strings.Compare(a.metric, b.metric), cmp.Compare(a.start, b.start), strings.Compare(a.dims.system, b.dims.system),
			strings.Compare(a.dims.requisitionType, b.dims.requisitionType), strings.Compare(a.dims.region, b.dims.region))
	})
	deltas, windows := make([]*delta, 0, len(ids)), make([]*wire.KpiWindow, 0, len(ids))
	for _, id := range ids {
		d := pt.deltas[id]
		key := id.key()
		e, ok, err := tx.Get(key)
		if err != nil {
			return err
		}
		var prior *wire.KpiWindow
		if ok {
			prior = e.window
		}
		w, err := apply(prior, d, wire.Micros(p.cfg.Window.Microseconds()), tx.Partition().Number(), wire.Micros(tx.Now()))
		if err != nil {
			return stream.Fatal(err)
		}
		if err := tx.Put(key, &entry{window: w}); err != nil {
			return err
		}
		out := tx.Record()
		out.Topic, out.Key, out.Value = topicOf(id.metric), []byte(key), p.cfg.Schemas.Append(nil, w)
		tx.Produce(out)
		deltas, windows = append(deltas, d), append(windows, w)
	}
	if err := tx.Put(markKey, &entry{mark: &mark{newest: pt.newest, gen: pt.gen}}); err != nil {
		return err
	}
	pt.open = false
	tx.OnCommit(func() { p.m.observe(deltas, windows) })
	return nil
}
