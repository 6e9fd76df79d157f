package gateway

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/pkg/wire"
)

// maxBatch bounds the events of one batched request.
const maxBatch = 1000

// cloudEvent is the JSON form of a CloudEvent, specversion 1.0. Other attributes are ignored.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Time        wire.Micros     `json:"time"`
	Subject     string          `json:"subject"`
	Data        json.RawMessage `json:"data"`
	// Data64 is the data of a sender that takes it for binary. ContentType says whether it is JSON all the same.
	Data64      []byte `json:"data_base64"`
	ContentType string `json:"datacontenttype"`
}

// cloudEvents takes CloudEvents over HTTP. All events of a request are checked before any is sent on: a bad one refuses
// the request with its index, its field and the fix.
func (g *Gateway) cloudEvents(r *http.Request, d *door, body []byte) answer {
	if !g.authorised(r) {
		return answer{http.StatusUnauthorized, "unauthorised", "send a configured token as Authorization: Bearer …"}
	}
	if a, ok := g.admit(d); !ok {
		return a
	}
	if webhook.Deep(body) {
		return answer{http.StatusBadRequest, "malformed", fmt.Sprintf("the JSON nests deeper than %d levels", webhook.MaxDepth)}
	}
	all, err := readEvents(r, body)
	switch {
	case errors.Is(err, errFormat):
		return answer{http.StatusUnsupportedMediaType, "malformed", err.Error()}
	case err != nil:
		return answer{http.StatusBadRequest, "malformed", err.Error()}
	}
	recs := make([]*kgo.Record, len(all))
	for i := range all {
		topic, event, err := decodeEvent(&all[i], g.cfg.Clock())
		if err != nil {
			return answer{http.StatusUnprocessableEntity, "invalid", fmt.Sprintf("event %d: %s", i, err)}
		}
		recs[i] = g.record(topic, event)
	}
	return g.published(r.Context(), http.StatusOK, recs)
}

// authorised checks a token in constant time. Senders that cannot set the header put it into the query.
func (g *Gateway) authorised(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	ok = ok && strings.EqualFold(scheme, "Bearer")
	if query := r.URL.Query().Get("access_token"); !ok && query != "" {
		token, ok = query, true
	}
	match := 0
	for _, t := range g.cfg.Tokens {
		match |= subtle.ConstantTimeCompare([]byte(token), []byte(t))
	}
	return ok && match == 1
}

// permit answers the handshake in which a sender of CloudEvents asks whether it may send. Permission needs the token, as
// the events will; a callback that is offered is not called, as its address is the sender's choice.
func (g *Gateway) permit(w http.ResponseWriter, r *http.Request) answer {
	h := w.Header()
	h.Set("Allow", "POST, OPTIONS")
	origin := r.Header.Get("WebHook-Request-Origin")
	if origin == "" || len(origin) > 253 || strings.ContainsFunc(origin, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return answer{http.StatusBadRequest, "malformed", "WebHook-Request-Origin is missing or no DNS name"}
	}
	if !g.authorised(r) {
		return answer{http.StatusUnauthorized, "unauthorised", "send a configured token as Authorization: Bearer …"}
	}
	h.Set("WebHook-Allowed-Origin", origin)
	h.Set("WebHook-Allowed-Rate", strconv.Itoa(int(g.cfg.Rate*60)))
	return answer{http.StatusOK, "handshake", "agreed"}
}

// errFormat is the cause of a Content-Type that is no form of CloudEvents.
var errFormat = errors.New("send application/cloudevents+json, application/cloudevents-batch+json, or application/json with ce- headers")

