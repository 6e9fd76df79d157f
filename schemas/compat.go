package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// CheckEvolution reports every reason why newer may not follow older in a subject, joined, or nil. A subject's schemas
// must stay readable both ways, since old and new programs and old and new records live side by side:
//
//   - a new field has a default, and so had a removed one; a default never changes;
//   - an int may become a long, float or double, a long a float or double, a float a double. Readers are upgraded
//     before writers then: a reader of the narrow type refuses records of the wide one;
//   - an enum keeps its symbols; one that gains symbols has a default in both, and the default stays;
//   - names of records, enums, fixed types and fields stay: there are no renames, and aliases are ignored;
//   - a logical type, the size of a fixed type and the members of a union stay.
//
// Registries differ in how much of it they check, and the embedded one checks nothing, so this is the check that counts.
func CheckEvolution(older, newer *Type) error {
	c := comparer{done: map[[2]*Type]bool{}}
	c.compare(older.FullName(), older, newer)
	return errors.Join(c.problems...)
}

type comparer struct {
	problems []error
	done     map[[2]*Type]bool // named types that were compared, or are
}

func (c *comparer) problem(path, format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (c *comparer) compare(path string, older, newer *Type) {
	pair := [2]*Type{older, newer}
	if c.done[pair] {
		return
	}
	c.done[pair] = true
	if older.Kind != newer.Kind {
		if !promotes(older.Kind, newer.Kind) {
			c.problem(path, "the type changed from %s to %s", older.Kind, newer.Kind)
		}
		if older.Logical != newer.Logical {
			c.problem(path, "the logical type changed from %q to %q", older.Logical, newer.Logical)
		}
		return
	}
	if older.Logical != newer.Logical {
		c.problem(path, "the logical type changed from %q to %q", older.Logical, newer.Logical)
	}
	if older.FullName() != newer.FullName() {
		c.problem(path, "the type was renamed from %s to %s", older.FullName(), newer.FullName())
	}
	switch older.Kind {
	case KindRecord:
		c.compareRecords(path, older, newer)
	case KindEnum:
		c.compareEnums(path, older, newer)
	case KindFixed:
		if older.Size != newer.Size {
			c.problem(path, "the size changed from %d to %d", older.Size, newer.Size)
		}
	case KindArray, KindMap:
		c.compare(path+"[]", older.Items, newer.Items)
	case KindUnion:
		if len(older.Members) != len(newer.Members) {
			c.problem(path, "the union changed from %d to %d members", len(older.Members), len(newer.Members))
			return
		}
		for i := range older.Members {
			c.compare(path, older.Members[i], newer.Members[i])
		}
	default:
	}
}

func (c *comparer) compareRecords(path string, older, newer *Type) {
	for i := range newer.Fields {
		f := &newer.Fields[i]
		old := older.Field(f.Name)
		if old == nil {
			if f.Default == nil {
				c.problem(path+"."+f.Name, "the new field has no default")
			}
			continue
		}
		if old.Default != nil && !sameJSON(old.Default, f.Default) {
			c.problem(path+"."+f.Name, "the default changed")
		}
		c.compare(path+"."+f.Name, old.Type, f.Type)
	}
	for i := range older.Fields {
		if f := &older.Fields[i]; newer.Field(f.Name) == nil && f.Default == nil {
			c.problem(path+"."+f.Name, "the removed field had no default")
		}
	}
}

func (c *comparer) compareEnums(path string, older, newer *Type) {
	for _, s := range older.Symbols {
		if !slices.Contains(newer.Symbols, s) {
			c.problem(path, "the symbol %s was removed", s)
		}
	}
	grown := slices.ContainsFunc(newer.Symbols, func(s string) bool { return !slices.Contains(older.Symbols, s) })
	switch {
	case grown && (older.Default == nil || newer.Default == nil):
		c.problem(path, "the enum gained a symbol without having a default before and after")
	case older.Default != nil && (newer.Default == nil || *older.Default != *newer.Default):
		c.problem(path, "the enum's default changed")
	}
}

// promotes reports whether a value of kind from may be read as kind to.
func promotes(from, to Kind) bool {
	switch from {
	case KindInt:
		return to == KindLong || to == KindFloat || to == KindDouble
	case KindLong:
		return to == KindFloat || to == KindDouble
	case KindFloat:
		return to == KindDouble
	default:
		return false
	}
}

// sameJSON compares two defaults without regard to how they are written.
func sameJSON(a, b json.RawMessage) bool {
	var va, vb any
	if json.Unmarshal(a, &va) != nil || json.Unmarshal(b, &vb) != nil {
		return bytes.Equal(a, b)
	}
	ta, errA := json.Marshal(va)
	tb, errB := json.Marshal(vb)
	return errA == nil && errB == nil && bytes.Equal(ta, tb)
}

// CheckReadable reports why records written with writer cannot be read as reader, or nil: a field the reader needs and
// the writer does not have, or a type that is neither the same nor promoted. An enum symbol the reader does not know
// is no reason where the reader's enum has a default. It also refuses a writer's schema that could describe many
// values in no bytes, for which a few bytes of input would take any amount of memory.
func CheckReadable(reader, writer *Type) error {
	if err := checkSizes(writer, map[*Type]bool{}); err != nil {
		return err
	}
	return readable(reader.FullName(), reader, writer, map[[2]*Type]bool{})
}

func readable(path string, reader, writer *Type, done map[[2]*Type]bool) error {
	pair := [2]*Type{reader, writer}
	if done[pair] {
		return nil
	}
	done[pair] = true
	if writer.Kind == KindUnion && reader.Kind != KindUnion {
		// Any branch may come, so all must be readable.
		for _, m := range writer.Members {
			if err := readable(path, reader, m, done); err != nil {
				return err
			}
		}
		return nil
	}
	if reader.Kind == KindUnion {
		return readableUnion(path, reader, writer, done)
	}
	if reader.Kind != writer.Kind {
		if promotes(writer.Kind, reader.Kind) {
			return nil
		}
		return fmt.Errorf("%s: cannot read %s as %s", path, writer.Kind, reader.Kind)
	}
	if reader.Kind.Named() && reader.Name != writer.Name {
		return fmt.Errorf("%s: cannot read %s as %s", path, writer.FullName(), reader.FullName())
	}
	switch reader.Kind {
	case KindRecord:
		for i := range reader.Fields {
			f := &reader.Fields[i]
			w := writer.Field(f.Name)
			switch {
			case w != nil:
				if err := readable(path+"."+f.Name, f.Type, w.Type, done); err != nil {
					return err
				}
			case f.Default == nil:
				return fmt.Errorf("%s.%s: the writer has no such field and it has no default", path, f.Name)
			}
		}
	case KindEnum:
		for _, s := range writer.Symbols {
			if reader.Default == nil && !slices.Contains(reader.Symbols, s) {
				return fmt.Errorf("%s: symbol %s is not known and there is no default", path, s)
			}
		}
	case KindFixed:
		if reader.Size != writer.Size {
			return fmt.Errorf("%s: cannot read %d bytes as %d", path, writer.Size, reader.Size)
		}
	case KindArray, KindMap:
		return readable(path+"[]", reader.Items, writer.Items, done)
	default:
	}
	return nil
}

// readableUnion wants every branch the writer may send to be readable as one of the reader's.
func readableUnion(path string, reader, writer *Type, done map[[2]*Type]bool) error {
	branches := []*Type{writer}
	if writer.Kind == KindUnion {
		branches = writer.Members
	}
	for _, w := range branches {
		at := slices.IndexFunc(reader.Members, func(m *Type) bool {
			return m.Kind == w.Kind && (!m.Kind.Named() || m.Name == w.Name)
		})
		if at < 0 {
			return fmt.Errorf("%s: cannot read branch %s", path, w.FullName())
		}
		if err := readable(path, reader.Members[at], w, done); err != nil {
			return err
		}
	}
	return nil
}

// checkSizes refuses arrays and maps of items that take no bytes. Map keys take one, so maps are bounded.
func checkSizes(t *Type, done map[*Type]bool) error {
	if done[t] {
		return nil
	}
	done[t] = true
	if t.Kind == KindArray && !takesBytes(t.Items) {
		return fmt.Errorf("an array has items of %s, which take no bytes", t.Items.FullName())
	}
	if t.Items != nil {
		if err := checkSizes(t.Items, done); err != nil {
			return err
		}
	}
	for _, m := range t.Members {
		if err := checkSizes(m, done); err != nil {
			return err
		}
	}
	for i := range t.Fields {
		if err := checkSizes(t.Fields[i].Type, done); err != nil {
			return err
		}
	}
	return nil
}

// takesBytes reports whether every value of the type takes at least one byte.
func takesBytes(t *Type) bool {
	switch t.Kind {
	case KindNull:
		return false
	case KindRecord:
		return slices.ContainsFunc(t.Fields, func(f Field) bool { return takesBytes(f.Type) })
	default:
		return true
	}
}
