package generic

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/concord-ats/concord/pkg/nearest"
	"github.com/concord-ats/concord/pkg/strict"
)

// checker proves what a description must hold.
type checker struct {
	*Description
	doc    *strict.Document
	ids    []string // what stands for the application: id and its parts
	faults strict.Faults
}

func (c *checker) fault(path, value, problem, fix string, args ...any) {
	c.faults = append(c.faults, c.doc.Fault(path, value, problem, fmt.Sprintf(fix, args...)))
}

func (c *checker) check() strict.Faults {
	c.id()
	c.auth()
	c.limits()
	c.record()
	c.reads()
	c.notes()
	c.writes()
	c.compared()
	c.answers()
	if c.Webhooks != nil {
		c.webhooks()
	}
	return c.faults
}

// template checks the placeholders of a text and returns their names.
func (c *checker) template(path string, t Template, allowed ...string) []string {
	names := t.names()
	for _, name := range names {
		if !slices.Contains(allowed, name) {
			c.fault(path, string(t), "has {"+name+"}, which is not known here", "use %s%s", braced(allowed), nearest.Suggest(name, allowed))
		}
	}
	if left := placeholder.ReplaceAllString(string(t), ""); strings.ContainsAny(left, "{}") {
		c.fault(path, string(t), "has a brace that is no placeholder", "write placeholders as {name} or, for a number in a body, {name:number}; known here: %s", braced(allowed))
	}
	return names
}

func braced(names []string) string {
	if len(names) == 0 {
		return "none: it is a plain text"
	}
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "{" + n + "}"
	}
	return strings.Join(out, ", ")
}

// text checks a template that is no JSON.
func (c *checker) text(path string, t Template, allowed ...string) []string {
	if slices.ContainsFunc(t.parts(), func(p part) bool { return p.number }) {
		c.fault(path, string(t), "is a text, which has no numbers", "leave out :number")
	}
	return c.template(path, t, allowed...)
}

// address checks a request with its query and headers, and returns the placeholders.
func (c *checker) address(path string, r Request, query, headers map[string]Template, allowed ...string) []string {
	allowed = append(allowed, "user")
	used := c.text(path+".request", r.Path, allowed...)
	if slices.ContainsFunc(strings.Split(string(r.Path), "/"), func(segment string) bool { return segment == "." || segment == ".." }) {
		c.fault(path+".request", string(r.Path), "leads out of the path it is below", "write the path that is meant, without . and ..")
	}
	for _, key := range slices.Sorted(maps.Keys(query)) {
		used = append(used, c.text(path+".query."+key, query[key], allowed...)...)
	}
	return append(used, c.headers(path, headers, allowed...)...)
}

var headerText = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

func (c *checker) headers(path string, headers map[string]Template, allowed ...string) (used []string) {
	for _, key := range slices.Sorted(maps.Keys(headers)) {
		at := strings.TrimPrefix(path+".headers."+key, ".")
		if strings.EqualFold(key, "Authorization") {
			c.fault(at, key, "is what auth makes", "remove it, and describe auth")
		}
		c.header(at, key)
		used = append(used, c.text(at, headers[key], allowed...)...)
	}
	return used
}

func (c *checker) header(path, name string) {
	if name != "" && !headerText.MatchString(name) {
		c.fault(path, name, "is no name of a header", "give letters, digits and hyphens")
	}
	if slices.ContainsFunc([]string{"Host", "Content-Length", "Transfer-Encoding", "Connection"}, func(own string) bool { return strings.EqualFold(name, own) }) {
		c.fault(path, name, "is a header that every request has of its own", "give another one, such as X-Api-Key")
	}
}