// readEvents reads the three content modes of the HTTP binding.
func readEvents(r *http.Request, body []byte) ([]cloudEvent, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, fmt.Errorf("Content-Type is missing or unreadable: %w", errFormat)
	}
	switch kind {
	case "application/cloudevents-batch+json":
		var all []cloudEvent
		if err := json.Unmarshal(body, &all); err != nil {
			return nil, fmt.Errorf("the body is no JSON array of CloudEvents: %w", misfit(err, body, all))
		}
		if len(all) == 0 || len(all) > maxBatch {
			return nil, fmt.Errorf("the batch has %d events: send 1 to %d", len(all), maxBatch)
		}
		return all, nil
	case "application/cloudevents+json":
		var one cloudEvent
		if err := json.Unmarshal(body, &one); err != nil {
			return nil, fmt.Errorf("the body is no CloudEvent in JSON: %w", misfit(err, body, one))
		}
		return []cloudEvent{one}, nil
	}
	if strings.HasPrefix(kind, "application/cloudevents") {
		return nil, fmt.Errorf("Content-Type %q: %w", kind, errFormat)
	}
	one := cloudEvent{Data: body}
	at := ""
	for _, a := range []struct {
		name string
		into *string
	}{{"specversion", &one.SpecVersion}, {"id", &one.ID}, {"source", &one.Source}, {"type", &one.Type}, {"subject", &one.Subject}, {"time", &at}} {
		if *a.into, err = attribute(r.Header.Get("ce-" + a.name)); err != nil {
			return nil, fmt.Errorf("ce-%s: %w", a.name, err)
		}
	}
	if at != "" {
		if err := one.Time.UnmarshalJSON([]byte(`"` + strings.ReplaceAll(at, `"`, "") + `"`)); err != nil {
			return nil, errors.New("ce-time is no RFC 3339 time")
		}
	}
	return []cloudEvent{one}, nil
}

// attribute reads the value of a ce- header (HTTP protocol binding 1.0.2, 3.1.3.2): without the quotes in which older senders
// put it, and percent-decoded once.
func attribute(value string) (string, error) {
	if strings.HasPrefix(value, `"`) {
		var err error
		if value, err = unquoted(value); err != nil {
			return "", err
		}
	}
	value, err := url.PathUnescape(value)
	if err != nil {
		return "", errors.New("a % is not followed by two hexadecimal digits: send a % itself as %25")
	}
	if !utf8.ValidString(value) {
		return "", errors.New("the value is no UTF-8: send what is no printable ASCII percent-encoded")
	}
	return value, nil
}

// unquoted is the content of a quoted string of HTTP.
func unquoted(value string) (string, error) {
	var out strings.Builder
	for i := 1; i < len(value); i++ {
		switch c := value[i]; {
		case c == '"' && i == len(value)-1:
			return out.String(), nil
		case c == '"':
			return "", errQuotes
		case c == '\\':
			if i++; i == len(value) {
				return "", errQuotes
			}
		}
		out.WriteByte(value[i])
	}
	return "", errQuotes
}

var errQuotes = errors.New("a quoted value does not end with its last quote: send it percent-encoded, without quotes")

// content is the JSON of the data.
func (e *cloudEvent) content() (json.RawMessage, error) {
	switch {
	case e.Data64 == nil:
		return e.Data, nil
	case e.Data != nil:
		return nil, errors.New("data and data_base64 are both there: send one")
	}
	kind, _, err := mime.ParseMediaType(e.ContentType)
	if _, sub, _ := strings.Cut(kind, "/"); err != nil || sub != "json" && !strings.HasSuffix(sub, "+json") {
		return nil, errors.New("datacontenttype is not JSON's: send data, or data_base64 with application/json")
	}
	if webhook.Deep(e.Data64) { // what was looked at before is not this
		return nil, fmt.Errorf("data_base64: the JSON nests deeper than %d levels", webhook.MaxDepth)
	}
	return e.Data64, nil
}

