package policy

// Dictionary is dictionary.yaml.
type Dictionary struct {
	Elements map[string]*Element `key:"elements,required" doc:"the elements by name"`
	CutOffs  []CutOff            `key:"cut_offs" doc:"what a score asks for, by requisition type and region"`
}

// Element is what one value means to everybody.
type Element struct {
	Meaning        string         `key:"meaning,required" doc:"what it means"`
	Owner          string         `key:"owner,required" doc:"who answers for its meaning"`
	Type           ElementType    `key:"type,required" doc:"text, number, boolean, enum, date, time, url, list or id"`
	Values         []string       `key:"values" doc:"the values of an enum"`
	Scale          *Scale         `key:"scale" doc:"what makes a score comparable"`
	Golden         ByRegion       `key:"golden,required" doc:"the system whose word counts; one, or one a region"`
	Conflict       Conflict       `key:"conflict,required" doc:"what decides when systems differ"`
	Tolerance      float64        `key:"tolerance" doc:"numbers no further apart than this agree"`
	WriteBack      bool           `key:"write_back" doc:"whether the ATS should show it"`
	Mandatory      *Mandatory     `key:"mandatory" doc:"when it must have reached the ATS"`
	Classification Classification `key:"classification,required" doc:"public, internal, personal or restricted"`
	Retention      Span           `key:"retention,required" doc:"how long it is kept"`
}

// ElementType is the type of an element's canonical text.
type ElementType string

// Choices implements strict.Closed.
func (ElementType) Choices() []string {
	return []string{"text", "number", "boolean", "enum", "date", "time", "url", "list", "id"}
}

// Scale declares a score.
type Scale struct {
	Code     ScaleCode `key:"code,required" doc:"the HR Open score code; any: each score's own, as a share of its ends"`
	Min      float64   `key:"min,required" doc:"the lowest value"`
	Max      float64   `key:"max,required" doc:"the highest value"`
	ValidFor Span      `key:"valid_for" doc:"how long a score may be used"`
}

// ScaleCode is an HR Open score code, or ScaleAny.
type ScaleCode string

// ScaleAny takes every score that declares its scale and both ends. It shows scores, and compares none: a percentile of 81
// and 81 points of 100 are two things.
const ScaleAny ScaleCode = "any"

// Choices implements strict.Closed.
func (ScaleCode) Choices() []string {
	return []string{string(ScaleAny), "raw", "scaled", "percentile", "stanine", "sten", "t", "z", "iq", "normal_curve", "gpa"}
}

// Conflict is what decides between two values.
type Conflict string

// Conflict rules.
const (
	ConflictGolden         Conflict = "golden"
	ConflictLatest         Conflict = "latest"
	ConflictHighestVersion Conflict = "highest-version"
	ConflictUnion          Conflict = "union"
	ConflictHold           Conflict = "hold"
)

// Choices implements strict.Closed.
func (Conflict) Choices() []string {
	return []string{"golden", "latest", "highest-version", "union", "hold"}
}

// Mandatory says when an element must have reached the ATS.
type Mandatory struct {
	After   After    `key:"after" doc:"screening_finished, the default"`
	Within  Span     `key:"within,required" doc:"how long after"`
	Types   []string `key:"types" doc:"requisition types; left out: all"`
	Regions []string `key:"regions" doc:"regions; left out: all"`
}

// After is the moment a mandatory write-back is counted from.
type After string

// Choices implements strict.Closed.
func (After) Choices() []string { return []string{"screening_finished"} }

// Classification says who may see a value.
type Classification string

// Choices implements strict.Closed.
func (Classification) Choices() []string {
	return []string{"public", "internal", "personal", "restricted"}
}

// CutOff turns a score into what it asks for.
type CutOff struct {
	For     Selector `key:"for" doc:"the applications it is for; left out: all"`
	Element string   `key:"element,required" doc:"the score"`
	Advance float64  `key:"advance,required" doc:"from here up, advance"`
	Reject  float64  `key:"reject,required" doc:"below this, reject; between the two, a person looks at it"`
}
