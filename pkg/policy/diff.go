package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/strict"
)

// Change is one thing that two bundles say differently, in words.
type Change struct {
	Part string `json:"part"` // bundle, machine, dictionary, mappings or waves
	What string `json:"what"` // "screening → interviews (pass)"
	Key  string `json:"key,omitempty"`
	Old  string `json:"old,omitempty"` // empty: not there before
	New  string `json:"new,omitempty"` // empty: not there any more
}

// String is "screening → interviews (pass): SLA 2d → 1d".
func (c Change) String() string {
	what := c.What
	if c.Key != "" {
		what += ": " + c.Key
	}
	switch {
	case c.Old == "" && c.New == "":
		return what
	case c.Old == "":
		return what + " is new: " + c.New
	case c.New == "":
		return what + " is gone: was " + c.Old
	}
	if c.Key == "" {
		what += ":"
	}
	return what + " " + c.Old + " → " + c.New
}

// Diff says what is different from old to new, by meaning: the order of keys, comments and files' layout are not told,
// transitions are matched by the states they join, elements by name.
func Diff(old, new *Policy) []Change {
	d := &differ{}
	d.part = "bundle"
	d.bundle(&old.Bundle, &new.Bundle)
	d.part = "machine"
	d.machine(&old.Machine, &new.Machine)
	d.part = "dictionary"
	d.each(anyMap(old.Dictionary.Elements), anyMap(new.Dictionary.Elements), "element ")
	d.list("cut-off", cutOffs(old), cutOffs(new))
	d.part = "mappings"
	d.each(mappings(old), mappings(new), "")
	d.part = "waves"
	d.value("applications no wave selects", "mode", string(old.Waves.Default), string(new.Waves.Default))
	d.list("wave", waves(old), waves(new))
	d.list("pause", pauses(old), pauses(new))
	return d.changes
}

type differ struct {
	part    string
	changes []Change
}

func (d *differ) value(what, key, old, new string) {
	if old != new {
		d.changes = append(d.changes, Change{d.part, what, key, old, new})
	}
}

// named is a thing with a name, told as a whole when it comes or goes.
type named struct {
	name  string
	value any
}

func (d *differ) each(old, new map[string]any, what string) {
	all := keys(old)
	for _, k := range keys(new) {
		if _, ok := old[k]; !ok {
			all = append(all, k)
		}
	}
	slices.Sort(all)
	for _, k := range all {
		a, had := old[k]
		b, has := new[k]
		switch {
		case !had:
			d.value(what+k, "", "", summary(b))
		case !has:
			d.value(what+k, "", summary(a), "")
		default:
			d.fields(what+k, "", reflect.ValueOf(a), reflect.ValueOf(b))
		}
	}
}

// list compares two lists of named things; their order matters and is told.
func (d *differ) list(what string, old, new []named) {
	a, b := map[string]any{}, map[string]any{}
	var before, after []string
	for _, n := range old {
		a[n.name] = n.value
		before = append(before, n.name)
	}
	for _, n := range new {
		b[n.name] = n.value
		after = append(after, n.name)
	}
	d.each(a, b, what+" ")
	kept := func(list []string, in map[string]any) (out []string) {
		for _, n := range list {
			if _, ok := in[n]; ok {
				out = append(out, n)
			}
		}
		return out
	}
	d.value(what+"s", "order", strings.Join(kept(before, b), ", "), strings.Join(kept(after, a), ", "))
}

// label is a key as people read it.
func label(key string) string {
	if key == "sla" {
		return "SLA"
	}
	return strings.ReplaceAll(key, "_", " ")
}

// fields compares two values of one type, key by key.
func (d *differ) fields(what, key string, a, b reflect.Value) {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	if a.Kind() == reflect.Pointer {
		if a.IsNil() || b.IsNil() {
			d.value(what, key, wordsOf(a), wordsOf(b))
			return
		}
		a, b = a.Elem(), b.Elem()
	}
	if _, whole := a.Interface().(fmt.Stringer); whole {
		d.value(what, key, wordsOf(a), wordsOf(b))
		return
	}
	inner := func(k string) string { return strings.TrimSpace(key + " " + k) }
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if k, _ := strict.Key(a.Type().Field(i)); k != "" {
				d.fields(what, inner(label(k)), a.Field(i), b.Field(i))
			}
		}
	case reflect.Map:
		all := map[string]bool{}
		for _, k := range append(a.MapKeys(), b.MapKeys()...) {
			all[k.String()] = true
		}
		for _, k := range keys(all) {
			at := reflect.ValueOf(k).Convert(a.Type().Key())
			x, y := a.MapIndex(at), b.MapIndex(at)
			if x.IsValid() && y.IsValid() {
				d.fields(what, inner(k), x, y)
			} else {
				d.value(what, inner(k), wordsOf(x), wordsOf(y))
			}
		}
	default:
		d.value(what, key, wordsOf(a), wordsOf(b))
	}
}

// wordsOf is a value in words; "none" for one that is not there.
func wordsOf(v reflect.Value) string {
	if !v.IsValid() || v.IsZero() {
		if v.IsValid() && v.Kind() == reflect.Bool {
			return "no"
		}
		return "none"
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return s.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return wordsOf(v.Elem())
	case reflect.Bool:
		return "yes"
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = wordsOf(v.Index(i))
		}
		return strings.Join(parts, ", ")
	case reflect.Struct, reflect.Map:
		return summary(v.Interface())
	case reflect.Float64:
		return number(v.Float())
	default:
		return fmt.Sprint(v.Interface())
	}
}

// summary is everything a value says, in one line.
func summary(value any) string {
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	var parts []string
	switch v.Kind() {
	case reflect.Struct:
		if s, ok := v.Interface().(fmt.Stringer); ok {
			return s.String()
		}
		for i := range v.NumField() {
			if k, _ := strict.Key(v.Type().Field(i)); k != "" && !v.Field(i).IsZero() {
				parts = append(parts, label(k)+" "+wordsOf(v.Field(i)))
			}
		}
	case reflect.Map:
		all := map[string]bool{}
		for _, k := range v.MapKeys() {
			all[k.String()] = true
		}
		for _, k := range keys(all) {
			parts = append(parts, k+" "+wordsOf(v.MapIndex(reflect.ValueOf(k).Convert(v.Type().Key()))))
		}
	default:
		return wordsOf(v)
	}
	return or(strings.Join(parts, ", "), "nothing")
}
