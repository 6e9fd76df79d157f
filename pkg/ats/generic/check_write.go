package generic

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// write is one of a description's writes.
type write struct {
	key   string
	is    *Write
	may   []string // the placeholders of its own
	needs [][]string
}

// all are the writes there are, in the format's order.
func (w *Writes) all() []write {
	var out []write
	for _, one := range []write{
		{"move", w.Move, []string{"stage", "from_stage"}, [][]string{{"stage"}}},
		{"reject", w.Reject, []string{"reason"}, nil},
		{"withdraw", w.Withdraw, []string{"reason"}, nil},
		{"unreject", w.Unreject, nil, nil},
		{"hire", w.Hire, []string{"reason"}, nil},
		{"elements", w.Elements, []string{"fields", "key", "value"}, [][]string{{"fields"}, {"key", "value"}}},
		{"note", w.Note, []string{"note", "element"}, [][]string{{"note"}}},
	} {
		if one.is != nil {
			out = append(out, one)
		}
	}
	return out
}

// Names are the writes there are, in the format's order.
func (w *Writes) Names() []string {
	var out []string
	for _, one := range w.all() {
		out = append(out, one.key)
	}
	return out
}

func (c *checker) writes() {
	for _, w := range c.Writes.all() {
		path := "writes." + w.key
		if w.is.Request.reads() {
			c.fault(path+".request", w.is.Request.Method, "is a method that writes nothing", "give a POST, PUT, PATCH or DELETE")
		}
		used := c.uses(path, w)
		c.names(path, used, c.ids)
		if len(w.needs) > 0 && !slices.ContainsFunc(w.needs, func(all []string) bool {
			return !slices.ContainsFunc(all, func(name string) bool { return !slices.Contains(used, name) })
		}) {
			c.fault(path, "", "does not say what to write", "use %s", strings.Join(ways(w.needs), ", or "))
		}
		if w.key == "elements" && slices.Contains(used, "fields") && w.is.each() {
			c.fault(path, "", "writes all fields at once and each by itself", "use {fields} with field, or {key} and {value}")
		}
		if w.is.Field.Node != nil && (w.key != "elements" || !slices.Contains(used, "fields")) {
			c.fault(path+".field", "", "is what an entry of {fields} looks like, and there is no {fields}", "remove it")
		}
	}
	if c.Writes.Withdraw != nil && c.Writes.Reject == nil {
		c.fault("writes.withdraw", "", "has no reject beside it", "give writes.reject: a withdrawal is a way to reject")
	}
}

func ways(needs [][]string) []string {
	out := make([]string, len(needs))
	for i, all := range needs {
		out[i] = strings.ReplaceAll(braced(all), ", ", " and ")
	}
	return out
}

// uses returns every placeholder of a write.
func (c *checker) uses(path string, w write) []string {
	allowed := append(append([]string{}, c.ids...), w.may...)
	if w.key != "note" {
		allowed = append(allowed, "etag", "revision")
	}
	inText := slices.DeleteFunc(slices.Clone(allowed), func(name string) bool { return name == "fields" || name == "value" || name == "note" })
	used := c.address(path, w.is.Request, w.is.Query, w.is.Headers, inText...)
	used = append(used, c.body(path+".body", w.is.Body.Node, append(allowed, "user")...)...)
	if w.is.Field.Node != nil {
		if inner := c.body(path+".field", w.is.Field.Node, "key", "value"); !slices.Contains(inner, "key") || !slices.Contains(inner, "value") {
			c.fault(path+".field", "", "lacks {key} or {value}", "use both")
		}
	}
	return used
}

// compared checks that what is compared is also sent, and the reverse.
func (c *checker) compared() {
	sends := func(w write, names ...string) bool {
		return slices.ContainsFunc(w.is.names(), func(name string) bool { return slices.Contains(names, name) })
	}
	for _, w := range c.Writes.all() {
		path := "writes." + w.key
		versioned := sends(w, "etag", "revision")
		switch {
		case w.key == "note":
		case c.Compares == "version" && !versioned:
			c.fault(path, "", "carries no version to compare", "use {etag} or {revision} in it, such as headers: {If-Match: '{etag}'}, or leave compares out")
		case c.Compares != "version" && versioned:
			c.fault(path, "", "carries a version, and nothing is said to be compared", "set compares: version, which every write but a note has to carry")
		}
		if sends(w, "revision") && c.Record.Revision == "" {
			c.fault(path, "", "carries {revision}, and no record shows one", "give record.revision")
		}
		if w.key != "move" {
			continue
		}
		switch from := sends(w, "from_stage"); {
		case c.Compares == "stage" && !from:
			c.fault(path, "", "does not name the stage it leaves", "use {from_stage} in it, or leave compares out")
		case c.Compares != "stage" && from:
			c.fault(path, "", "names the stage it leaves, and nothing is said to be compared", "set compares: stage")
		}
	}
	if c.Compares == "stage" && c.Writes.Move == nil {
		c.fault("compares", "stage", "compares the stage of a move, and there is no move", "give writes.move, or leave it out")
	}
	if c.Compares == "stage" && !slices.ContainsFunc(c.Answers, func(r Rule) bool { return r.Means == "stale" }) {
		c.fault("compares", string(c.Compares), "has no answer that says that it was stale", "add it to answers, such as {status: 409, means: stale}")
	}
}

