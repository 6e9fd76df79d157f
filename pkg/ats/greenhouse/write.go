package greenhouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// Apply implements ats.Client. The requests of one Apply, in this order, each only where there is a difference:
//
//  1. unreject, when the application is rejected and should be active: only active ones can be moved;
//  2. elements, in one PATCH of the custom fields;
//  3. move, compared with expected.Stage by Greenhouse itself;
//  4. hire, or reject: the closing effect comes last, and is not sent when anything before it failed.
//
// Only the move is compared and set. A closing effect can overtake a human in the moment between the
// caller's read and this write. What Greenhouse is known to refuse is refused here, before any request.
func (c *Client) Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error {
	id, err := checkID("apply", applicationID)
	if err != nil {
		return err
	}
	steps, err := c.plan(id, expected, ats.Diff(expected, desired), desired)
	if err != nil {
		return err
	}
	for i, s := range steps {
		if err := c.write(ctx, s); err != nil {
			var e *ats.Error
			if errors.As(err, &e) {
				e.Done = i
				if s.op == "move" && e.Status == http.StatusUnprocessableEntity && c.stale(ctx, applicationID, s.from, e) {
					e.Class, e.Code = ats.NotExecuted, ats.CodeStaleVersion
				}
			}
			return err
		}
	}
	return nil
}

// step is one request of an Apply.
type step struct {
	op, method, url string
	body            []byte
	from            string // move: the stage it is compared with
}

func refuse(op string, code ats.Code, why string) error {
	return &ats.Error{Class: ats.Refused, Code: code, Op: op, Err: errors.New(why)}
}

// plan decides the requests, or why there can be none.
func (c *Client) plan(id string, expected wire.Tuple, d ats.Difference, desired wire.Tuple) ([]step, error) {
	base := c.cfg.BaseURL + "/v3/applications/" + id
	post := func(op string, body map[string]json.RawMessage) step {
		b, err := json.Marshal(body)
		if err != nil {
			panic(err) // a map of valid JSON
		}
		return step{op: op, method: http.MethodPost, url: base + "/" + op, body: b}
	}
	var steps []step
	status := expected.Status
	closing := d.Status == wire.ApplicationStatusRejected || d.Status == wire.ApplicationStatusWithdrawn || d.Status == wire.ApplicationStatusHired
	rejected := status == wire.ApplicationStatusRejected || status == wire.ApplicationStatusWithdrawn

	if d.Status == wire.ApplicationStatusActive {
		if !rejected {
			return nil, refuse("unreject", ats.CodeNotApplicable, "only a rejected application can be made active")
		}
		steps = append(steps, post("unreject", nil))
		status = wire.ApplicationStatusActive
	}
	if closing && status != wire.ApplicationStatusActive {
		return nil, refuse("close", ats.CodeNotApplicable, "only an active application can be closed")
	}
	if len(d.Elements) > 0 {
		s, err := c.elements(base, d.Elements)
		if err != nil {
			return nil, err
		}
		steps = append(steps, s)
	}
	if d.Stage != "" {
		switch {
		case status != wire.ApplicationStatusActive:
			return nil, refuse("move", ats.CodeNotApplicable, "only an active application can be moved")
		case expected.Stage == "":
			return nil, refuse("move", ats.CodeInvalid, "the stage to move from is not known")
		}
		from, err1 := numeric(expected.Stage)
		to, err2 := numeric(d.Stage)
		if err1 != nil || err2 != nil {
			return nil, refuse("move", ats.CodeInvalid, "stage id is not a number")
		}
		s := post("move", map[string]json.RawMessage{"from_stage_id": from, "to_stage_id": to})
		s.from = expected.Stage
		steps = append(steps, s)
	}
	switch {
	case d.Status == wire.ApplicationStatusHired:
		body := map[string]json.RawMessage{}
		if c.cfg.OpeningID != "" {
			opening, err := numeric(c.cfg.OpeningID)
			if err != nil {
				return nil, refuse("hire", ats.CodeInvalid, "opening id is not a number")
			}
			body["opening_id"] = opening
		}
		steps = append(steps, post("hire", body))
	case closing:
		reason, err := c.reason(d.Status, desired.Reason)
		if err != nil {
			return nil, err
		}
		steps = append(steps, post("reject", map[string]json.RawMessage{"rejection_reason_id": reason}))
	case d.Reason != "":
		return nil, refuse("reject", ats.CodeUnsupported, "a rejection reason is written with its rejection only")
	}
	return steps, nil
}

