package gateway_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/processors/gateway"
)

const (
	structured = "application/cloudevents+json"
	batched    = "application/cloudevents-batch+json; charset=utf-8"
	completed  = `{"specversion":"1.0","id":"e1","source":"/vendor","type":"screening.completed","time":"2026-03-01T10:00:00.000001Z","subject":"gh-main/7","data":{"order_id":"o1","result":{"status":"complete","recommendation":"advance"}}}`
	moved      = `{"specversion":"1.0","id":"e2","source":"/poll","type":"application.stage_changed","subject":"gh-main/8","data":{"occurred_at":"2026-03-01T11:00:00Z","stage":{"id":"1004"}}}`
)

// in64 is completed with its data in Base64, declared as of a media type, or of none.
func in64(kind string) string {
	head, data, _ := strings.Cut(strings.TrimSuffix(completed, "}"), `"data":`)
	if kind != "" {
		head += `"datacontenttype":"` + kind + `",`
	}
	return head + `"data_base64":"` + base64.StdEncoding.EncodeToString([]byte(data)) + `"}`
}

func (d *door) event(kind, body string, header ...string) reply {
	d.t.Helper()
	return d.post("/events", body, append([]string{"Authorization", "Bearer " + token, "Content-Type", kind}, header...)...)
}

func (d *door) screening(rec *kgo.Record) wire.ScreeningEvent {
	d.t.Helper()
	var e wire.ScreeningEvent
	if err := d.schemas.DecodeLocal(rec.Value, &e); err != nil {
		d.t.Fatal(err)
	}
	return e
}

// The three content modes of the HTTP binding say the same event.
func TestContentModes(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(*door) reply{
		"structured": func(d *door) reply { return d.event(structured, completed) },
		"batched":    func(d *door) reply { return d.event(batched, "["+completed+"]") },
		"binary": func(d *door) reply {
			return d.event("application/json", `{"order_id":"o1","result":{"status":"complete","recommendation":"advance"}}`,
				"ce-specversion", "1.0", "ce-id", "e1", "ce-source", "/vendor", "ce-type", "screening.completed", "ce-time", "2026-03-01T10:00:00.000001Z", "ce-subject", "gh-main/7")
		},
		"binary, as 1.0.2 has it": func(d *door) reply {
			return d.event("application/json", `{"order_id":"o1","result":{"status":"complete","recommendation":"advance"}}`,
				"ce-specversion", "1.0", "ce-id", "e%31", "ce-source", "%2fvendor", "ce-type", "screening%2Ecompleted", "ce-time", "2026-03-01T10%3A00:00.000001Z", "ce-subject", "gh-main%2F7")
		},
		"binary, quoted as before 1.0.2": func(d *door) reply {
			return d.event("application/json", `{"order_id":"o1","result":{"status":"complete","recommendation":"advance"}}`,
				"ce-specversion", `"1.0"`, "ce-id", `"e\1"`, "ce-source", `"/vendor"`, "ce-type", "screening.completed", "ce-time", `"2026-03-01T10:00:00.000001Z"`, "ce-subject", `"gh-main/7"`)
		},
		"in Base64": func(d *door) reply { return d.event(structured, in64("application/json")) },
		"in Base64, batched": func(d *door) reply {
			return d.event(batched, "["+in64("Application/Vnd.Vendor+JSON; charset=utf-8")+"]")
		},
		"said twice, the same": func(d *door) reply {
			return d.event(structured, strings.Replace(completed, `"data":{`, `"data":{"id":"e1","source":"/vendor","type":"screening.completed","application_id":"gh-main/7","occurred_at":"2026-03-01T10:00:00.000001Z",`, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, nil)
			if r := send(d); r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.text)
			}
			all := d.stored()
			if len(all) != 1 || all[0].Topic != topics.ScreeningEvents || string(all[0].Key) != "gh-main/7" {
				t.Fatalf("%d records, want one of gh-main/7", len(all))
			}
			e := d.screening(all[0])
			if e.ID != "e1" || e.Source != "/vendor" || e.Type != "screening.completed" || e.ApplicationID != "gh-main/7" || e.OrderID != "o1" ||
				e.OccurredAt.String() != "2026-03-01T10:00:00.000001Z" || e.ObservedAt != wire.MicrosOf(now) || e.Result == nil || e.Result.Recommendation != wire.RecommendationAdvance {
				t.Errorf("stored %+v", e)
			}
			if headerOf(all[0], wire.HeaderID) != "e1" || headerOf(all[0], wire.HeaderTime) != "2026-03-01T10:00:00.000001Z" || headerOf(all[0], wire.HeaderSubject) != "gh-main/7" {
				t.Errorf("headers %v", all[0].Headers)
			}
		})
	}
}

