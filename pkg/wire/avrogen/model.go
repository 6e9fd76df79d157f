package main

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/concord-ats/concord/schemas"
)

// goNames are the records whose Go name is not their Avro name: wire.Cause is why a record is dead-lettered.
var goNames = map[string]string{"Cause": "CommandCause"}

// handwritten are the sizes of the types that pkg/wire defines by hand.
var handwritten = map[string]int{"Digest": 16, "ShortDigest": 8}

// withDigest are the top records that have an identity, and so a content digest.
var withDigest = map[string]bool{
	"ScreeningEvent": true, "AtsChange": true, "Control": true, "CandidateEvent": true, "Outcome": true,
}

// notContent are the top-level fields a content digest leaves out: each delivery has its own.
var notContent = map[string]bool{"observed_at": true}

var initialisms = map[string]string{
	"id": "ID", "ids": "IDs", "uri": "URI", "url": "URL", "sha256": "SHA256", "ats": "ATS",
}

// camel turns a snake_case name into a Go name.
func camel(name string) string {
	var b strings.Builder
	for _, part := range strings.Split(name, "_") {
		if s, ok := initialisms[part]; ok {
			b.WriteString(s)
		} else if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}

// typeName returns the Go name of a named type.
func typeName(t *schemas.Type) string {
	if name, ok := goNames[t.Name]; ok {
		return name
	}
	return t.Name
}

// contract is every named type of all files, once.
type contract struct {
	types map[string]*schemas.Type // full name -> definition
	uses  map[string][]string      // full name -> files that define it, sorted
	order []string                 // full names, in order of first definition
	tops  map[string]bool          // full names of top records
	// digested are the records reachable from one with a content digest.
	digested map[string]bool
}

// collect gathers the types of all files and refuses what the generator cannot express.
func collect(files []schemas.File) (*contract, error) {
	c := &contract{
		types: map[string]*schemas.Type{}, uses: map[string][]string{}, tops: map[string]bool{}, digested: map[string]bool{},
	}
	for _, f := range files {
		if f.Schema.Kind != schemas.KindRecord {
			return nil, fmt.Errorf("%s: the top type is a %s, want a record", f.Name, f.Schema.Kind)
		}
		c.tops[f.Schema.FullName()] = true
		if err := c.add(f.Schema, f.Name); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if withDigest[f.Schema.Name] {
			c.markDigested(f.Schema)
		}
	}
	return c, c.checkNames()
}

func (c *contract) add(t *schemas.Type, file string) error {
	switch t.Kind {
	case schemas.KindArray:
		return c.add(t.Items, file)
	case schemas.KindUnion:
		if len(t.Members) != 2 || t.Members[0].Kind != schemas.KindNull || t.Members[1].Kind != schemas.KindRecord {
			return fmt.Errorf("a union must be null and a record")
		}
		return c.add(t.Members[1], file)
	case schemas.KindBoolean, schemas.KindInt, schemas.KindLong, schemas.KindDouble, schemas.KindBytes, schemas.KindString:
		return nil
	case schemas.KindRecord, schemas.KindEnum, schemas.KindFixed:
	default:
		return fmt.Errorf("type %s is not supported", t.Kind)
	}
	full := t.FullName()
	if old, ok := c.types[full]; ok {
		if !reflect.DeepEqual(old, t) {
			return fmt.Errorf("%s is defined otherwise in %s", full, c.uses[full][0])
		}
		if at := c.uses[full]; at[len(at)-1] == file {
			return nil
		}
	} else {
		c.types[full] = t
		c.order = append(c.order, full)
	}
	c.uses[full] = append(c.uses[full], file)
	if t.Kind == schemas.KindEnum && (len(t.Symbols) > 128 || t.Default == nil || *t.Default != t.Symbols[0]) {
		return fmt.Errorf("enum %s: the default must be the first of at most 128 symbols", full)
	}
	if t.Kind == schemas.KindFixed && handwritten[t.Name] != t.Size {
		return fmt.Errorf("fixed %s of %d bytes: pkg/wire has no such type", full, t.Size)
	}
	for i := range t.Fields {
		f := &t.Fields[i]
		if err := c.add(f.Type, file); err != nil {
			return fmt.Errorf("%s.%s: %w", full, f.Name, err)
		}
		if f.Default != nil && !isZero(f.Type, string(f.Default)) {
			return fmt.Errorf("%s.%s: the default must be the Go zero value", full, f.Name)
		}
	}
	return nil
}

// isZero reports whether the JSON default of a field is the Go zero value. The decoder of older records and the
// content digest rely on that: a field that is not said and a field at its default are the same.
func isZero(t *schemas.Type, text string) bool {
	switch t.Kind {
	case schemas.KindBoolean:
		return text == "false"
	case schemas.KindInt, schemas.KindLong, schemas.KindDouble:
		return text == "0" || text == "0.0"
	case schemas.KindString, schemas.KindBytes:
		return text == `""`
	case schemas.KindArray:
		return text == "[]"
	case schemas.KindRecord:
		return text == "{}"
	case schemas.KindUnion:
		return text == "null"
	case schemas.KindEnum:
		return text == `"`+t.Symbols[0]+`"`
	case schemas.KindFixed:
		return text == `"`+strings.Repeat(`\u0000`, t.Size)+`"`
	default:
		return false
	}
}

// checkNames refuses two things of one Go name.
func (c *contract) checkNames() error {
	taken := map[string]string{}
	claim := func(name, by string) error {
		if other, ok := taken[name]; ok {
			return fmt.Errorf("the Go name %s stands for %s and %s", name, other, by)
		}
		taken[name] = by
		return nil
	}
	for _, full := range c.order {
		t := c.types[full]
		if err := claim(typeName(t), full); err != nil {
			return err
		}
		for _, s := range t.Symbols {
			if err := claim(typeName(t)+camel(s), full+"."+s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *contract) markDigested(t *schemas.Type) {
	switch t.Kind {
	case schemas.KindArray:
		c.markDigested(t.Items)
	case schemas.KindUnion:
		c.markDigested(t.Members[1])
	case schemas.KindRecord:
		c.digested[t.FullName()] = true
		for i := range t.Fields {
			c.markDigested(t.Fields[i].Type)
		}
	default:
	}
}

// minSize is the least number of bytes a value of the type takes.
func minSize(t *schemas.Type) int {
	switch t.Kind {
	case schemas.KindDouble:
		return 8
	case schemas.KindFixed:
		return t.Size
	case schemas.KindRecord:
		n := 0
		for i := range t.Fields {
			n += minSize(t.Fields[i].Type)
		}
		return n
	default:
		return 1
	}
}

// byName returns the fields sorted by name.
func byName(fields []schemas.Field) []schemas.Field {
	out := append([]schemas.Field(nil), fields...)
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