func (c *checker) id() {
	if c.ID.At == nil {
		c.ID.At = map[string]Pointer{"id": "/id"}
	}
	if c.ID.Form == "" {
		c.ID.Form = "{id}"
	}
	parts := slices.Sorted(maps.Keys(c.ID.At))
	used := c.text("id.form", c.ID.Form, parts...)
	for _, p := range parts {
		if !slices.Contains(used, p) {
			c.fault("id.at."+p, p, "is no part of id.form", "add {%s} there, or remove it", p)
		}
		if !regexp.MustCompile(`^[a-z_]+$`).MatchString(p) || p == "id" && len(parts) > 1 || slices.Contains(reserved, p) {
			c.fault("id.at."+p, p, "cannot be the name of a part", "give small letters and underscores, and none of id, %s", strings.Join(reserved, ", "))
		}
	}
	last := "x"
	for _, p := range c.ID.Form.parts() {
		switch {
		case p.name != "" && last == "":
			c.fault("id.form", string(c.ID.Form), "has two parts with nothing between them", "put a - or a _ between")
		case p.name == "" && strings.Trim(p.text, "-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "":
			c.fault("id.form", string(c.ID.Form), "has a character that no id has", "use letters, digits, - and _")
		}
		last = p.text
	}
	c.ids = parts
	if !slices.Contains(parts, "id") {
		c.ids = append([]string{"id"}, parts...)
	}
}

// reserved are the placeholders that mean something else.
var reserved = []string{"user", "since", "stage", "from_stage", "reason", "fields", "key", "value", "note", "element", "etag", "revision", "null"}

func (c *checker) auth() {
	a := c.Auth
	for _, f := range []struct {
		key    string
		given  bool
		scheme Scheme
	}{
		{"header", a.Header != "", "header"},
		{"prefix", a.Prefix != "", "header"},
		{"token", a.Token != "", "oauth2"},
		{"credentials", a.Sends != "", "oauth2"},
		{"form", len(a.Form) > 0, "oauth2"},
	} {
		if f.given && a.Scheme != f.scheme {
			c.fault("auth."+f.key, "", "belongs to scheme "+string(f.scheme), "remove it, or choose that scheme")
		}
	}
	if a.Scheme == "header" && a.Header == "" {
		c.fault("auth", "", "names no header", "give header, such as X-Api-Key")
	}
	c.header("auth.header", a.Header)
	c.headers("", c.Headers, "user")
}

func (c *checker) limits() {
	l := c.Limits
	if (l.Requests > 0) != (l.Per > 0) {
		c.fault("limits", "", "has only one of requests and per", "give both, such as {requests: 50, per: 10s}")
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"requests", l.Requests}, {"burst", l.Burst}, {"concurrent", l.Concurrent}, {"daily", l.Daily}} {
		if n.value < 0 {
			c.fault("limits."+n.key, fmt.Sprint(n.value), "is negative", "give a whole number, or leave it out where there is no such limit")
		}
	}
	if l.Burst > 0 && l.Requests == 0 {
		c.fault("limits.burst", fmt.Sprint(l.Burst), "has no rate at which it is refilled", "give requests and per")
	}
}

func (c *checker) record() {
	for i, s := range c.Record.Status {
		at := fmt.Sprintf("record.status[%d]", i)
		if s.At == "" && len(s.In) > 0 {
			c.fault(at+".in", "", "has values and no place", "give at")
		}
		if s.At == "" && i < len(c.Record.Status)-1 {
			c.fault(at, string(s.Is), "fits everything, so that what follows never holds", "give at, or put it last")
		}
	}
	switch {
	case len(c.Record.Status) == 0:
		c.fault("record.status", "", "is empty", "say how it tells active from closed, such as [{is: active, at: /status, in: [open]}, …]")
	case !slices.ContainsFunc(c.Record.Status, func(s Status) bool { return s.Is == "active" }):
		c.fault("record.status", "", "never reads as active, and only an active application is moved, rejected or hired", "say how it shows one that is open, such as {is: active, at: /status, in: [open]}")
	}
	f := c.Record.Fields
	switch {
	case f == nil:
		if c.Writes.Elements != nil {
			c.fault("writes.elements", "", "cannot be read back", "say in record.fields where the fields are")
		}
	case (f.At == "") == (f.List == ""):
		c.fault("record.fields", "", "has not exactly one of at and list", "give at, such as /custom_fields/{key}, or list with key and value")
	case f.At != "":
		if used := c.text("record.fields.at", f.At, "key"); len(used) != 1 || !pointerText.MatchString(string(f.At)) {
			c.fault("record.fields.at", string(f.At), "is no JSON pointer with one {key}", "give one such as /custom_fields/{key}")
		}
		if f.Key != "" || f.Value != "" {
			c.fault("record.fields", "", "has key or value, which belong to list", "remove them")
		}
	case f.Key == "" || f.Value == "":
		c.fault("record.fields", "", "has a list and not both key and value", "say where an entry has its key and its value")
	}
}

