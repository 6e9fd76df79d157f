package world

// Edge is one transition that the default machine allows.
type Edge struct {
	Kind string `json:"kind"` // "edge"
	Name string `json:"name"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Stage relates a native stage to a canonical one; Canonical is empty for a stage nobody mapped.
type Stage struct {
	Kind      string `json:"kind"`   // "stage"
	System    string `json:"system"` // the instance, in a world file
	Native    int64  `json:"native"`
	ID        string `json:"id"` // as topics have it, in a world file
	Name      string `json:"name"`
	Canonical string `json:"canonical"`
}

// Native stages of the simulated tenant.
const (
	nativeApply      = 1001
	nativeTriage     = 1002
	nativeScreening  = 71416
	nativeInterviews = 1004
	nativeOffer      = 1005
	nativePhone      = 2944102 // in a published payload: a triage
	nativeOldOffer   = 2708728 // in a published payload: an offer
	nativeUnmapped   = 7777    // a stage somebody added and nobody mapped
)

// Canonical stages.
const (
	apply      = "apply"
	triage     = "triage"
	screening  = "screening"
	interviews = "interviews"
	offer      = "offer"
	hired      = "hired"
	rejected   = "rejected"
	withdrawn  = "withdrawn"
)

// Rejection reasons of the simulated tenant.
const (
	reasonByVerdict = 8  // what Concord rejects with
	reasonByHuman   = 14 // too junior
	reasonWithdrawn = 40 // the candidate withdrew
)

// Reason is how an instance spells a rejection reason.
type Reason struct {
	Kind   string `json:"kind"` // "reason"
	System string `json:"system"`
	Native int64  `json:"native"`
	ID     string `json:"id"`
}

// Reasons lists the rejection reasons of the simulated tenants.
func Reasons() []int64 { return []int64{reasonByVerdict, reasonByHuman, reasonWithdrawn} }

// Edges is the machine, written out by hand: the audit must not learn it from the policy it checks.
func Edges() []Edge {
	edges := []Edge{
		{Name: "triage", From: apply, To: triage},
		{Name: "screen", From: triage, To: screening},
		{Name: "screen at once", From: apply, To: screening},
		{Name: "pass", From: screening, To: interviews},
		{Name: "fail", From: screening, To: rejected},
		{Name: "offer", From: interviews, To: offer},
		{Name: "hire", From: offer, To: hired},
		{Name: "back to apply", From: triage, To: apply},
		{Name: "back to triage", From: screening, To: triage},
		{Name: "back to screening", From: interviews, To: screening},
		{Name: "back to interviews", From: offer, To: interviews},
		{Name: "reject", From: apply, To: rejected},
		{Name: "reject", From: triage, To: rejected},
		{Name: "reject", From: interviews, To: rejected},
		{Name: "reject", From: offer, To: rejected},
		{Name: "withdraw", From: apply, To: withdrawn},
		{Name: "withdraw", From: triage, To: withdrawn},
		{Name: "withdraw", From: screening, To: withdrawn},
		{Name: "withdraw", From: interviews, To: withdrawn},
		{Name: "withdraw", From: offer, To: withdrawn},
	}
	for i := range edges {
		edges[i].Kind = "edge"
	}
	return edges
}

// Stages lists the native stages of the simulated tenant in the order of its interview plan. The unmapped one
// stands last.
func Stages() []Stage {
	stages := []Stage{
		{Native: nativeApply, Name: "Application Review", Canonical: apply},
		{Native: nativePhone, Name: "Preliminary Phone Screen", Canonical: triage},
		{Native: nativeTriage, Name: "Triage", Canonical: triage},
		{Native: nativeScreening, Name: "Assessment", Canonical: screening},
		{Native: nativeInterviews, Name: "Interviews", Canonical: interviews},
		{Native: nativeOldOffer, Name: "Offer (old)", Canonical: offer},
		{Native: nativeOffer, Name: "Offer", Canonical: offer},
		{Native: nativeUnmapped, Name: "Background Check", Canonical: ""},
	}
	for i := range stages {
		stages[i].Kind = "stage"
	}
	return stages
}
