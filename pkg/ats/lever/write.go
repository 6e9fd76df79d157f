package lever

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// Apply implements ats.Client, a step at a time. Lever compares nothing: what a human does between the caller's read
// and a write is overwritten, but for an archive, which a stage leaves as it is.
//
// Elements are tags, "key: value". Changing one is adding the new one, then removing what the key had before: after a
// failure in between the new one shows, as the newest tag of a key counts.
func (c *Client) Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error {
	if err := ats.CheckID("apply", applicationID); err != nil {
		return err
	}
	plan, err := c.cfg.Mapping.Plan(&c.caps, expected, desired)
	if err != nil {
		return err
	}
	return ats.Run(plan, func(s ats.Step) error {
		switch s.Op {
		case "move":
			return c.send(ctx, s.Op, http.MethodPut, applicationID, "stage", map[string]any{"stage": s.To})
		case "unreject":
			return c.send(ctx, s.Op, http.MethodPut, applicationID, "archived", map[string]any{"reason": nil})
		case "reject", "hire":
			return c.send(ctx, s.Op, http.MethodPut, applicationID, "archived", map[string]any{"reason": s.Reason, "cleanInterviews": false})
		case "note":
			return c.send(ctx, s.Op, http.MethodPost, applicationID, "notes", map[string]any{"value": ats.NoteText(c.caps.NoteMarker, s.Elements[0])})
		default:
			return c.retag(ctx, applicationID, s.Elements)
		}
	})
}

// retag reads the tags as they are written, as removing one takes its exact text.
func (c *Client) retag(ctx context.Context, id string, elements []wire.Element) error {
	o, _, err := c.opportunity(ctx, id)
	if err != nil {
		return err
	}
	var add, remove []string
	for _, e := range elements {
		f, _ := c.cfg.Mapping.Field(e.Name)
		has := o.Tags.Values(f.Key)
		if e.Value != "" && !slices.Contains(has, e.Value) {
			add = append(add, ats.Tag(f.Key, e.Value))
		}
		for _, v := range has {
			if v != e.Value {
				remove = append(remove, ats.Tag(f.Key, v))
			}
		}
	}
	for _, step := range []struct {
		path string
		tags []string
	}{{"addTags", add}, {"removeTags", remove}} {
		if len(step.tags) == 0 {
			continue
		}
		if err := c.send(ctx, "elements", http.MethodPost, id, step.path, map[string]any{"tags": step.tags}); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) send(ctx context.Context, op, method, id, path string, body map[string]any) error {
	u := c.cfg.BaseURL + "/v1/opportunities/" + id + "/" + path
	if c.cfg.UserID != "" {
		u += "?perform_as=" + url.QueryEscape(c.cfg.UserID)
	}
	_, err := c.http.Send(ctx, ats.Request{Op: op, Method: method, URL: u, Header: c.header, Body: ats.JSON(body), Write: true})
	return err
}
