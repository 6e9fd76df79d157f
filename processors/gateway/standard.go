package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Standard reads Standard Webhooks of one sender: {"type", "timestamp", "data"}, the data being a screening event, an
// ATS change or a candidate event in the JSON of /events. The identity is the message id, which stays the same when it is sent again.
type Standard struct {
	System string
	// Keys are those that webhook.StandardSecret returns.
	Keys []string
}

// Terms implements webhook.Sender.
func (Standard) Terms() webhook.Terms {
	return webhook.Terms{Accepted: http.StatusOK, Refused: http.StatusUnauthorized, Telling: []string{"webhook-id", "svix-id"}}
}

// Verify implements webhook.Sender.
func (h Standard) Verify(header http.Header, body []byte, now time.Time) error {
	_, err := webhook.VerifyStandard(header, body, h.Keys, now)
	return err
}

// Parse implements webhook.Sender.
func (h Standard) Parse(header http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	id, err := webhook.VerifyStandard(header, body, h.Keys, now)
	if err != nil {
		return nil, &webhook.Error{Sender: "standard", Problem: webhook.ProblemMalformed, Err: err}
	}
	var message struct {
		Type      string          `json:"type"`
		Timestamp wire.Micros     `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &message); err != nil || message.Type == "" {
		return nil, &webhook.Error{Sender: "standard", Problem: webhook.ProblemMalformed, Err: errMessage}
	}
	e := cloudEvent{SpecVersion: "1.0", ID: webhook.Identity(id, body), Source: "/vendors/" + h.System, Type: message.Type, Time: message.Timestamp, Data: message.Data}
	_, event, err := decodeEvent(&e, now)
	switch {
	case errors.Is(err, errType):
		return nil, &webhook.Error{Sender: "standard", Problem: webhook.ProblemAction}
	case err != nil:
		return nil, &webhook.Error{Sender: "standard", Problem: webhook.ProblemBadField, Err: err}
	}
	switch event := event.(type) {
	case *wire.ScreeningEvent:
		if err := h.own(&event.System); err != nil {
			return nil, err
		}
		return []webhook.Event{{Screening: event}}, nil
	case *wire.AtsChange:
		if err := h.own(&event.System); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(event.ApplicationID, h.System+"/") {
			return nil, &webhook.Error{Sender: "standard", Problem: webhook.ProblemBadField, Err: errOther}
		}
		return []webhook.Event{{Change: event}}, nil
	case *wire.CandidateEvent:
		if err := h.own(&event.System); err != nil {
			return nil, err
		}
		return []webhook.Event{{Candidate: event}}, nil
	}
	return nil, &webhook.Error{Sender: "standard", Problem: webhook.ProblemAction}
}

// own makes an event this sender's: nobody speaks for another system.
func (h Standard) own(system *string) error {
	if *system != "" && *system != h.System {
		return &webhook.Error{Sender: "standard", Problem: webhook.ProblemBadField, Err: errOther}
	}
	*system = h.System
	return nil
}

var errOther = errors.New("data.system, or the application, is another system's")

var errMessage = errors.New("no JSON object with a type")
