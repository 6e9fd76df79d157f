package greenhouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
	"github.com/concord-ats/concord/pkg/wire"
)

// Apply implements ats.Client: one request a step of the plan.
//
// Only the move is compared and set, by Greenhouse itself. A closing effect can overtake a human in the moment
// between the caller's read and this write. What Greenhouse is known to refuse is refused here, before any request.
func (c *Client) Apply(ctx context.Context, applicationID string, expected, desired wire.Tuple) error {
	id, err := checkID("apply", applicationID)
	if err != nil {
		return err
	}
	plan, err := c.cfg.Mapping.all().Plan(&c.caps, expected, desired)
	if err != nil {
		return err
	}
	requests := make([]ats.Request, len(plan))
	for i, s := range plan {
		if requests[i], err = c.request(id, s); err != nil {
			return err
		}
	}
	i := -1
	return ats.Run(plan, func(s ats.Step) error {
		i++
		err := c.write(ctx, requests[i])
		var e *ats.Error
		if s.Op == "move" && errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity && c.stale(ctx, applicationID, s.From, e) {
			e.Class, e.Code = ats.NotExecuted, ats.CodeStaleVersion
		}
		return err
	})
}

// request turns a step into a call. Its error is an *ats.Error of class Refused.
func (c *Client) request(id string, s ats.Step) (ats.Request, error) {
	body, err := c.body(s)
	if err != nil {
		return ats.Request{}, &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: s.Op, Err: err}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return ats.Request{}, &ats.Error{Class: ats.Refused, Code: ats.CodeInvalid, Op: s.Op, Err: fmt.Errorf("encode: %w", err)}
	}
	r := ats.Request{Op: s.Op, Method: http.MethodPost, URL: c.cfg.BaseURL + "/v3/applications/" + id, Body: b, Write: true}
	if s.Op == "elements" {
		r.Method = http.MethodPatch
	} else {
		r.URL += "/" + s.Op
	}
	return r, nil
}

func (c *Client) body(s ats.Step) (map[string]any, error) {
	body := map[string]any{}
	number := func(key, what, id string) error {
		n, err := strconv.ParseUint(id, 10, 63)
		if err != nil {
			return errors.New(what + " is not a number")
		}
		body[key] = n
		return nil
	}
	switch s.Op {
	case "move":
		return body, errors.Join(number("from_stage_id", "stage id", s.From), number("to_stage_id", "stage id", s.To))
	case "reject":
		return body, number("rejection_reason_id", "rejection reason id", s.Reason)
	case "hire":
		if c.cfg.OpeningID != "" {
			return body, number("opening_id", "opening id", c.cfg.OpeningID)
		}
	case "elements":
		fields, err := c.fields(s.Elements)
		body["custom_fields"] = fields
		return body, err
	}
	return body, nil
}

// customField is a custom field as it is written.
type customField struct {
	ID      int64           `json:"id,omitempty"`
	NameKey string          `json:"name_key,omitempty"`
	Value   json.RawMessage `json:"value"`
}

func (c *Client) fields(elements []wire.Element) ([]customField, error) {
	fields := make([]customField, 0, len(elements))
	for _, e := range elements {
		f, _ := c.cfg.Mapping.all().Field(e.Name) // the plan has only elements with a field
		v, err := ats.NativeValue(f, e.Value)
		if err != nil {
			return nil, err
		}
		out := customField{ID: f.ID, Value: v}
		if f.ID == 0 {
			out.NameKey = f.Key
		}
		fields = append(fields, out)
	}
	return fields, nil
}

func (c *Client) write(ctx context.Context, r ats.Request) error {
	res, err := c.tokens.Send(ctx, r)
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
			Field loose.Text `json:"field"`
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
