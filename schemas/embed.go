// Package schemas holds Concord's wire contract: one Avro schema a record, the topics that carry them, and the rules
// by which a schema may change. Everything in it is read-only after start and safe for concurrent use.
package schemas

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"sort"
)

//go:embed *.avsc
var files embed.FS

//go:embed asyncapi.yaml
var asyncAPI []byte

// Topic relates a topic to the record its values carry.
type Topic struct {
	Name   string // topic name
	Record string // Avro record name, in the namespace concord
	// DeadLetters says that the topic is read by Concord and has a dead letter topic <name>.dlq, which carries raw bytes.
	DeadLetters bool
}

// Subject returns the registry subject of the topic's values.
func (t Topic) Subject() string { return t.Name + "-value" }

// topics is the one table of the contract. The order is fixed: static schema ids are numbered along it.
var topics = []Topic{
	{Name: "screening.events", Record: "ScreeningEvent", DeadLetters: true},
	{Name: "ats.changes", Record: "AtsChange", DeadLetters: true},
	{Name: "candidate.events", Record: "CandidateEvent", DeadLetters: true},
	{Name: "hiring.control", Record: "Control", DeadLetters: true},
	{Name: "screening.orders", Record: "ScreeningOrder"},
	{Name: "hiring.state", Record: "HiringState"},
	{Name: "hiring.decisions", Record: "Decision", DeadLetters: true},
	{Name: "hiring.conflicts", Record: "Incident", DeadLetters: true},
	{Name: "ats.commands", Record: "Command", DeadLetters: true},
	{Name: "ats.outcomes", Record: "Outcome", DeadLetters: true},
	{Name: "kpi.writeback", Record: "KpiWindow"},
	{Name: "kpi.conflicts", Record: "KpiWindow"},
	{Name: "kpi.quality", Record: "KpiWindow"},
}

// Topics returns every topic with a registered schema, in the contract's fixed order. The slice is the caller's.
func Topics() []Topic { return append([]Topic(nil), topics...) }

// Records returns the record names in the order of [Topics], each once. Static schema ids are 1..n along it.
func Records() []string {
	var out []string
	seen := map[string]bool{}
	for _, t := range topics {
		if !seen[t.Record] {
			seen[t.Record] = true
			out = append(out, t.Record)
		}
	}
	return out
}

// ByTopic returns the topic's entry; ok is false for a topic that carries no record of the contract.
func ByTopic(topic string) (t Topic, ok bool) {
	for _, t := range topics {
		if t.Name == topic {
			return t, true
		}
	}
	return Topic{}, false
}

// Text returns the Avro schema of a record, as embedded. It stands alone: every type it uses is defined in it.
func Text(record string) (string, error) {
	for _, f := range loaded {
		if f.Schema.Name == record {
			return f.Text, nil
		}
	}
	return "", fmt.Errorf("find schema of record %q: no such record", record)
}

// Get returns the parsed schema of a record. The value is shared: do not change it.
func Get(record string) (*Type, error) {
	for _, f := range loaded {
		if f.Schema.Name == record {
			return f.Schema, nil
		}
	}
	return nil, fmt.Errorf("find schema of record %q: no such record", record)
}

// AsyncAPI returns the AsyncAPI 3.0 document of the contract, as YAML.
func AsyncAPI() []byte { return append([]byte(nil), asyncAPI...) }

// FS returns the embedded *.avsc files.
func FS() fs.FS { return files }

// File is one schema file.
type File struct {
	Name   string // base name, such as ats_change.avsc
	Text   string
	Schema *Type
}

// Load reads and parses every *.avsc file at the top of fsys, sorted by file name.
func Load(fsys fs.FS) ([]File, error) {
	names, err := fs.Glob(fsys, "*.avsc")
	if err != nil {
		return nil, fmt.Errorf("list schemas: %w", err)
	}
	sort.Strings(names)
	out := make([]File, 0, len(names))
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read schema %s: %w", name, err)
		}
		t, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("parse schema %s: %w", name, err)
		}
		out = append(out, File{Name: path.Base(name), Text: string(text), Schema: t})
	}
	return out, nil
}

// loaded is read once; the files are part of the program, and a test parses them, so an error here is a broken build.
var loaded = func() []File {
	out, err := Load(files)
	if err != nil {
		panic(err)
	}
	return out
}()