// decodeEvent turns a CloudEvent into an event and its topic. The attributes and the data must agree where both say the
// same.
func decodeEvent(e *cloudEvent, at time.Time) (topic string, _ wire.Event, err error) {
	if e.SpecVersion != "1.0" {
		return "", nil, fmt.Errorf("specversion is %q: send 1.0", e.SpecVersion)
	}
	if e.ID == "" || e.Source == "" || e.Type == "" {
		return "", nil, errors.New("id, source and type must not be empty")
	}
	switch {
	case strings.HasPrefix(e.Type, "screening."):
		var w wire.ScreeningEvent
		if err := decodeData(e, &w, fields{&w.ID, &w.Source, &w.Type, &w.ApplicationID, &w.OccurredAt}); err != nil {
			return "", nil, err
		}
		w.ObservedAt = wire.MicrosOf(at)
		return topics.ScreeningEvents, &w, checked(&w)
	case strings.HasPrefix(e.Type, "application."), e.Type == "snapshot":
		var w wire.AtsChange
		if err := decodeData(e, &w, fields{&w.ID, &w.Source, &w.Type, &w.ApplicationID, &w.OccurredAt}); err != nil {
			return "", nil, err
		}
		w.ObservedAt = wire.MicrosOf(at)
		return topics.ATSChanges, &w, checked(&w)
	case wire.ToldOfCandidate(e.Type):
		var w wire.CandidateEvent
		if err := decodeData(e, &w, fields{id: &w.ID, source: &w.Source, typ: &w.Type, at: &w.OccurredAt}); err != nil {
			return "", nil, err
		}
		w.ObservedAt = wire.MicrosOf(at)
		return topics.CandidateEvents, &w, checkedCandidate(&w, e.Subject)
	}
	return "", nil, fmt.Errorf("type %q %w", e.Type, errType)
}

// errType is the cause of a type that has no topic here.
var errType = errors.New("is not accepted here: send screening.*, application.*, snapshot, or candidate.merged, .anonymized, .duplicate, .deleted or .seen")

// fields are the envelope's own fields inside the data; one that is nil is not there.
type fields struct {
	id, source, typ, application *string
	at                           *wire.Micros
}

func decodeData(e *cloudEvent, into any, f fields) error {
	data, err := e.content()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("data: %w", misfit(err, data, into))
	}
	for _, p := range []struct {
		name string
		data *string
		attr string
	}{{"id", f.id, e.ID}, {"source", f.source, e.Source}, {"type", f.typ, e.Type}, {"application_id, the subject,", f.application, e.Subject}} {
		switch {
		case p.data == nil:
		case *p.data == "":
			*p.data = p.attr
		case p.attr != "" && *p.data != p.attr:
			return fmt.Errorf("data.%s differs from the attribute: send it once, or the same", p.name)
		}
	}
	switch {
	case *f.at == 0:
		*f.at = e.Time
	case e.Time != 0 && e.Time != *f.at:
		return errors.New("data.occurred_at differs from the attribute time: send it once, or the same")
	}
	return nil
}

// checked refuses what the reconciler would dead-letter for lack of a key or a time.
func checked(e wire.Event) error {
	env := e.Envelope()
	if instance, native, ok := strings.Cut(env.Subject, "/"); !ok || instance == "" || native == "" {
		return errors.New("data.application_id must be <ats instance>/<native id>")
	}
	if env.Time == 0 {
		return errors.New("time is missing: send the attribute time or data.occurred_at")
	}
	return nil
}

// checkedCandidate refuses what the identity processor would dead-letter. The subject says system and candidate where the
// data says neither.
func checkedCandidate(e *wire.CandidateEvent, subject string) error {
	if e.System == "" && e.CandidateID == "" {
		e.System, e.CandidateID, _ = strings.Cut(subject, "/")
	}
	var w *wire.Error
	if errors.As(e.Check(), &w) {
		return fmt.Errorf("data: %w: send candidates as <ats instance>/<candidate id> in the subject, or as system and candidate_id", w.Err)
	}
	if subject != "" && subject != e.Envelope().Subject {
		return errors.New("data.system and data.candidate_id differ from the subject: send them once, or the same")
	}
	if e.OccurredAt == 0 && e.TimeBasis != wire.TimeBasisReceipt {
		return errors.New("time is missing: send the attribute time or data.occurred_at, or data.time_basis receipt if you know none")
	}
	return nil
}