// reason picks the rejection reason a status is written with; Greenhouse requires one.
func (c *Client) reason(status wire.ApplicationStatus, asked string) (json.RawMessage, error) {
	m := &c.cfg.Mapping
	withdrawn := status == wire.ApplicationStatusWithdrawn
	if asked == "" {
		if asked = m.RejectReason; withdrawn {
			asked = ""
			if len(m.WithdrawReasons) > 0 {
				asked = m.WithdrawReasons[0]
			}
		}
	}
	if asked == "" || slices.Contains(m.WithdrawReasons, asked) != withdrawn {
		return nil, refuse("reject", ats.CodeInvalid, "no rejection reason that fits the status "+status.String())
	}
	n, err := numeric(asked)
	if err != nil {
		return nil, refuse("reject", ats.CodeInvalid, "rejection reason id is not a number")
	}
	return n, nil
}

func (c *Client) elements(base string, elements []wire.Element) (step, error) {
	type field struct {
		ID      int64           `json:"id,omitempty"`
		NameKey string          `json:"name_key,omitempty"`
		Value   json.RawMessage `json:"value"`
	}
	fields := make([]field, 0, len(elements))
	for _, e := range elements {
		f, ok := c.cfg.Mapping.fieldOf(e.Name)
		if !ok || f.ReadOnly {
			return step{}, refuse("elements", ats.CodeUnsupported, "element "+e.Name+" has no writable field")
		}
		v, err := nativeValue(f, e.Value)
		if err != nil {
			return step{}, &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: "elements", Err: err}
		}
		out := field{ID: f.ID, Value: v}
		if f.ID == 0 {
			out.NameKey = f.Key
		}
		fields = append(fields, out)
	}
	b, err := json.Marshal(map[string]any{"custom_fields": fields})
	if err != nil {
		return step{}, &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: "elements", Err: fmt.Errorf("encode: %w", err)}
	}
	return step{op: "elements", method: http.MethodPatch, url: base, body: b}, nil
}

func (c *Client) write(ctx context.Context, s step) error {
	res, err := c.send(ctx, ats.Request{Op: s.op, Method: s.method, URL: s.url, Body: s.body, Write: true})
	var e *ats.Error
	if errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity && namesField(res.Body, "from_stage_id") {
		e.Class, e.Code = ats.NotExecuted, ats.CodeStaleVersion
	}
	return err
}

// namesField reports whether an error answer blames this field.
func namesField(body []byte, name string) bool {
	var out struct {
		Errors []struct {
			Field looseText `json:"field"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &out) != nil {
		return false
	}
	for _, e := range out.Errors {
		if string(e.Field) == name {
			return true
		}
	}
	return false
}

// stale decides whether a 422 to a move was the guard: the application is not where, or not what, it was.
// When the read fails too the answer is yes, as the caller then reads again before anything else.
func (c *Client) stale(ctx context.Context, applicationID, from string, e *ats.Error) bool {
	if e.Code == ats.CodeStaleVersion {
		return true
	}
	r, err := c.Read(ctx, applicationID)
	if err != nil {
		return ats.CodeOf(err) != ats.CodeNotFound
	}
	return r.Tuple.Stage != from || r.Tuple.Status != wire.ApplicationStatusActive
}

func numeric(id string) (json.RawMessage, error) {
	n, err := strconv.ParseUint(id, 10, 63)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(strconv.FormatUint(n, 10)), nil
}
