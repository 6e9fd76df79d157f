package generic

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/concord-ats/concord/pkg/ats"
)

// page is one page of a list. Next is what the following one is asked for with, empty at the end.
type page struct {
	rows []any
	next string
	res  ats.Response
}

// page reads a page: the first when next is empty.
func (c *Client) page(ctx context.Context, v values, path Template, query map[string]Template, records Pointer, pages *Pages, next string) (page, error) {
	ask := pages.query(v.query(query), next)
	res, err := c.get(ctx, v, path, ask)
	if err != nil {
		return page{}, err
	}
	doc, err := decode(res.Body)
	if err != nil {
		return page{}, res.Bad("read", "unexpected JSON shape")
	}
	list, _ := records.in(doc)
	rows, ok := list.([]any)
	if !ok {
		return page{}, res.Bad("read", "no list of records")
	}
	out := page{rows: rows, res: res}
	if out.next, ok = pages.next(doc, res.Header, len(rows), next); !ok {
		return page{}, res.Bad("read", "the next page's address has no query")
	}
	if out.next != "" && (out.next == next || pages.By == "link" && out.next == ask) {
		return page{}, res.Bad("read", "the next page is this one")
	}
	return out, nil
}

// query is what a page is asked for with.
func (p *Pages) query(first url.Values, next string) string {
	switch {
	case p == nil:
	case p.By == "link" && next != "":
		return next
	case p.By == "cursor" && next != "":
		if p.Alone {
			first = url.Values{}
		}
		first.Set(p.Parameter, next)
	case p.By == "page":
		first.Set(p.Parameter, strconv.Itoa(p.number(next)))
	}
	return first.Encode()
}

// number is that of a page.
func (p *Pages) number(next string) int {
	if n, err := strconv.Atoi(next); err == nil {
		return n
	}
	if p.First != nil {
		return *p.First
	}
	return 1
}

// next is where the page after this one is; false for an address of no use. Of an address the query alone counts: it is
// asked for where the list is.
func (p *Pages) next(doc any, header http.Header, rows int, now string) (string, bool) {
	switch {
	case p == nil:
		return "", true
	case p.By == "page":
		if rows < p.Size {
			return "", true
		}
		return strconv.Itoa(p.number(now) + 1), true
	case p.By == "cursor":
		return p.Next.text(doc), true
	}
	address := linked(header)
	if p.Next != "" {
		address = p.Next.text(doc)
	}
	if address == "" {
		return "", true
	}
	u, err := url.Parse(address)
	if err != nil || u.RawQuery == "" {
		return "", false
	}
	return u.RawQuery, true
}

// linked is the address of the next page in the Link header (RFC 8288).
func linked(h http.Header) string {
	for _, link := range h.Values("Link") {
		for one := range strings.SplitSeq(link, ",") {
			target, params, _ := strings.Cut(one, ";")
			for param := range strings.SplitSeq(params, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
				if strings.EqualFold(name, "rel") && strings.EqualFold(strings.Trim(value, `"`), "next") {
					return strings.Trim(strings.TrimSpace(target), "<>")
				}
			}
		}
	}
	return ""
}

// ListChanged implements ats.Client with the description's list. What is kept in notes is not listed.
func (c *Client) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	v := c.values(nil)
	if !from.Since.IsZero() {
		v = v.with("since", c.d.Times.write(from.Since))
	}
	p, err := c.page(ctx, v, c.d.List.Request.Path, c.d.List.Query, c.d.List.Records, c.d.List.Pages, from.Next)
	if err != nil {
		return ats.Page{}, err
	}
	asked := c.d.List.Request.Path.has("since")
	for _, t := range c.d.List.Query {
		asked = asked || t.has("since")
	}
	out := ats.Page{Next: from.Turn(p.next, &p.res, c.cfg.ReadLag), More: p.next != ""}
	for _, rec := range p.rows {
		id, err := c.reader.ids.of(rec, c.reader.ids.at)
		if err != nil {
			return ats.Page{}, p.res.Bad("read", err.Error())
		}
		r, err := c.reader.reading(rec)
		if err != nil {
			return ats.Page{}, p.res.Bad("read", err.Error())
		}
		if !asked && !r.UpdatedAt.IsZero() && r.UpdatedAt.Before(from.Since) {
			continue
		}
		c.prove(&r, rec, &p.res)
		out.Changed = append(out.Changed, ats.Changed{ApplicationID: id, Reading: r})
	}
	return out, nil
}
