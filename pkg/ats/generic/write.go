package generic

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// names are every placeholder of a write.
func (w *Write) names() []string {
	out := w.Request.Path.names()
	for _, m := range []map[string]Template{w.Query, w.Headers} {
		for _, t := range m {
			out = append(out, t.names()...)
		}
	}
	eachScalar("", w.Body.Node, func(_ string, n *yaml.Node) { out = append(out, Template(n.Value).names()...) })
	return out
}

// each reports whether a write of elements is one request a field.
func (w *Write) each() bool {
	names := w.names()
	return slices.Contains(names, "key") || slices.Contains(names, "value")
}

// apply is one Apply under way.
type apply struct {
	*Client
	ctx  context.Context
	id   string
	v    values
	want wire.Tuple // what has to show before the next write
	own  bool       // something has been written: the version is not the caller's any more
}

// Apply implements ats.Client, a step of the plan at a time. Where the ATS compares versions, the application is read right
// before each of them but a note.
func (c *Client) Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error {
	v, err := c.about("apply", applicationID)
	if err != nil {
		return err
	}
	plan, err := c.cfg.Mapping.Plan(&c.caps, expected, desired)
	if err != nil {
		return err
	}
	a := &apply{Client: c, ctx: ctx, id: applicationID, v: v, want: expected}
	return ats.Run(plan, a.step)
}

func (a *apply) step(s ats.Step) error {
	w := &a.d.Writes
	switch s.Op {
	case "move":
		if err := a.write(s.Op, w.Move, a.v.with("stage", s.To, "from_stage", s.From)); err != nil {
			return err
		}
		a.want.Stage = s.To
		return nil
	case "unreject":
		if err := a.write(s.Op, w.Unreject, a.v); err != nil {
			return err
		}
		a.want.Status = wire.ApplicationStatusActive
		return nil
	case "reject":
		how := w.Reject
		if s.Status == wire.ApplicationStatusWithdrawn && w.Withdraw != nil {
			how = w.Withdraw
		}
		return a.write(s.Op, how, a.v.with("reason", s.Reason))
	case "hire":
		return a.write(s.Op, w.Hire, a.v.with("reason", s.Reason))
	case "note":
		e := s.Elements[0]
		return a.write(s.Op, w.Note, a.v.with("note", ats.NoteText(a.marker(a.id), e), "element", e.Name))
	}
	return a.elements(w.Elements, s.Elements)
}

// elements writes all fields at once, or one after the other.
func (a *apply) elements(w *Write, elements []wire.Element) error {
	all, list := map[string]any{}, []any{}
	for _, e := range elements {
		f, _ := a.cfg.Mapping.Field(e.Name)     // the plan has only elements with a field
		value, _ := ats.NativeValue(f, e.Value) // and values of its type
		v := a.v.with("key", f.Key)
		v.json = map[string]any{"value": value}
		if w.each() {
			if err := a.write("elements", w, v); err != nil {
				return err
			}
			continue
		}
		if w.Field.Node != nil {
			entry, err := v.body(w.Field.Node)
			if err != nil {
				return &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: "elements", Err: err}
			}
			list = append(list, entry)
		}
		all[f.Key] = value
	}
	if w.each() {
		return nil
	}
	v := a.v.with()
	v.json = map[string]any{"fields": all}
	if w.Field.Node != nil {
		v.json["fields"] = list
	}
	return a.write("elements", w, v)
}

// write sends one request.
func (a *apply) write(op string, w *Write, v values) error {
	if a.d.Compares == "version" && op != "note" {
		l, err := a.compare(op, w)
		if err != nil {
			return err
		}
		v = v.with("etag", l.etag, "revision", l.revision)
	}
	at, ok := v.path(w.Request.Path)
	if !ok {
		return ats.Refuse(op, ats.CodeInvalid, "a placeholder of the path is empty")
	}
	if q := v.query(w.Query).Encode(); q != "" {
		at += "?" + q
	}
	r := ats.Request{Op: op, Method: w.Request.Method, URL: a.cfg.BaseURL + at, Header: http.Header{}, Write: true}
	for name, t := range w.Headers {
		if text, whole := v.fill(t, nil); whole {
			r.Header.Set(name, text)
		}
	}
	if w.Body.Node != nil {
		body, err := v.body(w.Body.Node)
		if err != nil {
			return &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: op, Err: err}
		}
		r.Body = ats.JSON(body)
	}
	_, err := a.send(a.ctx, r)
	a.own = a.own || err == nil
	return err
}

// compare reads the application right before a write, whose version the write carries. What it shows has to be what the
// caller expects: of what this Apply has written itself only that it is as open, and in the stage, as it should be by now.
func (a *apply) compare(op string, w *Write) (look, error) {
	l, err := a.look(a.ctx, a.id, a.v)
	if err != nil {
		return look{}, err
	}
	names := w.names()
	if slices.Contains(names, "etag") && l.etag == "" || slices.Contains(names, "revision") && l.revision == "" {
		return look{}, &ats.Error{Class: ats.NotExecuted, Code: ats.CodeBadResponse, Op: op, Err: errors.New("the read shows no version to compare")}
	}
	now := &l.Tuple
	same := now.Stage == a.want.Stage && now.Status == a.want.Status
	switch {
	case a.own:
	case now.Version != 0 && a.want.Version != 0:
		same = same && (now.Version == a.want.Version || a.cuts(l.record) && now.Version/1e6 == a.want.Version/1e6) // of one second, read at two times
	default: // an ATS without a version to order by
		same = same && now.Reason == a.want.Reason
		for _, e := range now.Elements {
			value, listed := ats.ElementValue(a.want.Elements, e.Name)
			same = same && (!listed || value == e.Value)
		}
	}
	if !same {
		return look{}, &ats.Error{Class: ats.NotExecuted, Code: ats.CodeStaleVersion, Op: op, Err: errors.New("the application has changed since it was read")}
	}
	return l, nil
}
