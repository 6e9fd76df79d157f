package generic

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/strict"
	"github.com/concord-ats/concord/pkg/wire"
)

// Closed sets of the format.
type (
	// Scheme is how callers are admitted.
	Scheme string
	// Credentials is where an OAuth2 client shows its own.
	Credentials string
	// Times is how times are written.
	Times string
	// Standing is whether an application is open, or how it was closed.
	Standing string
	// Paging is how to go on.
	Paging string
	// Comparison is what is compared before it is set.
	Comparison string
	// Trigger is what a write sets off.
	Trigger string
	// EventType is an event of the contract.
	EventType string
	// Algorithm is the hash of an HMAC.
	Algorithm string
	// Encoding is how a signature is written.
	Encoding string
	// Meaning is what an answer means.
	Meaning string
)

// Choices implements strict.Closed.
func (Scheme) Choices() []string { return []string{"bearer", "basic", "header", "oauth2"} }

// Choices implements strict.Closed.
func (Credentials) Choices() []string { return []string{"header", "form"} }

// Choices implements strict.Closed.
func (Times) Choices() []string { return []string{"rfc3339", "unix", "unix_ms"} }

// Choices implements strict.Closed.
func (Standing) Choices() []string { return []string{"active", "rejected", "withdrawn", "hired"} }

// Choices implements strict.Closed.
func (Paging) Choices() []string { return []string{"link", "cursor", "page"} }

// Choices implements strict.Closed.
func (Comparison) Choices() []string { return []string{"nothing", "stage", "version"} }

// Choices implements strict.Closed.
func (Trigger) Choices() []string { return []string{"rules", "nothing", "message"} }

// Choices implements strict.Closed.
func (Algorithm) Choices() []string { return []string{"sha256", "sha384", "sha512", "sha1"} }

// Choices implements strict.Closed.
func (Encoding) Choices() []string { return []string{"hex", "base64"} }

// Choices implements strict.Closed.
func (EventType) Choices() []string {
	return []string{
		"application.created", "application.stage_changed", "application.rejected", "application.unrejected", "application.hired", "application.withdrawn",
		"application.transferred", "application.updated", "application.deleted", "candidate.merged", "candidate.anonymized", "candidate.deleted",
	}
}

// Choices implements strict.Closed.
func (Meaning) Choices() []string {
	return []string{
		"stale", "invalid", "not_applicable", "not_found", "not_found_or_denied", "unauthorised", "forbidden", "rate_limited", "not_executed", "unknown",
	}
}

// proves is what a meaning says of the request that was answered so.
var proves = map[Meaning]struct {
	class ats.Class
	code  ats.Code
}{
	"stale":               {ats.NotExecuted, ats.CodeStaleVersion},
	"invalid":             {ats.Refused, ats.CodeInvalid},
	"not_applicable":      {ats.Refused, ats.CodeNotApplicable},
	"not_found":           {ats.Refused, ats.CodeNotFound},
	"not_found_or_denied": {ats.Refused, ats.CodeNotFound},
	"unauthorised":        {ats.NotExecuted, ats.CodeUnauthorised},
	"forbidden":           {ats.NotExecuted, ats.CodeForbidden},
	"rate_limited":        {ats.NotExecuted, ats.CodeRateLimited},
	"not_executed":        {ats.NotExecuted, ats.CodeServerError},
	"unknown":             {ats.Unknown, ats.CodeServerError},
}

var statuses = map[Standing]wire.ApplicationStatus{
	"active": wire.ApplicationStatusActive, "rejected": wire.ApplicationStatusRejected,
	"withdrawn": wire.ApplicationStatusWithdrawn, "hired": wire.ApplicationStatusHired,
}

var triggers = map[Trigger]ats.Trigger{"": ats.TriggerRules, "rules": ats.TriggerRules, "nothing": ats.TriggerNothing, "message": ats.TriggerMessage}

// Path is a path below the configured URL.
type Path string

var pathText = regexp.MustCompile(`^/[^?#\s]*$`)

// UnmarshalText parses a path.
func (p *Path) UnmarshalText(text []byte) error {
	if !pathText.Match(text) {
		return &strict.Wrong{Problem: "is no path below ats[].url", Fix: "give one that begins with /, without a query: the host stands in the configuration"}
	}
	*p = Path(text)
	return nil
}

// Pattern implements strict.Patterned.
func (*Path) Pattern() string { return pathText.String() }

// Request is a method and the template of a path: "POST /applications/{id}/move".
type Request struct {
	Method string
	Path   Template
}

var requestText = regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) (/[^?#\s]*)$`)

// UnmarshalText parses a request.
func (r *Request) UnmarshalText(text []byte) error {
	m := requestText.FindStringSubmatch(string(text))
	if m == nil {
		return &strict.Wrong{Problem: "is no method and path", Fix: "give one such as POST /applications/{id}/move; what follows a ? stands in query, and the host in the configuration"}
	}
	*r = Request{m[1], Template(m[2])}
	return nil
}

// Pattern implements strict.Patterned.
func (*Request) Pattern() string { return requestText.String() }

// Wants implements strict.Described.
func (*Request) Wants() string { return "a method and a path such as GET /applications/{id}" }

// reads reports whether the method changes nothing.
func (r Request) reads() bool { return r.Method == http.MethodGet }

// Span is a length of time.
type Span time.Duration

var spanText = regexp.MustCompile(`^[0-9]+(ms|s|m|h)$`)

// UnmarshalText parses a span such as 10s.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil || d <= 0 || !spanText.Match(text) {
		return &strict.Wrong{Problem: "is no length of time", Fix: "give " + s.Wants()}
	}
	*s = Span(d)
	return nil
}

// Pattern implements strict.Patterned.
func (*Span) Pattern() string { return spanText.String() }

// Wants implements strict.Described.
func (*Span) Wants() string { return "a length of time such as 500ms, 10s, 5m or 24h" }

// StatusCode is a status code, or a class of them: "409", "5xx".
type StatusCode string

var statusText = regexp.MustCompile(`^[2-5]([0-9][0-9]|xx)$`)

// UnmarshalText parses a status code.
func (s *StatusCode) UnmarshalText(text []byte) error {
	if !statusText.Match(text) {
		return &strict.Wrong{Problem: "is no status code", Fix: "give one such as 409, or a class such as 5xx"}
	}
	*s = StatusCode(text)
	return nil
}

// Form implements strict.Formed.
func (*StatusCode) Form() map[string]any {
	return map[string]any{"oneOf": []any{
		map[string]any{"type": "integer", "minimum": 200, "maximum": 599}, map[string]any{"type": "string", "pattern": statusText.String()},
	}}
}

// fits reports whether a status is meant.
func (s StatusCode) fits(status int) bool {
	class, is := strings.CutSuffix(string(s), "xx")
	if is {
		return class == string('0'+rune(status/100))
	}
	return status >= 100 && status < 1000 && string(s) == string([]rune{'0' + rune(status/100), '0' + rune(status/10%10), '0' + rune(status%10)})
}
