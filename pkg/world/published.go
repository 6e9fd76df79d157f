package world

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed published/*.json
var bodies embed.FS

// published adds the webhooks the vendor's documentation prints, as they are, and what the ATS shows of their
// applications. They are of the first instance that speaks their dialect.
func (w *World) published(cfg *Config) {
	at := slices.IndexFunc(cfg.Instances, func(in Instance) bool { return in.greenhouse() })
	if at < 0 {
		return
	}
	in := &cfg.Instances[at]
	date := func(s string) time.Time {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err) // a literal below
		}
		return t
	}
	unset := map[string]string{fieldRecommendation: "", fieldReport: "", fieldScore: "", fieldStatus: ""}
	for _, p := range []struct {
		app            StoreApplication
		what, canonic  string
		reason         int64
		stuck, decides bool
	}{
		{app: StoreApplication{ID: 265277, CandidateID: 265772, StageID: nativeScreening, Status: "active", AppliedAt: date("2013-03-22T00:00:00Z"), LastActivityAt: date("2015-02-09T16:38:36Z")}, what: "stage changed", canonic: screening},
		{app: StoreApplication{ID: 265293, CandidateID: 265788, StageID: nativeOldOffer, Status: "active", AppliedAt: date("2013-03-22T00:00:00Z"), LastActivityAt: date("2015-02-11T15:50:41Z")}, what: "rejected and unrejected in one second", canonic: offer},
		{app: StoreApplication{ID: 46194062, CandidateID: 35897443, StageID: nativeOffer, Status: "hired", AppliedAt: date("2017-08-27T00:00:00Z"), LastActivityAt: date("2017-09-10T00:00:00Z")}, what: "hired", canonic: hired},
		{app: StoreApplication{ID: 71980812, CandidateID: 60304594, StageID: nativePhone, Status: "active", AppliedAt: date("2017-10-27T14:44:42Z"), LastActivityAt: date("2017-10-27T14:44:42Z")}, what: "applied", canonic: triage},
	} {
		w.Store[in.System] = append(w.Store[in.System], p.app)
		w.Applications = append(w.Applications, Application{
			Kind: "application", ID: in.application(p.app.ID), Native: p.app.ID, Story: "published: " + p.what,
			Truth: []Fact{{At: p.app.LastActivityAt, Who: "human", What: p.what}},
			Ends:  []End{{Canonical: p.canonic, Stage: p.app.StageID, Status: p.app.Status, Fields: unset}},
		})
	}
	for i, name := range Published() {
		w.Steps = append(w.Steps, Step{
			Wave: prologue, pos: float64(i) / 1000,
			Webhook: &Webhook{System: in.System, EventID: "published-" + strings.TrimSuffix(name, ".json"), Body: PublishedBody(name)},
		})
	}
}

// Published names the published webhook bodies, in a fixed order.
func Published() []string {
	entries, err := bodies.ReadDir("published")
	if err != nil {
		panic(fmt.Sprintf("world: embedded folder: %v", err))
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

// PublishedBody returns one published body, byte for byte. It panics for a name Published does not list.
func PublishedBody(name string) []byte {
	b, err := bodies.ReadFile(path.Join("published", name))
	if err != nil {
		panic(fmt.Sprintf("world: %v", err))
	}
	return b
}
