package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/strict"
)

// Policy is a bundle as it was read: every file in its own form, and where each value stands. It is not changed after
// Parse.
type Policy struct {
	Bundle     Bundle
	Machine    Machine
	Dictionary Dictionary
	Mappings   map[string]*Mapping // by file
	Waves      Waves

	canonical []byte
	docs      map[string]*strict.Document // by file
}

// Parse reads the files. Its error is [Faults]: all that do not have the form of the format and, as far as it can be read
// nevertheless, all that [Policy.Check] would find. What a bundle of good form says is not judged yet.
func Parse(files Files) (*Policy, error) {
	p := &Policy{Mappings: map[string]*Mapping{}, docs: map[string]*strict.Document{}}
	var faults Faults
	files.checkNames(&faults)
	for _, name := range files.names() {
		var into any
		switch name {
		case BundleFile:
			into = &p.Bundle
		case MachineFile:
			into = &p.Machine
		case DictionaryFile:
			into = &p.Dictionary
		case WavesFile:
			into = &p.Waves
		default:
			if isMapping(name) {
				into = &Mapping{file: name}
			}
		}
		if strings.HasPrefix(name, mappingsDir+"/") && into == nil {
			continue // told by its name
		}
		doc, wrong, _ := strict.Read(name, files[name], into)
		faults = append(faults, wrong...)
		if doc == nil {
			continue
		}
		if m, ok := into.(*Mapping); ok {
			p.Mappings[name] = m
		}
		p.docs[name] = doc
	}
	if len(faults) > 0 {
		meaning, _ := p.check(time.Time{}, faults)
		return nil, append(faults, meaning...).Sorted()
	}
	canonical := newCanonical()
	for _, name := range files.names() {
		canonical.add(name, p.docs[name].Root)
	}
	p.canonical = canonical.bytes()
	return p, nil
}

