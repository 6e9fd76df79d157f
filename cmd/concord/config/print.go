package config

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Entry is one key of a printed configuration. Secrets are cut.
type Entry struct {
	Key      string `json:"key"`
	Value    string `json:"value"`
	Source   Source `json:"source"`
	Variable string `json:"variable"`
	Doc      string `json:"doc"`
}

// Entries lists every key in the order of the struct, with where its value came from.
func (l Loaded) Entries() []Entry {
	var out []Entry
	for _, f := range fields("", reflect.ValueOf(&l.Config).Elem()) {
		source := FromDefault
		for _, key := range []string{f.key, f.key + "_file"} {
			if s, ok := l.Sources[key]; ok {
				source = s
			}
		}
		if !f.table() {
			out = append(out, Entry{f.key, f.text(), source, variable(f.key), f.doc})
			continue
		}
		for i := range f.value.Len() {
			for _, item := range fields(fmt.Sprintf("%s[%d].", f.key, i), f.value.Index(i)) {
				out = append(out, Entry{item.key, item.text(), source, variable(f.key), item.doc})
			}
		}
	}
	return out
}

// Print writes one key a line, key = value, and says where each value that is no default came from.
func (l Loaded) Print(w io.Writer) error {
	for _, e := range l.Entries() {
		line := e.Key + " = " + e.Value
		if e.Source != FromDefault {
			line += "  (" + string(e.Source) + ")"
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("print configuration: %w", err)
		}
	}
	return nil
}

// Changed lists what differs from the defaults, as key=value; it is what a start logs.
func (l Loaded) Changed() []string {
	var out []string
	for _, e := range l.Entries() {
		if e.Source != FromDefault {
			out = append(out, e.Key+"="+e.Value)
		}
	}
	return out
}

// Reference writes every key with its default, environment variable and meaning as a Markdown table.
func Reference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| key | default | environment | meaning |\n|---|---|---|---|\n")
	rows := func(prefix, only string, v reflect.Value) {
		for _, f := range fields(prefix, v) {
			text := f.text()
			if f.table() {
				text = ""
			}
			if text != "" {
				text = "`" + text + "`"
			}
			env := only
			if env == "" {
				env = variable(f.key)
			}
			doc := f.doc
			if f.secret() {
				doc += "; or `" + f.key + "_file`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s |\n", f.key, text, env, doc)
		}
	}
	defaults, entry, vendor := Default(), DefaultATS(), Vendor{}
	rows("", "", reflect.ValueOf(&defaults).Elem())
	rows("ats[].", "CONCORD_ATS", reflect.ValueOf(&entry).Elem())
	rows("vendors[].", "CONCORD_VENDORS", reflect.ValueOf(&vendor).Elem())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write reference: %w", err)
	}
	return nil
}
