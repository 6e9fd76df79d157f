package generic

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/contact"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// Sender reads the webhooks of one instance of a described ATS.
//
// A webhook is an event of its own where its body holds the whole record with the time it was last changed, and says in
// itself what happened; every other one is a receipt, after which Concord reads the application.
type Sender struct {
	d       *Description
	m       ats.Mapping
	reader  reader
	secrets []string
}

// NewSender returns a reader of webhooks. The description has to have them.
func NewSender(d *Description, m ats.Mapping, secrets ...string) (*Sender, error) {
	if d.Webhooks == nil {
		return nil, errors.New("generic: the description has no webhooks: describe them, or leave webhook_secrets out")
	}
	h := &Sender{d: d, m: m, secrets: secrets}
	h.reader = newReader(d, &h.m)
	return h, nil
}

// Terms implements webhook.Sender.
func (h *Sender) Terms() webhook.Terms {
	w := h.d.Webhooks
	t := webhook.Terms{Accepted: http.StatusOK, Refused: http.StatusUnauthorized, Handshake: w.Handshake}
	if w.Accepted != 0 {
		t.Accepted = w.Accepted
	}
	if w.Refused != 0 {
		t.Refused = w.Refused
	}
	for _, p := range []Place{w.Event, w.EventID} {
		if p.Header != "" {
			t.Telling = append(t.Telling, p.Header)
		}
	}
	return t
}

// Verify implements webhook.Sender.
func (h *Sender) Verify(header http.Header, body []byte, now time.Time) error {
	w := h.d.Webhooks
	return w.Signature.verify(header, body, w.EventID.text(header, nil), h.secrets, now)
}

var (
	errNotJSON = errors.New("no JSON object that says what happened")
	errWhom    = errors.New("nothing says whom it is about")
)

func (h *Sender) problem(p webhook.Problem, action string, err error) error {
	return &webhook.Error{Sender: "generic", Problem: p, Action: action, Err: err}
}

// Parse implements webhook.Sender. Identity: the event's own id, with the record's version where the body shows one, as the
// body of an event that is sent again may have changed; without an id the hash of the body.
func (h *Sender) Parse(header http.Header, body []byte, now time.Time) ([]webhook.Event, error) {
	w := h.d.Webhooks
	doc, err := decode(body)
	if _, object := doc.(map[string]any); err != nil || !object {
		return nil, h.problem(webhook.ProblemMalformed, "", errNotJSON)
	}
	event := w.Event.text(header, doc)
	kind, followed := w.Events[event]
	switch {
	case event == "":
		return nil, h.problem(webhook.ProblemMalformed, "", errNotJSON)
	case event == w.Ping:
		return nil, nil
	case !followed:
		return nil, h.problem(webhook.ProblemAction, "", nil)
	}
	var rec any
	if w.Record != "" {
		rec, _ = w.Record.in(doc)
	}
	candidate := w.Candidate.text(doc)
	if candidate == "" && rec != nil {
		candidate = h.d.Record.Candidate.text(rec)
	}
	if candidate != "" && !webhook.PlainID(candidate) {
		return nil, h.problem(webhook.ProblemBadField, event, errWhom)
	}
	own := w.EventID.text(header, doc)
	id := webhook.Identity(own, body)
	if strings.HasPrefix(string(kind), "candidate.") {
		return h.person(event, string(kind), id, candidate, w.NewCandidate.text(doc), now)
	}
	c := &wire.AtsChange{
		ID: id, Source: h.m.SourceURI(), Type: string(kind), System: h.m.System,
		ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt, CandidateID: candidate,
	}
	switch native, err := h.native(doc, rec); {
	case err == nil:
		c.ApplicationID = h.m.ApplicationID(native)
	case candidate == "":
		return nil, h.problem(webhook.ProblemNoID, event, errWhom)
	}
	if err := h.dated(c, rec, id == strings.TrimSpace(own)); err != nil {
		return nil, h.problem(webhook.ProblemBadField, event, err)
	}
	return []webhook.Event{{Change: c, Contacts: h.contacts(doc)}}, nil
}

// native is the application's id: at webhooks.at, else in the record.
func (h *Sender) native(doc, rec any) (string, error) {
	if len(h.d.Webhooks.At) > 0 {
		return h.reader.ids.of(doc, h.d.Webhooks.At)
	}
	return h.reader.ids.of(rec, h.reader.ids.at)
}

// dated makes an event of its own of a change whose record says how new it is. Mutable: the id is the sender's, who may send
// another body under it.
func (h *Sender) dated(c *wire.AtsChange, rec any, mutable bool) error {
	if rec == nil || h.d.Webhooks.Event.Header != "" || c.ApplicationID == "" || c.Type == "application.deleted" {
		return nil
	}
	r, err := h.reader.reading(rec)
	if err != nil || r.UpdatedAt.IsZero() {
		return err
	}
	c.OccurredAt, c.TimeBasis = wire.MicrosOf(r.UpdatedAt), wire.TimeBasisRecord
	c.Requisition, c.Status, c.Reason, c.Elements = r.Requisition, r.Tuple.Status, r.Tuple.Reason, r.Tuple.Elements
	c.Stage = wire.NativeStage{ID: r.Tuple.Stage, Name: r.StageName}
	if c.Type == "application.rejected" && c.Status == wire.ApplicationStatusWithdrawn {
		c.Type = "application.withdrawn"
	}
	if mutable {
		c.ID += "." + strconv.FormatInt(int64(c.OccurredAt), 10)
	}
	return nil
}

// person is an event about a candidate.
func (h *Sender) person(event, kind, id, candidate, left string, now time.Time) ([]webhook.Event, error) {
	if candidate == "" || kind == "candidate.merged" && !webhook.PlainID(left) {
		return nil, h.problem(webhook.ProblemNoID, event, errWhom)
	}
	e := &wire.CandidateEvent{
		ID: id, Source: h.m.SourceURI(), Type: kind, System: h.m.System, ObservedAt: wire.MicrosOf(now), TimeBasis: wire.TimeBasisReceipt, CandidateID: candidate,
	}
	if kind == "candidate.merged" {
		e.NewCandidateID = left
	}
	return []webhook.Event{{Candidate: e}}, nil
}

func (h *Sender) contacts(doc any) []contact.Contact {
	var out []contact.Contact
	for _, c := range []struct {
		kind contact.Kind
		at   Pointer
	}{{contact.Email, h.d.Webhooks.Email}, {contact.Phone, h.d.Webhooks.Phone}} {
		if value := c.at.text(doc); value != "" {
			out = append(out, contact.New(c.kind, value))
		}
	}
	return out
}
