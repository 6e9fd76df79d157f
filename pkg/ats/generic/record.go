package generic

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// idPattern is what an application's id looks like, with a group for each part of its form.
func (i *ID) pattern() (*regexp.Regexp, []string) {
	var b strings.Builder
	for _, p := range i.Form.parts() {
		if p.name != "" {
			b.WriteString(`([A-Za-z0-9_-]+?)`)
		} else {
			b.WriteString(regexp.QuoteMeta(p.text))
		}
	}
	return regexp.MustCompile(`^` + b.String() + `$`), i.Form.names()
}

// ids turns an application's id into its parts and back. It is safe for concurrent use.
type ids struct {
	form    Template
	pattern *regexp.Regexp
	names   []string
	at      map[string]Pointer
}

func newIDs(d *Description) ids {
	pattern, names := d.ID.pattern()
	return ids{form: d.ID.Form, pattern: pattern, names: names, at: d.ID.At}
}

// parts are the placeholders that name an application: id, and each part of it.
func (i ids) parts(id string) (map[string]string, bool) {
	m := i.pattern.FindStringSubmatch(id)
	if m == nil {
		return nil, false
	}
	out := map[string]string{"id": id}
	for n, name := range i.names {
		out[name] = m[n+1]
	}
	return out, true
}

var errID = errors.New("no id, or one that cannot be told apart from its neighbours")

// of is the id of a record, or of another value that shows its parts.
func (i ids) of(v any, at map[string]Pointer) (string, error) {
	given := values{text: map[string]string{}}
	for name, p := range at {
		given.text[name] = p.text(v)
	}
	id, whole := given.fill(i.form, nil)
	back, ok := i.parts(id)
	if !whole || !ok || ats.CheckID("read", id) != nil {
		return "", errID
	}
	for name := range at {
		if back[name] != given.text[name] {
			return "", errID
		}
	}
	return id, nil
}

// reader reads records as a description says. It is safe for concurrent use.
type reader struct {
	d   *Description
	m   *ats.Mapping
	ids ids
}

func newReader(d *Description, m *ats.Mapping) reader { return reader{d, m, newIDs(d)} }

// shapeError says which described member is of another shape. It holds nothing of the record.
func shapeError(key string) error {
	return errors.New("record." + key + " points at something that is no text, number or time")
}

// reading is what a record shows, without what is kept in notes.
func (r reader) reading(rec any) (ats.Reading, error) {
	d := &r.d.Record
	var out ats.Reading
	t := &out.Tuple
	var region, kind, revision, updated string
	for _, m := range []struct {
		key string
		at  Pointer
		to  *string
	}{
		{"stage", d.Stage, &t.Stage},
		{"stage_name", d.StageName, &out.StageName},
		{"reason", d.Reason, &t.Reason},
		{"candidate", d.Candidate, &out.CandidateID},
		{"requisition", d.Requisition, &out.Requisition.ID},
		{"requisition_type", d.RequisitionType, &kind},
		{"region", d.Region, &region},
		{"revision", d.Revision, &revision},
		{"updated_at", d.UpdatedAt, &updated},
	} {
		if m.at == "" {
			continue
		}
		switch v, _ := m.at.in(rec); v.(type) {
		case map[string]any, []any:
			return ats.Reading{}, shapeError(m.key)
		default:
			*m.to = textOf(v)
		}
	}
	if kind != "" {
		out.Requisition.Type = r.m.RequisitionType(kind)
	}
	if out.Requisition.Region = r.m.Regions[region]; len(r.m.Regions) == 0 {
		out.Requisition.Region = region
	}
	if err := r.version(&out, updated, revision); err != nil {
		return ats.Reading{}, err
	}
	t.Status = r.status(rec, t.Reason)
	if t.Status == wire.ApplicationStatusActive {
		t.Reason = ""
		if _, shown := d.Stage.in(rec); !shown {
			return ats.Reading{}, errors.New("record.stage is not there, though the application is active")
		}
	}
	var err error
	t.Elements, err = r.elements(rec)
	return out, err
}

// version is the last-updated time, or the revision of an ATS that shows none.
func (r reader) version(out *ats.Reading, updated, revision string) error {
	at, err := r.d.Times.read(updated)
	if err != nil {
		return shapeError("updated_at")
	}
	if out.UpdatedAt = at; !at.IsZero() {
		out.Tuple.Version = at.UnixMicro()
		return nil
	}
	if revision == "" || r.d.Record.UpdatedAt != "" {
		return nil
	}
	if out.Tuple.Version, err = strconv.ParseInt(revision, 10, 64); err != nil {
		return errors.New("record.revision points at something that is no whole number")
	}
	return nil
}

// status is what the first rule that fits says; nothing where none does.
func (r reader) status(rec any, reason string) wire.ApplicationStatus {
	for _, s := range r.d.Record.Status {
		switch {
		case !fits(rec, s.At, s.In):
		case s.Is == "rejected":
			return r.m.Rejected(reason)
		default:
			return statuses[s.Is]
		}
	}
	return wire.ApplicationStatusUnspecified
}

var pointerEscape = strings.NewReplacer("~", "~0", "/", "~1")

// elements are the mapped fields. A record that has no place for fields names none; in one that has, a field that is not
// there is empty.
func (r reader) elements(rec any) ([]wire.Element, error) {
	f := r.d.Record.Fields
	if f == nil {
		return nil, nil
	}
	container := f.List
	if f.At != "" {
		before, _, _ := strings.Cut(string(f.At), "{key}")
		container = Pointer(before).outer()
	}
	place, found := container.in(rec)
	if !found || place == nil {
		return nil, nil
	}
	entries, list := place.([]any)
	if _, object := place.(map[string]any); list != (f.List != "") || object == list {
		return nil, errors.New("record.fields points at something that holds no fields")
	}
	return r.m.Elements(func(field ats.Field) (json.RawMessage, bool) {
		var value any
		if f.At != "" {
			at, _ := values{text: map[string]string{"key": pointerEscape.Replace(field.Key)}}.fill(f.At, nil)
			value, _ = Pointer(at).in(rec)
		}
		for _, e := range entries {
			if f.Key.text(e) == field.Key {
				value, _ = f.Value.in(e)
			}
		}
		return ats.JSON(value), true
	}), nil
}