func TestBatchGoesToItsTopics(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	if r := d.event(batched, "["+completed+","+moved+"]"); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.text)
	}
	got := map[string]string{}
	for _, rec := range d.stored() {
		got[rec.Topic] += string(rec.Key)
	}
	if len(got) != 2 || got[topics.ScreeningEvents] != "gh-main/7" || got[topics.ATSChanges] != "gh-main/8" {
		t.Errorf("stored %v", got)
	}
}

// A bad event refuses its whole request, with the index and the field, and without a value of the body.
func TestEventIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	with := func(old, replacement string) string { return strings.Replace(completed, old, replacement, 1) }
	for name, c := range map[string]struct {
		kind, body, want string
		status           int
	}{
		"id differs":          {structured, with(`"data":{`, `"data":{"id":"other",`), "data.id differs", 422},
		"source differs":      {structured, with(`"data":{`, `"data":{"source":"/other",`), "data.source differs", 422},
		"type differs":        {structured, with(`"data":{`, `"data":{"type":"screening.started",`), "data.type differs", 422},
		"subject differs":     {structured, with(`"data":{`, `"data":{"application_id":"gh-main/9",`), "application_id", 422},
		"time differs":        {structured, with(`"data":{`, `"data":{"occurred_at":"2026-03-01T10:00:01Z",`), "occurred_at differs", 422},
		"another type":        {structured, with("screening.completed", "candidate.linked"), "candidate.merged", 422},
		"another version":     {structured, with("1.0", "0.3"), "specversion", 422},
		"no id":               {structured, with(`"e1"`, `""`), "id", 422},
		"no time":             {structured, with(`"time":"2026-03-01T10:00:00.000001Z",`, ""), "time is missing", 422},
		"no application":      {structured, with(`"subject":"gh-main/7",`, ""), "application_id", 422},
		"no native id":        {structured, with("gh-main/7", "gh-main/"), "application_id", 422},
		"no data":             {structured, completed[:strings.Index(completed, `,"data"`)] + "}", "data", 422},
		"a text for a number": {structured, with(`"data":{`, `"data":{"attempt":"Jane Doe",`), `"attempt"`, 422},
		"a number too large":  {structured, with(`"data":{`, `"data":{"attempt":4711471147,`), `data: field "attempt": a JSON number does not fit, send a whole number of at most 32 bits`, 422},
		"no such symbol":      {structured, with(`"data":{`, `"data":{"time_basis":"Jane Doe",`), `data: field "time_basis": a value does not fit, send one of event, record`, 422},
		"inside a list":       {batched, "[" + completed + "," + with("2026-03-01T", "Jane Doe") + "]", `field "[1].time": a value does not fit, send an RFC 3339 time`, 400},
		"inside an object":    {structured, with(`"result":{`, `"result":{"finished_at":"Jane Doe",`), `data: field "result.finished_at": a value does not fit, send an RFC 3339 time`, 422},
		"said twice":          {structured, with(`"data":{`, `"data":{"result":{"finished_at":"Jane Doe"},`), `data: a value does not fit, send an RFC 3339 time`, 422},
		"a number for a text": {structured, with(`"e1"`, "17"), `field "id": a JSON number does not fit, send a string`, 400},
		"time is no time":     {structured, with("2026-03-01T", "Jane Doe"), `field "time": a value does not fit, send an RFC 3339 time`, 400},
		"not JSON":            {structured, "{", "JSON", 400},
		"no content type":     {"", completed, "Content-Type", 415},
		"no list":             {batched, completed, "JSON", 400},
		"empty batch":         {batched, "[]", "0 events", 400},
		"large batch":         {batched, "[" + strings.Repeat("{},", 1000) + "{}]", "1001 events", 400},
		"second of two":       {batched, "[" + completed + "," + with(`"e1"`, `""`) + "]", "event 1:", 422},
		"both forms":          {structured, in64("application/json")[:len(in64("application/json"))-1] + `,"data":{}}`, "data and data_base64", 422},
		"Base64 of a kind":    {structured, in64("application/avro"), "datacontenttype", 422},
		"Base64 of no kind":   {structured, in64(""), "datacontenttype", 422},
		"no Base64":           {structured, strings.Replace(in64("application/json"), `"data_base64":"`, `"data_base64":"Jane Doe`, 1), `field "data_base64": a value does not fit, send Base64`, 400},
		"deep in Base64":      {structured, strings.Replace(in64("application/json"), `"data_base64":"`, `"data_base64":"`+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("[", 99))), 1), "deeper", 422},
		"no headers":          {"application/json", "{}", "specversion", 422},
	} {
		r := d.event(c.kind, c.body)
		if r.status != c.status || !strings.Contains(r.text, c.want) {
			t.Errorf("%s: %d %s, want %d with %q", name, r.status, r.text, c.status, c.want)
		}
		if strings.Contains(r.text, "Jane") || strings.Contains(r.text, "4711") || strings.Contains(r.text, "17") {
			t.Errorf("%s: the answer repeats a value: %s", name, r.text)
		}
	}
	if r := d.event("application/json", "{}", "ce-specversion", "1.0", "ce-time", "yesterday"); r.status != 400 || !strings.Contains(r.text, "ce-time") {
		t.Errorf("ce-time: %d %s", r.status, r.text)
	}
	for name, value := range map[string]string{"cut off": "Jane%2", "no hexadecimal": "Jane%2g", "no UTF-8": "Jane%C0%A0", "quotes that stay open": `"Jane`, "nothing after a backslash": `"Jane\`} {
		if r := d.event("application/json", "{}", "ce-specversion", "1.0", "ce-id", value); r.status != 400 || !strings.Contains(r.text, "ce-id") || strings.Contains(r.text, "Jane") {
			t.Errorf("ce-id %s: %d %s", name, r.status, r.text)
		}
	}
	if r := d.event("application/json", `{"order_id":"o1"} <b>trailing`, "ce-specversion", "1.0", "ce-id", "e1", "ce-source", "/vendor", "ce-type", "screening.completed", "ce-time", "2026-03-01T10:00:00Z", "ce-subject", "gh-main/7"); r.status != 422 || !strings.Contains(r.text, "JSON syntax") {
		t.Errorf("trailing: %d %s", r.status, r.text)
	}
	for name, value := range map[string]string{"none": "", "another": "Bearer token-2", "empty": "Bearer ", "no scheme": token, "part": "Bearer token-"} {
		if r := d.post("/events", completed, "Content-Type", structured, "Authorization", value); r.status != http.StatusUnauthorized {
			t.Errorf("token %s: %d %s", name, r.status, r.text)
		}
	}
	d.nothing()
}

// Scenario 54: A leap second
// Happens: A publisher's clock shows 23:59:60, or says the last second of the year twice.
// Concord: Knows no sixtieth second, as no system it speaks to does: such a time is refused at once, so that
// the sender can send the second before or after. A second said twice orders by revision or id, like any equal times.
func TestLeapSecond(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	r := d.event(structured, strings.Replace(completed, "2026-03-01T10:00:00.000001Z", "2016-12-31T23:59:60Z", 1))
	if r.status != http.StatusBadRequest || !strings.Contains(r.text, `field "time": a value does not fit, send an RFC 3339 time`) {
		t.Errorf("%d %s", r.status, r.text)
	}
	d.nothing()
	for _, id := range []string{"e1", "e2"} {
		body := strings.Replace(completed, "2026-03-01T10:00:00.000001Z", "2016-12-31T23:59:59.999999Z", 1)
		if r := d.event(structured, strings.Replace(body, `"e1"`, `"`+id+`"`, 1)); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", id, r.status, r.text)
		}
	}
	if n := len(d.stored()); n != 2 {
		t.Errorf("%d stored, want both", n)
	}
}

// The scheme of a token is told in any case.
func TestBearerInAnyCase(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	for _, scheme := range []string{"bearer ", "BEARER "} {
		if r := d.post("/events", completed, "Content-Type", structured, "Authorization", scheme+token); r.status != http.StatusOK {
			t.Errorf("%q: %d %s", scheme, r.status, r.text)
		}
	}
}

// Without a configured token the endpoint is closed, to an empty token as well.
func TestNoTokenClosesTheEndpoint(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) { cfg.Tokens = nil })
	for _, value := range []string{"", "Bearer ", "Bearer " + token} {
		if r := d.post("/events", completed, "Content-Type", structured, "Authorization", value); r.status != http.StatusUnauthorized {
			t.Errorf("%q: %d %s", value, r.status, r.text)
		}
	}
	d.nothing()
}
