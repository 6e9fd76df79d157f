package ashby

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// Apply implements ats.Client, a step at a time. Ashby compares nothing. Archiving, hiring and opening again are moves
// into a stage of the application's interview plan; opening again is one request together with its move.
func (c *Client) Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error {
	if err := ats.CheckID("apply", applicationID); err != nil {
		return err
	}
	steps, err := c.cfg.Mapping.Plan(&c.caps, expected, desired)
	if err != nil {
		return err
	}
	if steps, err = ats.Reopened(steps, desired.Stage); err != nil {
		return err
	}
	return ats.Run(steps, func(s ats.Step) error { return c.write(ctx, applicationID, s) })
}

func (c *Client) write(ctx context.Context, id string, s ats.Step) error {
	switch s.Op {
	case "elements":
		return c.send(ctx, s.Op, "customField.setValues", map[string]any{"objectId": id, "objectType": "Application", "values": c.values(s.Elements)})
	case "note":
		a, _, _, err := c.info(ctx, id)
		if err != nil {
			return err
		}
		return c.send(ctx, s.Op, "candidate.createNote", map[string]any{
			"candidateId": string(a.Candidate), "note": ats.NoteText(noteMarker(id), s.Elements[0]), "sendNotifications": false,
		})
	case "unreject":
		return c.changeStage(ctx, id, s.Op, s.To, "")
	}
	_, now, _, err := c.info(ctx, id)
	if err != nil {
		return err
	}
	if now.closes() { // somebody closed it: a move would open it again
		return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeStaleVersion, Op: s.Op, Err: errors.New("the application has been closed")}
	}
	if s.Op == "move" {
		return c.changeStage(ctx, id, s.Op, s.To, "")
	}
	p, err := c.plan(ctx, string(now.Plan))
	if err != nil {
		return err
	}
	to := p.archived
	if s.Op == "hire" {
		to = p.hired
	}
	if to == "" {
		return ats.Refuse(s.Op, ats.CodeUnsupported, "the interview plan has no stage for it")
	}
	return c.changeStage(ctx, id, s.Op, to, s.Reason)
}

func (c *Client) changeStage(ctx context.Context, id, op, to, reason string) error {
	body := map[string]any{"applicationId": id, "interviewStageId": to}
	if op == "reject" {
		body["archiveReasonId"] = reason
	}
	return c.send(ctx, op, "application.changeStage", body)
}

func (c *Client) send(ctx context.Context, op, endpoint string, body map[string]any) error {
	_, _, err := c.call(ctx, op, endpoint, true, body)
	return err
}

func (c *Client) values(elements []wire.Element) []map[string]any {
	out := make([]map[string]any, 0, len(elements))
	for _, e := range elements {
		f, _ := c.cfg.Mapping.Field(e.Name)
		v, _ := ats.NativeValue(f, e.Value) // Plan has seen it
		out = append(out, map[string]any{"fieldId": f.Key, "fieldValue": v})
	}
	return out
}

// plan finds the closing stages of an interview plan, once.
func (c *Client) plan(ctx context.Context, id string) (plan, error) {
	c.mu.Lock()
	p, known := c.plans[id]
	c.mu.Unlock()
	if known {
		return p, nil
	}
	got, res, err := c.call(ctx, "read", "interviewStage.list", false, map[string]any{"interviewPlanId": id})
	if err != nil {
		return plan{}, err
	}
	var stages []struct {
		ID   loose.Text `json:"id"`
		Type loose.Text `json:"type"`
	}
	if json.Unmarshal(got.Results, &stages) != nil {
		return plan{}, res.Bad("read", "stages of an unexpected shape")
	}
	for _, s := range stages {
		switch {
		case s.Type == "Archived" && p.archived == "":
			p.archived = string(s.ID)
		case s.Type == "Hired" && p.hired == "":
			p.hired = string(s.ID)
		}
	}
	c.mu.Lock()
	c.plans[id] = p
	c.mu.Unlock()
	return p, nil
}
