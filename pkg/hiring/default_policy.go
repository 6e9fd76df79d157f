package hiring

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Elements of the default dictionary that a screening result fills.
const (
	ElementScreeningStatus         = "screening_status"
	ElementScreeningScore          = "screening_score"
	ElementScreeningScoreRaw       = "screening_score_raw"
	ElementScreeningRecommendation = "screening_recommendation"
	ElementScreeningReport         = "screening_report_url"
	ElementScreeningFinishedAt     = "screening_finished_at"
	ElementCompetencies            = "screening_competencies"
	ElementReviewerIDs             = "screening_reviewer_ids"
	ElementMedia                   = "screening_media"
)

const day = 24 * time.Hour

// DefaultStages is the machine's stages: apply, triage, structured screening, interviews, offer, close.
func DefaultStages() []StageRule {
	return []StageRule{
		{Stage: StageApply, Rank: 1, Owner: "recruiter", SLA: 3 * day},
		{Stage: StageTriage, Rank: 2, Owner: "recruiter", SLA: 3 * day},
		{Stage: StageScreening, Rank: 3, Owner: "vendor", SLA: 5 * day},
		{Stage: StageInterviews, Rank: 4, Owner: "hiring manager", SLA: 14 * day},
		{Stage: StageOffer, Rank: 5, Owner: "recruiter", SLA: 7 * day},
		{Stage: StageHired, Rank: 6, Closed: true, Status: StatusHired, Owner: "recruiter"},
		{Stage: StageRejected, Closed: true, Status: StatusRejected, Owner: "recruiter"},
		{Stage: StageWithdrawn, Closed: true, Status: StatusWithdrawn, Owner: "recruiter"},
	}
}

// DefaultEdges is the table of transitions; each has an owner, an SLA and an authority. What is not in it is a
// forbidden jump.
func DefaultEdges() []Edge {
	const person = AuthorityHuman | AuthorityOverride
	const anyone = person | AuthorityIntegration | AuthoritySystem
	edges := []Edge{
		{Name: "triage", From: StageApply, To: StageTriage, Owner: "recruiter", SLA: 3 * day, Authority: anyone},
		{Name: "screen", From: StageTriage, To: StageScreening, Owner: "vendor", SLA: 5 * day, Authority: anyone},
		{Name: "screen at once", From: StageApply, To: StageScreening, Owner: "vendor", SLA: 5 * day, Authority: anyone},
		{Name: "pass", From: StageScreening, To: StageInterviews, Owner: "hiring manager", SLA: 14 * day, Authority: person | AuthorityVendor, Verdict: VerdictAdvance},
		{Name: "fail", From: StageScreening, To: StageRejected, Owner: "recruiter", SLA: day, Authority: person | AuthorityVendor, Verdict: VerdictReject},
		{Name: "offer", From: StageInterviews, To: StageOffer, Owner: "recruiter", SLA: 7 * day, Authority: person},
		{Name: "hire", From: StageOffer, To: StageHired, Owner: "recruiter", SLA: day, Authority: person},
		{Name: "back to apply", From: StageTriage, To: StageApply, Owner: "recruiter", SLA: 3 * day, Authority: person},
		{Name: "back to triage", From: StageScreening, To: StageTriage, Owner: "recruiter", SLA: 3 * day, Authority: person},
		{Name: "back to screening", From: StageInterviews, To: StageScreening, Owner: "vendor", SLA: 5 * day, Authority: person},
		{Name: "back to interviews", From: StageOffer, To: StageInterviews, Owner: "hiring manager", SLA: 14 * day, Authority: person},
	}
	for _, from := range []Stage{StageApply, StageTriage, StageInterviews, StageOffer} {
		edges = append(edges, Edge{Name: "reject", From: from, To: StageRejected, Owner: "recruiter", SLA: day, Authority: person})
	}
	for _, from := range []Stage{StageApply, StageTriage, StageScreening, StageInterviews, StageOffer} {
		edges = append(edges, Edge{Name: "withdraw", From: from, To: StageWithdrawn, Owner: "recruiter", SLA: day, Authority: person | AuthoritySystem})
	}
	return edges
}

// DefaultElements is the part of the dictionary the core needs, sorted by name.
func DefaultElements() []ElementRule {
	return []ElementRule{
		{Name: ElementScreeningRecommendation, WriteBack: true},
		{Name: ElementScreeningReport, WriteBack: true},
		{Name: ElementScreeningScore, WriteBack: true, Mandatory: true},
		{Name: ElementScreeningStatus, WriteBack: true},
	}
}

// GreenhouseMapping is the default mapping of Greenhouse stage ids.
func GreenhouseMapping() *Mapping {
	return &Mapping{
		Stages: map[string]Stage{
			"1001": StageApply, "1002": StageTriage, "71416": StageScreening, "1004": StageInterviews, "1005": StageOffer,
			"2944102": StageTriage, "2708728": StageOffer,
		},
		Native: map[Stage]string{
			StageApply: "1001", StageTriage: "1002", StageScreening: "71416", StageInterviews: "1004", StageOffer: "1005",
		},
		RejectWith: "8",
	}
}

// DefaultBundle returns the default policy: the named systems, and any whose name starts with "gh-", are Greenhouse
// instances; any other is a vendor whose clock may be off by a minute. Effective since ever. The names are part of
// its digest.
func DefaultBundle(greenhouse ...string) *Bundle {
	mapping := GreenhouseMapping()
	known := slices.Sorted(slices.Values(greenhouse))
	b := &Bundle{
		Stages: DefaultStages(), Edges: DefaultEdges(), Elements: DefaultElements(),
		Forbidden: JumpHold, Unauthorised: JumpRevert, Mode: ModeWrite,
		System: func(name string) (System, bool) {
			switch {
			case strings.HasPrefix(name, "gh-") || slices.Contains(known, name):
				return System{Mapping: mapping}, true
			case name == ControlSystem:
				return System{}, true
			}
			return System{Margin: time.Minute}, true
		},
	}
	b.Digest = tableDigest(b, known)
	return b
}

// tableDigest names the tables of a bundle and its Greenhouse instances, in order.
func tableDigest(b *Bundle, greenhouse []string) Digest {
	h := sha256.New()
	for _, s := range b.Stages {
		fmt.Fprintf(h, "stage %q %d %t %d %q %d\n", s.Stage, s.Rank, s.Closed, s.Status, s.Owner, s.SLA)
	}
	for _, e := range b.Edges {
		fmt.Fprintf(h, "edge %q %q %q %q %d %d %d\n", e.Name, e.From, e.To, e.Owner, e.SLA, e.Authority, e.Verdict)
	}
	for _, e := range b.Elements {
		fmt.Fprintf(h, "element %q %t %t\n", e.Name, e.WriteBack, e.Mandatory)
	}
	for _, name := range greenhouse {
		if !strings.HasPrefix(name, "gh-") {
			fmt.Fprintf(h, "greenhouse %q\n", name)
		}
	}
	fmt.Fprintf(h, "jumps %d %d mode %d\n", b.Forbidden, b.Unauthorised, b.Mode)
	return Digest(h.Sum(nil)[:16])
}

// DefaultRules returns the default bundle with the default bounds; see DefaultBundle for the names.
func DefaultRules(greenhouse ...string) *Rules {
	return &Rules{Bundles: []*Bundle{DefaultBundle(greenhouse...)}, Bounds: DefaultBounds()}
}
