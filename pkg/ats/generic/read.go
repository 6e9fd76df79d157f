package generic

import (
	"context"
	"net/http"
	"strings"

	"github.com/concord-ats/concord/pkg/ats"
)

// look is one read: what it shows, and the version of what it shows as writes are compared with it.
type look struct {
	ats.Reading
	record         any
	etag, revision string
}

// Read implements ats.Client with the description's read, and its notes where an element is kept in one.
func (c *Client) Read(ctx context.Context, applicationID string) (ats.Reading, error) {
	v, err := c.about("read", applicationID)
	if err != nil {
		return ats.Reading{}, err
	}
	l, err := c.look(ctx, applicationID, v)
	if err != nil {
		return ats.Reading{}, err
	}
	if c.d.Notes != nil && c.cfg.Mapping.Notes() {
		notes, err := c.notes(ctx, v.with("candidate", l.CandidateID), l.record)
		if err != nil {
			return ats.Reading{}, err
		}
		c.cfg.Mapping.AddNotes(&l.Tuple, c.marker(applicationID), notes)
	}
	return l.Reading, nil
}

// prove adds what the time of a read says of a record: where the ATS cuts its times to the second, more may follow in it, see
// [ats.Proved].
func (c *Client) prove(r *ats.Reading, rec any, res *ats.Response) {
	r.AsOf = res.AsOf()
	if !r.UpdatedAt.IsZero() && c.cuts(rec) {
		r.UpdatedAt = ats.Proved(r.UpdatedAt, r.AsOf)
		r.Tuple.Version = r.UpdatedAt.UnixMicro()
	}
}

// cuts reports whether a record's time is cut to the second.
func (c *Client) cuts(rec any) bool {
	return c.d.Times == "unix" || c.d.Times != "unix_ms" && !strings.Contains(c.d.Record.UpdatedAt.text(rec), ".")
}

// get asks for a path below the configured URL.
func (c *Client) get(ctx context.Context, v values, path Template, query string) (ats.Response, error) {
	at, ok := v.path(path)
	if !ok {
		return ats.Response{}, (&ats.Response{}).Bad("read", "a placeholder of the path is empty")
	}
	if query != "" {
		at += "?" + query
	}
	return c.send(ctx, ats.Request{Op: "read", Method: http.MethodGet, URL: c.cfg.BaseURL + at})
}

func (c *Client) look(ctx context.Context, id string, v values) (look, error) {
	res, err := c.get(ctx, v, c.d.Read.Request.Path, v.query(c.d.Read.Query).Encode())
	if err != nil {
		return look{}, err
	}
	doc, err := decode(res.Body)
	if err != nil {
		return look{}, res.Bad("read", "unexpected JSON shape")
	}
	at := c.d.Read.Record
	rec, ok := at.in(doc)
	if !ok {
		if list, is := at.outer().in(doc); is && at.indexed() {
			if list, is := list.([]any); is && len(list) == 0 {
				return look{}, &ats.Error{Class: ats.Refused, Code: ats.CodeNotFound, Op: "read", Status: res.Status, AsOf: res.AsOf()}
			}
		}
		return look{}, res.Bad("read", "no record at read.record")
	}
	if got, err := c.reader.ids.of(rec, c.reader.ids.at); err != nil || got != id {
		return look{}, res.Bad("read", "not the application that was asked for")
	}
	r, err := c.reader.reading(rec)
	if err != nil {
		return look{}, res.Bad("read", err.Error())
	}
	c.prove(&r, rec, &res)
	return look{Reading: r, record: rec, etag: res.Header.Get("ETag"), revision: c.d.Record.Revision.text(rec)}, nil
}

// maxNotePages bounds how far notes are read.
const maxNotePages = 5

// notes are those of an application, from its record or from an address of their own.
func (c *Client) notes(ctx context.Context, v values, record any) ([]ats.Note, error) {
	n := c.d.Notes
	if n.Request.Method == "" {
		list, ok := n.List.in(record)
		rows, is := list.([]any)
		if !ok || !is {
			return nil, (&ats.Response{Status: http.StatusOK}).Bad("read", "no notes at notes.list")
		}
		return c.noted(rows)
	}
	var out []ats.Note
	next := ""
	for range maxNotePages {
		p, err := c.page(ctx, v, n.Request.Path, n.Query, n.List, n.Pages, next)
		if err != nil {
			return nil, err
		}
		notes, err := c.noted(p.rows)
		if err != nil {
			return nil, err
		}
		for i := range notes {
			if n.At == "" {
				notes[i].Order += int64(len(out))
			}
		}
		out = append(out, notes...)
		if next = p.next; next == "" {
			break
		}
	}
	return out, nil
}

func (c *Client) noted(rows []any) ([]ats.Note, error) {
	n := c.d.Notes
	var out []ats.Note
	for i, row := range rows {
		order := int64(i)
		if n.At != "" {
			at, err := c.d.Times.read(n.At.text(row))
			if err != nil {
				return nil, (&ats.Response{Status: http.StatusOK}).Bad("read", "a note's time is none")
			}
			order = 0
			if !at.IsZero() {
				order = at.UnixMicro()
			}
		}
		out = append(out, ats.Note{Text: n.Text.text(row), Order: order})
	}
	return out, nil
}
