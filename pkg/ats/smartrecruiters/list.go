package smartrecruiters

import (
	"context"
	"net/url"
	"strings"

	"github.com/concord-ats/concord/pkg/ats"
)

// ListChanged implements ats.Client with GET /candidates?updatedAfter=, one request a page. A list says how a candidate
// stands in one job: those who are in several are read one by one, a page each, before the walk goes on. Elements are not
// listed, and reasons only of those.
func (c *Client) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	pending, next, ours := strings.Cut(from.Next, "|")
	if from.Next != "" && !ours {
		return ats.Page{}, ats.Refuse("read", ats.CodeInvalid, "the page's token is none of this ATS")
	}
	if pending != "" {
		return c.listOne(ctx, from, pending, next)
	}
	query := url.Values{"limit": {"100"}}
	if !from.Since.IsZero() {
		query.Set("updatedAfter", from.Since.UTC().Format(timeLayout))
	}
	if next != "" {
		query.Set("pageId", next)
	}
	select {
	case c.list <- struct{}{}:
		defer func() { <-c.list }()
	case <-ctx.Done():
		return ats.Page{}, ats.GaveUp(ctx, "read")
	}
	var body struct {
		Content *[]candidate `json:"content"`
		Next    string       `json:"nextPageId"`
	}
	res, err := c.get(ctx, "/candidates?"+query.Encode(), &body)
	if err != nil {
		return ats.Page{}, err
	}
	if body.Content == nil {
		return ats.Page{}, res.Bad("read", "a page without candidates")
	}
	var out ats.Page
	var several []string
	for i := range *body.Content {
		one := &(*body.Content)[i]
		if ats.CheckID("read", string(one.ID)) != nil {
			return ats.Page{}, res.Bad("read", "a candidate without an id")
		}
		if len(one.Secondary) > 0 {
			several = append(several, string(one.ID))
			continue
		}
		if err := c.applications(ctx, &out, one, &res); err != nil {
			return ats.Page{}, err
		}
	}
	return c.turn(out, from, &res, several, body.Next), nil
}

const timeLayout = "2006-01-02T15:04:05.000Z"

// listOne is the page of a candidate who is in several jobs; who is gone meanwhile is on none.
func (c *Client) listOne(ctx context.Context, from ats.Cursor, pending, next string) (ats.Page, error) {
	id, rest, _ := strings.Cut(pending, ",")
	if err := ats.CheckID("read", id); err != nil {
		return ats.Page{}, err
	}
	one, res, err := c.candidate(ctx, id)
	var out ats.Page
	switch {
	case ats.CodeOf(err) == ats.CodeNotFound:
	case err != nil:
		return ats.Page{}, err
	default:
		if err := c.applications(ctx, &out, &one, &res); err != nil {
			return ats.Page{}, err
		}
	}
	var left []string
	if rest != "" {
		left = strings.Split(rest, ",")
	}
	return c.turn(out, from, &res, left, next), nil
}

// applications puts the candidate's applications on a page.
func (c *Client) applications(ctx context.Context, out *ats.Page, one *candidate, res *ats.Response) error {
	for _, a := range one.assignments() {
		r, err := one.reading(a, res)
		if err == nil {
			r.Requisition.Region, err = c.jobs.Region(ctx, string(a.Job.ID))
		}
		if err != nil {
			return err
		}
		out.Changed = append(out.Changed, ats.Changed{ApplicationID: NativeID(string(one.ID), string(a.Job.ID)), Reading: r})
	}
	return nil
}

// turn is a page with the cursor behind it: first those who are read one by one, then the vendor's next page.
func (c *Client) turn(out ats.Page, from ats.Cursor, res *ats.Response, pending []string, next string) ats.Page {
	if len(pending) > 0 || next != "" {
		next = strings.Join(pending, ",") + "|" + next
	}
	out.Next, out.More = from.Turn(next, res, c.cfg.ReadLag), next != ""
	return out
}
