package replay

import (
	"fmt"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/concord-ats/concord/pkg/hiring"
)

// tally is what one application adds to the figures.
type tally struct {
	was, is     figures
	notCompared int64 // answers of the ATS after the lives parted
}

// figures are those of one life.
type figures struct {
	outcomes  [hiring.OutcomeFailed + 1]int32
	latencies []float64 // seconds, of confirmed writes behind a screening
	incidents [hiring.IncidentKinds]int32
	hires     int32
}

// add counts as the kpi consumer does: outcomes of writes, incidents net of what was retracted, hires.
func (f *figures) add(e *hiring.Event, d *hiring.Decision) {
	if o := e.Outcome; e.Type == hiring.EventOutcome && o.Kind == hiring.CommandApply && d.Disposition() == hiring.DispositionApplied {
		f.outcomes[o.Outcome]++
		if o.Outcome == hiring.OutcomeConfirmed && o.Cause.FinishedAt != 0 {
			f.latencies = append(f.latencies, max(0, o.FinishedAt.Sub(o.Cause.FinishedAt).Seconds()))
		}
	}
	for i := range d.Incidents {
		switch in := &d.Incidents[i]; in.Change {
		case hiring.IncidentOpened:
			f.incidents[in.Kind]++
		case hiring.IncidentRetracted:
			f.incidents[in.Kind]--
		case hiring.IncidentResolved:
		}
	}
	if d.To == hiring.StageHired && d.From != d.To {
		f.hires++
	}
}

// Figures are the KPIs of one run, as far as the decisions determine them.
type Figures struct {
	Confirmed int64 `json:"confirmed"`
	Blocked   int64 `json:"blocked"`
	Refused   int64 `json:"refused"`
	Failed    int64 `json:"failed"`
	Already   int64 `json:"already"`
	Hires     int64 `json:"hires"`
	// Incidents opened by kind, net of retracted ones.
	Incidents map[string]int64 `json:"incidents"`
	// Latency from screening finished to ATS confirmed, in seconds.
	Samples int64   `json:"samples"`
	P50     float64 `json:"p50"`
	P95     float64 `json:"p95"`

	sketch *ddsketch.DDSketch
}

// SuccessRate is confirmed of what ended: confirmed, blocked, refused, failed. With so many writes more whose answer is not
// known it lies between low and high; ok is false where nothing ended.
func (f *Figures) SuccessRate(unanswered int64) (low, high float64, ok bool) {
	ended := f.Confirmed + f.Blocked + f.Refused + f.Failed + unanswered
	if ended == 0 {
		return 0, 0, false
	}
	return float64(f.Confirmed) / float64(ended), float64(f.Confirmed+unanswered) / float64(ended), true
}

func newFigures() (Figures, error) {
	sketch, err := ddsketch.LogCollapsingLowestDenseDDSketch(0.01, 2048) // as kpi.writeback has it
	if err != nil {
		return Figures{}, fmt.Errorf("replay: %w", err)
	}
	return Figures{Incidents: map[string]int64{}, sketch: sketch}, nil
}

func (f *Figures) merge(of *figures) error {
	f.Confirmed += int64(of.outcomes[hiring.OutcomeConfirmed])
	f.Blocked += int64(of.outcomes[hiring.OutcomeBlocked])
	f.Refused += int64(of.outcomes[hiring.OutcomeRefused])
	f.Failed += int64(of.outcomes[hiring.OutcomeFailed])
	f.Already += int64(of.outcomes[hiring.OutcomeAlready])
	f.Hires += int64(of.hires)
	for kind, n := range of.incidents {
		if n != 0 {
			f.Incidents[hiring.IncidentKind(kind).String()] += int64(n)
		}
	}
	for _, s := range of.latencies {
		if err := f.sketch.Add(s); err != nil {
			return fmt.Errorf("replay: latency: %w", err)
		}
	}
	return nil
}

func (f *Figures) close() error {
	f.Samples = int64(f.sketch.GetCount())
	if f.Samples == 0 {
		return nil
	}
	q, err := f.sketch.GetValuesAtQuantiles([]float64{0.5, 0.95})
	if err != nil {
		return fmt.Errorf("replay: latency: %w", err)
	}
	f.P50, f.P95 = q[0], q[1]
	return nil
}
