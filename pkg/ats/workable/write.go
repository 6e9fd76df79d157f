package workable

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// Apply implements ats.Client, a step at a time. Workable compares nothing: what a human does between the caller's read
// and a write is overwritten, but for a disqualification, which a move leaves as it is. Hiring is a move into the stage
// of the candidate's job that means hired.
//
// Elements are tags, "key: value", and are written together with all others, as Workable takes them as a whole.
func (c *Client) Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error {
	if err := ats.CheckID("apply", applicationID); err != nil {
		return err
	}
	plan, err := c.cfg.Mapping.Plan(&c.caps, expected, desired)
	if err != nil {
		return err
	}
	return ats.Run(plan, func(s ats.Step) error { return c.write(ctx, applicationID, s) })
}

func (c *Client) write(ctx context.Context, id string, s ats.Step) error {
	switch s.Op {
	case "move":
		return c.send(ctx, s.Op, id, "move", map[string]any{"target_stage": s.To})
	case "hire":
		one, _, err := c.candidate(ctx, id)
		if err != nil {
			return err
		}
		if one.Disqualified { // somebody was faster
			return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeStaleVersion, Op: s.Op, Err: errors.New("the candidate has been disqualified")}
		}
		to, err := c.names.hired(ctx, string(one.Job.Shortcode))
		if err != nil {
			return err
		}
		if to == "" {
			return ats.Refuse(s.Op, ats.CodeUnsupported, "the job has no stage of kind hired")
		}
		return c.send(ctx, s.Op, id, "move", map[string]any{"target_stage": to})
	case "reject":
		return c.send(ctx, s.Op, id, "disqualify", map[string]any{
			"disqualify_reason_id": s.Reason, "withdrew": s.Status == wire.ApplicationStatusWithdrawn,
		})
	case "unreject":
		return c.send(ctx, s.Op, id, "revert", map[string]any{})
	case "note":
		return c.send(ctx, s.Op, id, "comments", map[string]any{"comment": map[string]any{"body": ats.NoteText(c.caps.NoteMarker, s.Elements[0])}})
	default:
		return c.retag(ctx, id, s.Elements)
	}
}

// retag reads the tags right before it writes them all.
func (c *Client) retag(ctx context.Context, id string, elements []wire.Element) error {
	one, _, err := c.candidate(ctx, id)
	if err != nil {
		return err
	}
	tags := make([]string, 0, len(one.Tags)+len(elements))
	for _, t := range one.Tags {
		tags = append(tags, string(t))
	}
	for _, e := range elements {
		f, _ := c.cfg.Mapping.Field(e.Name)
		tags = slices.DeleteFunc(tags, func(t string) bool { return strings.HasPrefix(t, ats.Tag(f.Key, "")) })
		if e.Value != "" {
			tags = append(tags, ats.Tag(f.Key, e.Value))
		}
	}
	_, err = c.http.Send(ctx, ats.Request{
		Op: "elements", Method: http.MethodPut, URL: c.url(id, "tags"), Header: c.header, Body: ats.JSON(map[string]any{"tags": tags}), Write: true,
	})
	return err
}

func (c *Client) url(id, path string) string {
	return c.cfg.BaseURL + "/spi/v3/candidates/" + id + "/" + path
}

func (c *Client) send(ctx context.Context, op, id, path string, body map[string]any) error {
	body["member_id"] = c.cfg.MemberID
	_, err := c.http.Send(ctx, ats.Request{Op: op, Method: http.MethodPost, URL: c.url(id, path), Header: c.header, Body: ats.JSON(body), Write: true})
	return err
}