func (c *checker) reads() {
	c.gets("read.request", c.Read.Request)
	used := c.address("read", c.Read.Request, c.Read.Query, nil, c.ids...)
	c.names("read", used, c.ids)
	c.gets("list.request", c.List.Request)
	switch asks := slices.Contains(c.address("list", c.List.Request, c.List.Query, nil, "since"), "since"); {
	case asks:
	case c.Record.UpdatedAt == "":
		c.fault("list.query", "", "does not ask for what changed since a time", "give the parameter that does, such as updated_after: '{since}', or record.updated_at, by which the list is sifted")
	default:
		c.Warnings = append(c.Warnings, c.doc.Fault("list.query", "", "does not ask for what changed since a time, so that each walk of the poller reads the whole estate and sifts it by record.updated_at",
			"give the parameter that does, such as updated_after: '{since}', or raise poller.every"))
	}
	c.pages("list.pages", c.List.Pages)
}

func (c *checker) gets(path string, r Request) {
	if r.Method != "" && !r.reads() {
		c.fault(path, r.Method, "is no method that reads", "give a GET")
	}
}

// names reports a request that says nothing of the application it is about: by which of these names it would.
func (c *checker) names(path string, used, by []string) {
	if !slices.ContainsFunc(used, func(name string) bool { return slices.Contains(by, name) }) {
		c.fault(path+".request", "", "does not say which application it is about", "use %s", braced(by))
	}
}

func (c *checker) pages(path string, p *Pages) {
	if p == nil {
		return
	}
	for _, f := range []struct {
		key    string
		given  bool
		needed []Paging
		may    []Paging
	}{
		{"next", p.Next != "", []Paging{"cursor"}, []Paging{"cursor", "link"}},
		{"parameter", p.Parameter != "", []Paging{"cursor", "page"}, []Paging{"cursor", "page"}},
		{"alone", p.Alone, nil, []Paging{"cursor"}},
		{"first", p.First != nil, nil, []Paging{"page"}},
		{"size", p.Size > 0, []Paging{"page"}, []Paging{"page"}},
	} {
		switch {
		case f.given && !slices.Contains(f.may, p.By):
			c.fault(path+"."+f.key, "", "has no meaning by "+string(p.By), "remove it")
		case !f.given && slices.Contains(f.needed, p.By):
			c.fault(path, string(p.By), "has no "+f.key, "give it: see the format of pages")
		}
	}
}

func (c *checker) notes() {
	n := c.Notes
	switch {
	case n == nil && c.Writes.Note != nil:
		c.fault("writes.note", "", "writes what cannot be found again", "say in notes where notes are read")
	case n == nil:
		return
	case c.Writes.Note == nil:
		c.fault("notes", "", "reads what nothing writes", "say in writes.note how a note is added, or remove it")
	}
	if n == nil {
		return
	}
	if n.Request.Method == "" {
		if n.List == "" || n.Pages != nil || len(n.Query) > 0 {
			c.fault("notes", "", "reads the notes from the record", "give list, and neither query nor pages; or give request")
		}
	} else {
		c.gets("notes.request", n.Request)
		whose := append([]string{"candidate"}, c.ids...)
		c.names("notes", c.address("notes", n.Request, n.Query, nil, whose...), whose)
	}
	c.pages("notes.pages", n.Pages)
	if n.Marker == "" {
		n.Marker = "[concord {element}]"
	}
	if used := c.text("notes.marker", n.Marker, "element", "id"); !slices.Contains(used, "element") {
		c.fault("notes.marker", string(n.Marker), "does not name the element", "add {element}")
	}
}

// body checks the placeholders of a body and returns them. Those of JSON stand alone.
func (c *checker) body(path string, n *yaml.Node, allowed ...string) (used []string) {
	eachScalar(path, n, func(at string, n *yaml.Node) {
		t := Template(n.Value)
		names := c.template(at, t, append(allowed, "null")...)
		for _, name := range names {
			if slices.Contains([]string{"fields", "value", "null"}, name) && string(t) != "{"+name+"}" {
				c.fault(at, n.Value, "has {"+name+"} among text, which is a JSON value", "let it stand alone")
			}
		}
		used = append(used, names...)
	})
	return used
}