// keys returns the keys of a map in order.
func keys[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// Bundle is bundle.yaml.
type Bundle struct {
	Name          string               `key:"name,required" doc:"what the bundle is called"`
	Version       string               `key:"version,required" doc:"the version, for people; the digest is what counts"`
	Meaning       string               `key:"meaning" doc:"what this bundle is for"`
	EffectiveFrom Moment               `key:"effective_from,required" doc:"the earliest time it may take effect"`
	ReviewBy      Date                 `key:"review_by,required" doc:"the day by which people look at it again; past it, a warning"`
	ProductOwner  string               `key:"product_owner,required" doc:"the person, by the name of the keys file, who signs the waves"`
	Owners        map[string]string    `key:"owners,required" doc:"every owner of a step, and who that is"`
	Regions       map[string]*Region   `key:"regions,required" doc:"the regions that selectors name"`
	Calendars     map[string]*Calendar `key:"calendars" doc:"working hours and holidays, for business times"`
	Systems       map[string]*System   `key:"systems,required" doc:"every system and every manual workaround"`
	Signatures    Signatures           `key:"signatures,required" doc:"which roles must sign what"`
	Migrations    []Migration          `key:"migrations" doc:"where applications go that stand in a state this version no longer has"`
}

// Region is a part of the world one set of rules holds for.
type Region struct {
	Meaning  string   `key:"meaning,required" doc:"what the region is"`
	Codes    []string `key:"codes,required" doc:"the region codes of events that belong to it"`
	Calendar string   `key:"calendar" doc:"the calendar of its business times"`
}

// Calendar is when people work.
type Calendar struct {
	Timezone string            `key:"timezone,required" doc:"an IANA time zone, such as Europe/Berlin"`
	Hours    map[Day]Hours     `key:"hours,required" doc:"working hours by weekday; a day left out is free"`
	Holidays map[string]string `key:"holidays" doc:"days that are free, by date, and why"`
}

// Day is a weekday.
type Day string

// Choices implements strict.Closed.
func (Day) Choices() []string { return []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

// SystemKind says what a system is to hiring.
type SystemKind string

// System kinds.
const (
	KindATS       SystemKind = "ats"
	KindNone      SystemKind = "none"
	KindVendor    SystemKind = "vendor"
	KindMedia     SystemKind = "media"
	KindOperators SystemKind = "operators"
	KindManual    SystemKind = "manual"
)

// Choices implements strict.Closed.
func (SystemKind) Choices() []string {
	return []string{"ats", "none", "vendor", "media", "operators", "manual"}
}

// System is one entry of the inventory.
type System struct {
	Kind          SystemKind     `key:"kind,required" doc:"ats, none (teams without an ATS, whose applications Concord keeps), vendor, media (recordings and transcripts), operators (Concord's own people), or manual (a spreadsheet, a mailbox, a habit)"`
	Meaning       string         `key:"meaning,required" doc:"what it is"`
	Owner         string         `key:"owner,required" doc:"who answers for it"`
	Region        string         `key:"region,required" doc:"where it keeps its data"`
	Instances     []string       `key:"instances" doc:"the names it has in events; a * at the end stands for any rest"`
	Masters       []string       `key:"masters" doc:"the elements it is the golden source of"`
	ClockMargin   Span           `key:"clock_margin" doc:"how far its clock may be off"`
	OrderedBy     Ordering       `key:"ordered_by" doc:"time (the default) or revision"`
	Holds         []string       `key:"holds" doc:"recordings or transcripts it keeps"`
	Limits        *Limits        `key:"limits" doc:"its published API limits"`
	Subprocessors []Subprocessor `key:"subprocessors" doc:"who processes the data for it"`
	Native        *Native        `key:"native" doc:"what the ATS itself has"`
}

// Ordering says what orders the events of a system.
type Ordering string

// Choices implements strict.Closed.
func (Ordering) Choices() []string { return []string{"time", "revision"} }

// Limits are the limits of an API.
type Limits struct {
	Requests   int  `key:"requests" doc:"requests in each period"`
	Per        Span `key:"per" doc:"the period"`
	Concurrent int  `key:"concurrent" doc:"requests at once"`
}

// Subprocessor is somebody who processes data for a system.
type Subprocessor struct {
	Name    string `key:"name,required" doc:"who"`
	Region  string `key:"region,required" doc:"where"`
	Purpose string `key:"purpose,required" doc:"what for"`
}

// Native is what an ATS has, by its own ids.
type Native struct {
	Stages  map[string]string       `key:"stages,required" doc:"stage ids and their labels; labels are never matched"`
	Fields  map[string]*NativeField `key:"fields" doc:"fields of the application by key"`
	Reasons map[string]string       `key:"rejection_reasons" doc:"rejection reason ids and their labels"`
	Writes  []Write                 `key:"writes" doc:"what can be written to it"`
}

// NativeField is one field of an ATS.
type NativeField struct {
	Type     FieldType `key:"type,required" doc:"text, number, boolean, json, or note: text in a note of its own"`
	ID       string    `key:"id" doc:"the field's number, where it has one beside its key"`
	Writable bool      `key:"writable" doc:"whether it can be written"`
}

// FieldType is the type of a native field.
type FieldType string

// Choices implements strict.Closed.
func (FieldType) Choices() []string { return []string{"text", "number", "boolean", "json", "note"} }

// Write is a kind of write an ATS takes.
type Write string

// Writes.
const (
	WriteStage    Write = "stage"
	WriteElements Write = "elements"
	writeStatus         = "status:" // and the status
)

// Choices implements strict.Closed.
func (Write) Choices() []string {
	return []string{"stage", "elements", "status:active", "status:rejected", "status:withdrawn", "status:hired"}
}

// Signatures are the roles that must sign each part.
type Signatures struct {
	Bundle     []string `key:"bundle,required" doc:"roles that sign bundle.yaml"`
	Machine    []string `key:"machine,required" doc:"roles that sign machine.yaml"`
	Dictionary []string `key:"dictionary,required" doc:"roles that sign dictionary.yaml"`
	Mappings   []string `key:"mappings,required" doc:"roles that sign the mappings"`
	Waves      []string `key:"waves,required" doc:"roles that sign waves.yaml; product-owner is the named person alone"`
}

// Migration is where an application goes whose state is gone.
type Migration struct {
	From string `key:"from,required" doc:"a state of an earlier version"`
	To   string `key:"to,required" doc:"a state of this one"`
	Why  string `key:"why,required" doc:"why"`
}

// pattern is a name of a system in events: exact, or what it begins with.
type pattern struct {
	system, prefix string
	open           bool
}

func (n pattern) matches(instance string) bool {
	return n.prefix == instance || n.open && strings.HasPrefix(instance, n.prefix)
}

// text is the pattern as written.
func (n pattern) text() string {
	if n.open {
		return n.prefix + "*"
	}
	return n.prefix
}

// patterns returns every instance of the inventory; the first that matches a name holds: exact ones before open ones,
// longer ones before shorter ones.
func (b *Bundle) patterns() []pattern {
	var out []pattern
	for _, id := range keys(b.Systems) {
		for _, name := range b.Systems[id].Instances {
			prefix, open := strings.CutSuffix(name, "*")
			out = append(out, pattern{id, prefix, open})
		}
	}
	slices.SortStableFunc(out, func(a, b pattern) int {
		if a.open != b.open {
			if a.open {
				return 1
			}
			return -1
		}
		return len(b.prefix) - len(a.prefix)
	})
	return out
}

// system returns the inventory's entry for the name an event carries.
func (b *Bundle) system(instance string) (id string, s *System) {
	for _, n := range b.patterns() {
		if n.matches(instance) {
			return n.system, b.Systems[n.system]
		}
	}
	return "", nil
}

// Digest returns the SHA-256 of the canonical form.
func (p *Policy) Digest() Digest { return DigestOf(p.canonical) }

// Canonical returns the canonical form; see the package comment. It is not to be changed.
func (p *Policy) Canonical() []byte { return p.canonical }

// fault makes a fault at the place of a path, or of the nearest one around it.
func (p *Policy) fault(file, path, value, problem, fix string, args ...any) Fault {
	f := p.docs[file].Fault(path, value, problem, fmt.Sprintf(fix, args...))
	f.File = file
	return f
}

// hiringDigest is the digest as decisions carry it.
func (d Digest) hiringDigest() hiring.Digest { return hiring.Digest(d[:16]) }
