package strict

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/pkg/nearest"
)

// position is where a value stands, from 1.
type position struct{ line, column int }

// Closed is a kind of text with few values.
type Closed interface{ Choices() []string }

// Short is a list or map that may be given as one text.
type Short interface{ Short(text string) }

// Described is a type that says in words what it takes: "a date such as 2026-12-31".
type Described interface{ Wants() string }

// Any is a value of any shape, taken as it stands.
type Any struct{ *yaml.Node }

// Document is one file as it was read: its root, and where each value stands. A nil one has no places.
type Document struct {
	File string
	Root *yaml.Node
	at   map[string]position // by path
	gaps [][]string          // the parts of each path whose value could not be read
}

// Read reads one document into a pointer to a struct; nil only looks whether it is plain YAML. Faults do not stop it: a
// misspelt word or key is read as the one it is nearest to, and what cannot be read is left out and remembered
// (see [Document.Holds]), so that the rest can be judged. Whole is false when something could not be read as anything, and the
// document nil when nothing could.
func Read(file string, text []byte, into any) (doc *Document, faults Faults, whole bool) {
	d := decoder{file: file, at: map[string]position{}, faults: &faults, whole: true}
	root := d.parse(text)
	if root == nil {
		return nil, faults, false
	}
	if into != nil {
		d.value("", root, reflect.ValueOf(into).Elem())
	}
	return &Document{File: file, Root: root, at: d.at, gaps: d.gaps}, faults, d.whole
}

// Holds reports whether all of what a path leads to could be read: the value itself, what is in it, and what it is in. A * in
// the path is any key or place of a list: "states.*.id". A nil document holds nothing.
func (d *Document) Holds(path string) bool {
	return d != nil && !slices.ContainsFunc(d.gaps, func(gap []string) bool {
		p := parts(path)
		n := min(len(p), len(gap))
		return along(p[:n], gap[:n])
	})
}

// Lacks reports whether a path leads to a value that could not be read, or into one.
func (d *Document) Lacks(path string) bool {
	return d == nil || slices.ContainsFunc(d.gaps, func(gap []string) bool {
		p := parts(path)
		return len(gap) <= len(p) && along(p[:len(gap)], gap)
	})
}

// along reports whether two paths of one length are the same.
func along(path, gap []string) bool {
	return slices.EqualFunc(path, gap, func(p, g string) bool { return p == "*" || p == g })
}

// parts returns the keys and places of a path.
func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune(".[]", r) })
}

// Has reports whether a path is in the file: "transitions[3].to".
func (d *Document) Has(path string) bool {
	if d == nil {
		return false
	}
	_, ok := d.at[path]
	return ok
}

// OneLine reports whether the whole file stands in one line, as files of an archive do.
func (d *Document) OneLine() bool {
	if d == nil {
		return true
	}
	for _, at := range d.at {
		if at.line > 1 {
			return false
		}
	}
	return len(d.at) > 1
}

// Fault makes a fault at the place of a path, or of the nearest one around it.
func (d *Document) Fault(path, value, problem, fix string) Fault {
	f := Fault{Path: path, Value: value, Problem: problem, Fix: fix}
	if d == nil {
		return f
	}
	f.File = d.File
	for around := path; ; around = outer(around) {
		if at, ok := d.at[around]; ok {
			f.Line, f.Column = at.line, at.column
			return f
		}
		if around == "" {
			return f
		}
	}
}

// outer returns the path around a path.
func outer(path string) string {
	i := strings.LastIndexAny(path, ".[")
	return path[:max(i, 0)]
}

// decoder fills a struct from the nodes of one file.
type decoder struct {
	file   string
	at     map[string]position
	faults *Faults
	bad    map[*yaml.Node]bool // values that are not plain
	gaps   [][]string
	whole  bool
}

// gap notes that the value of a path could not be read.
func (d *decoder) gap(path string) { d.gaps = append(d.gaps, parts(path)) }

// lost notes that it could not be read as anything.
func (d *decoder) lost(path string) {
	d.gap(path)
	d.whole = false
}

func (d *decoder) fault(n *yaml.Node, path, value, problem, fix string) {
	*d.faults = append(*d.faults, Fault{File: d.file, Line: n.Line, Column: n.Column, Path: path, Value: value, Problem: problem, Fix: fix})
}

