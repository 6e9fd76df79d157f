package smartrecruiters

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// Apply implements ats.Client, a step at a time. SmartRecruiters compares nothing, and a status it is told takes the place of the one
// it has: a move and a close read the application right before and are not sent to a closed one. Opening again is one
// request together with its move.
func (c *Client) Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error {
	id, job, err := halves("apply", applicationID)
	if err != nil {
		return err
	}
	steps, err := c.cfg.Mapping.Plan(&c.caps, expected, desired)
	if err != nil {
		return err
	}
	if steps, err = ats.Reopened(steps, desired.Stage); err != nil {
		return err
	}
	return ats.Run(steps, func(s ats.Step) error { return c.write(ctx, id, job, s) })
}

func (c *Client) write(ctx context.Context, id, job string, s ats.Step) error {
	path := "/candidates/" + id + "/jobs/" + job
	switch s.Op {
	case "elements":
		return c.put(ctx, s.Op, path+"/properties", c.values(s.Elements))
	case "note":
		_, err := c.send(ctx, ats.Request{
			Op: s.Op, Method: http.MethodPost, URL: "/messages/shares", Write: true, Body: ats.JSON(map[string]any{
				"content":   ats.NoteText(noteMarker(NativeID(id, job)), s.Elements[0]) + "\n#[CANDIDATE:" + id + "]",
				"shareWith": map[string]any{"openNote": true},
			}),
		})
		return err
	case "unreject":
		return c.put(ctx, s.Op, path+"/status", staged(s.To))
	}
	one, _, err := c.candidate(ctx, id)
	if err != nil {
		return err
	}
	if a := one.in(job); a == nil || a.closed() { // somebody closed it: a status would open it again
		return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeStaleVersion, Op: s.Op, Err: errors.New("the application has been closed")}
	}
	body := staged(s.To)
	switch {
	case s.Op == "hire":
		body = map[string]any{"status": statusHired}
	case s.Status == wire.ApplicationStatusWithdrawn:
		body = map[string]any{"status": statusWithdrawn, "reason": s.Reason}
	case s.Op == "reject":
		body = map[string]any{"status": statusRejected, "reason": s.Reason}
	}
	return c.put(ctx, s.Op, path+"/status", body)
}

// closed reports whether a status would take back what somebody decided.
func (a *assignment) closed() bool {
	switch a.Status {
	case statusHired, statusRejected, statusWithdrawn, statusTransferred:
		return true
	}
	return false
}

// staged is the status of a native stage.
func staged(stage string) map[string]any {
	status, sub, ok := strings.Cut(stage, "/")
	if !ok {
		return map[string]any{"status": status}
	}
	return map[string]any{"status": status, "subStatus": sub}
}

// values are elements as properties; an empty one has no value, which resets it.
func (c *Client) values(elements []wire.Element) []map[string]any {
	out := make([]map[string]any, 0, len(elements))
	for _, e := range elements {
		f, _ := c.cfg.Mapping.Field(e.Name)
		p := map[string]any{"id": f.Key}
		if e.Value != "" {
			p["value"], _ = ats.NativeValue(f, e.Value) // Plan has seen it
		}
		out = append(out, p)
	}
	return out
}

func (c *Client) put(ctx context.Context, op, path string, body any) error {
	_, err := c.send(ctx, ats.Request{Op: op, Method: http.MethodPut, URL: path, Body: ats.JSON(body), Write: true})
	return err
}