func (c *checker) answers() {
	for i, r := range c.Answers {
		at := fmt.Sprintf("answers[%d]", i)
		switch {
		case r.At == "" && len(r.In) > 0:
			c.fault(at+".in", "", "has values and no place", "give at")
		case r.At == "" && strings.HasPrefix(string(r.Status), "2"):
			c.fault(at, string(r.Status), "makes a failure of every success", "say with at and in how such an answer tells that it failed")
		case r.Means == "not_found_or_denied" && r.Status != "403" && r.Status != "404" && r.Status != "410":
			c.fault(at+".means", string(r.Means), "is for 403, 404 and 410", "choose another meaning")
		}
	}
}

func (c *checker) webhooks() {
	w := c.Webhooks
	s := &w.Signature
	c.header("webhooks.signature.header", s.Header)
	c.header("webhooks.handshake", w.Handshake)
	allowed := []string{"body"}
	if w.EventID.Header != "" {
		allowed = append(allowed, "event_id")
	}
	if s.Timestamp != nil {
		allowed = append(allowed, "timestamp")
		c.header("webhooks.signature.timestamp.header", s.Timestamp.Header)
		if tolerance := time.Duration(s.Timestamp.Tolerance); tolerance > maxTolerance {
			c.fault("webhooks.signature.timestamp.tolerance", tolerance.String(), "lets an old webhook be sent again for as long", "give %s or less, such as 5m", maxTolerance)
		}
	}
	if s.Signs == "" {
		s.Signs = "{body}"
	}
	used := c.text("webhooks.signature.signs", s.Signs, allowed...)
	if !slices.Contains(used, "body") {
		c.fault("webhooks.signature.signs", string(s.Signs), "leaves the body unsigned: anything could be sent under an old signature", "sign {body}")
	}
	if s.Timestamp != nil && !slices.Contains(used, "timestamp") {
		c.fault("webhooks.signature.timestamp", "", "is not signed, and proves nothing", "sign {timestamp} too, such as signs: '{timestamp}.{body}', or remove it")
	}
	if len(w.Events) == 0 {
		c.fault("webhooks.events", "", "is empty", "map its events to ours")
	}
	for _, name := range slices.Sorted(maps.Keys(w.Events)) {
		at := "webhooks.events." + name
		person := strings.HasPrefix(string(w.Events[name]), "candidate.")
		switch {
		case name == w.Ping:
			c.fault(at, name, "is also the ping", "map it, or let it be the ping")
		case person && w.Candidate == "" && (w.Record == "" || c.Record.Candidate == ""):
			c.fault(at, string(w.Events[name]), "is about a person, and nothing says whom", "give webhooks.candidate")
		case w.Events[name] == "candidate.merged" && w.NewCandidate == "":
			c.fault(at, string(w.Events[name]), "does not say who is left", "give webhooks.new_candidate")
		case !person && w.Record == "" && len(w.At) == 0 && w.Candidate == "":
			c.fault(at, string(w.Events[name]), "does not say which application it is about", "give webhooks.at, such as {id: /application_id}, or webhooks.record")
		}
	}
	if len(w.At) > 0 && !slices.Equal(slices.Sorted(maps.Keys(w.At)), slices.Sorted(maps.Keys(c.ID.At))) {
		c.fault("webhooks.at", "", "has not the parts of id", "give %s", strings.Join(slices.Sorted(maps.Keys(c.ID.At)), ", "))
	}
	for _, code := range []struct {
		key              string
		value, low, high int
	}{{"accepted", w.Accepted, 200, 299}, {"refused", w.Refused, 400, 499}} {
		if code.value != 0 && (code.value < code.low || code.value > code.high) {
			c.fault("webhooks."+code.key, strconv.Itoa(code.value), "is no such status", "give %d to %d", code.low, code.high)
		}
	}
}