// plain marks as bad what makes a file mean something else than it shows: aliases, tags, null values, and keys given twice.
func (d *decoder) plain(path string, n *yaml.Node) {
	bad := func(value, problem, fix string) {
		d.fault(n, path, value, problem, fix)
		d.bad[n] = true
		d.lost(path)
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		bad("", "is an anchor or an alias", "write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		bad(n.Tag, "has a tag", "remove the tag")
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		bad("", "has no value", "give it one, or remove the key")
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 && len(n.Content) == 2 && n.Content[1].Tag == "!!null":
		bad("", "is a mapping whose only key has no value", "give it one; a text that begins with a brace stands in quotes")
	case n.Kind == yaml.MappingNode:
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, item := n.Content[i], n.Content[i+1]
			if k.Kind != yaml.ScalarNode || k.Style&yaml.TaggedStyle != 0 || k.Tag == "!!merge" || k.Anchor != "" {
				d.fault(k, path, "", "has a key that is no plain text", "write the keys out")
				d.bad[k] = true
				d.lost(path)
				continue
			}
			at := join(path, k.Value)
			if line := seen[k.Value]; line > 0 {
				d.fault(k, at, "", fmt.Sprintf("is given twice, first in line %d", line), "keep one")
				d.bad[k] = true
				d.lost(at)
				continue
			}
			seen[k.Value] = k.Line
			d.plain(at, item)
		}
	default:
		for i, c := range n.Content {
			d.plain(fmt.Sprintf("%s[%d]", path, i), c)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// value fills v from n.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	d.at[path] = position{n.Line, n.Column}
	if a, ok := v.Addr().Interface().(*Any); ok {
		a.Node = n
		d.places(path, n)
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if d.bad[n] {
		return
	}
	if s, ok := v.Addr().Interface().(Short); ok && n.Kind == yaml.ScalarNode {
		s.Short(n.Value)
		return
	}
	if n.Kind == yaml.ScalarNode {
		d.scalar(path, n, v)
		return
	}
	switch {
	case v.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		d.fields(path, n, v)
	case v.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		v.Set(reflect.MakeMap(v.Type()))
		for i := 0; i+1 < len(n.Content); i += 2 {
			k, item := n.Content[i], reflect.New(v.Type().Elem()).Elem()
			if d.bad[k] {
				continue
			}
			d.keyed(join(path, k.Value), k, n.Content[i+1], item)
			if k.Value == "" {
				d.fault(k, path, "", "has an empty key", "name it")
			}
			v.SetMapIndex(reflect.ValueOf(k.Value).Convert(v.Type().Key()), item)
		}
	case v.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
		for i, c := range n.Content {
			d.value(fmt.Sprintf("%s[%d]", path, i), c, v.Index(i))
		}
	default:
		d.lost(path)
		d.fault(n, path, "", "is "+kindOf(n), "give "+wanted(v.Type()))
	}
}

// places notes where everything below a node stands.
func (d *decoder) places(path string, n *yaml.Node) {
	d.at[path] = position{n.Line, n.Column}
	for i, c := range n.Content {
		switch {
		case n.Kind == yaml.SequenceNode:
			d.places(fmt.Sprintf("%s[%d]", path, i), c)
		case i%2 == 1:
			d.places(join(path, n.Content[i-1].Value), c)
		}
	}
}

// keyed fills v from the value of a key. A list or a mapping stands where its key does.
func (d *decoder) keyed(path string, k, n *yaml.Node, v reflect.Value) {
	d.value(path, n, v)
	if n.Kind != yaml.ScalarNode {
		d.at[path] = position{k.Line, k.Column}
	}
}

func (d *decoder) fields(path string, n *yaml.Node, v reflect.Value) {
	var known []string
	byKey := map[string]int{}
	for i := range v.NumField() {
		if key, _ := Key(v.Type().Field(i)); key != "" {
			byKey[key] = i
			known = append(known, key)
		}
	}
	given := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if d.bad[k] {
			continue
		}
		at := join(path, k.Value)
		field, ok := byKey[k.Value]
		if !ok {
			fix := "remove it; known here: " + strings.Join(known, ", ")
			near := nearest.Find(k.Value, known)
			if near != "" {
				fix = "did you mean " + near + "?"
			}
			d.fault(k, at, "", "is no key of the format", fix)
			if near == "" || given[near] || slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Value == near }) {
				d.gap(at)
				continue
			}
			k = &yaml.Node{Kind: k.Kind, Value: near, Line: k.Line, Column: k.Column}
			at, field = join(path, near), byKey[near]
		}
		given[k.Value] = true
		d.keyed(at, k, n.Content[i+1], v.Field(field))
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if key, required := Key(f); required && !given[key] {
			d.lost(join(path, key))
			d.fault(n, join(path, key), "", "is missing", "give "+wanted(f.Type)+": "+f.Tag.Get("doc"))
		}
	}
}

// Key returns the key of a struct field, "" for one that is not of the file.
func Key(f reflect.StructField) (key string, required bool) {
	key, rest, _ := strings.Cut(f.Tag.Get("key"), ",")
	return key, rest == "required"
}

func (d *decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	text := n.Value
	wrong := func(problem, fix string) {
		d.gap(path)
		d.fault(n, path, text, problem, fix)
	}
	if text == "" {
		wrong("is empty", "give it a value, or remove the key")
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			var why *Wrong
			if !errors.As(err, &why) {
				why = &Wrong{err.Error(), "give " + wanted(v.Type())}
			}
			wrong(why.Problem, why.Fix)
		}
		return
	}
	if c, ok := v.Addr().Interface().(Closed); ok {
		v.SetString(text)
		if all := c.Choices(); !slices.Contains(all, text) {
			near := nearest.Find(text, all)
			v.SetString(near)
			if near == "" {
				d.lost(path)
			}
			d.fault(n, path, text, "is not one of "+strings.Join(all, ", "), "choose one of them"+nearest.Suggest(text, all))
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			wrong("is neither true nor false", "write true or false")
		}
		v.SetBool(text == "true")
	case reflect.Int:
		i, err := strconv.Atoi(text)
		if err != nil {
			wrong("is no whole number", "write digits only")
		}
		v.SetInt(int64(i))
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f-f != 0 {
			wrong("is no number", "write a decimal number")
			f = 0
		}
		v.SetFloat(f)
	default:
		d.lost(path)
		wrong("is text", "give "+wanted(v.Type()))
	}
}

// Wrong is why a text is not of its type, and what to write: the error of an UnmarshalText.
type Wrong struct{ Problem, Fix string }

// Error is the problem.
func (e *Wrong) Error() string { return e.Problem }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping of keys"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "text"
	}
}

// wanted says in words what a type takes.
func wanted(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := reflect.New(t).Interface().(Described); ok {
		return s.Wants()
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "keys and values"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	default:
		return "text"
	}
}
