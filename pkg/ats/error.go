package ats

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Class says what a failed write proves. The zero value is Unknown, the one that promises nothing.
type Class uint8

const (
	// Unknown means that the write may have been executed. Read back after the read lag, then decide.
	Unknown Class = iota
	// NotExecuted means that the write was certainly not executed; the same one may go again, bounded.
	NotExecuted
	// Refused means that the ATS said no, or that the client knows it would; the same write is pointless.
	Refused
)

// String returns the name used in logs and metrics.
func (c Class) String() string {
	switch c {
	case NotExecuted:
		return "not_executed"
	case Refused:
		return "refused"
	case Unknown:
		return "unknown"
	}
	return "unknown"
}

// Code names the cause of a failure: a closed list, fit for an outcome's detail and for a metric label.
type Code string

// The codes, with the class they come with.
const (
	CodeRateLimited       Code = "rate_limited"       // NotExecuted: 429; see Error.RetryAfter
	CodeUnauthorised      Code = "unauthorised"       // NotExecuted: the credentials are not accepted
	CodeForbidden         Code = "forbidden"          // NotExecuted: a permission or scope is missing
	CodeConnectionRefused Code = "connection_refused" // NotExecuted: no connection, so not a byte was sent
	CodeStaleVersion      Code = "stale_version"      // NotExecuted: the compare-and-set failed
	CodeInvalid           Code = "invalid"            // Refused: the ATS, or this client, finds the request wrong
	CodeNotApplicable     Code = "not_applicable"     // Refused: the application's state does not allow it any more
	CodeUnsupported       Code = "unsupported"        // Refused: this ATS has no such write
	CodeNotFound          Code = "not_found"          // Refused: no such application; see NotFoundMayMeanDenied
	CodeServerError       Code = "server_error"       // Unknown, unless the capability says otherwise: 5xx
	CodeTimeout           Code = "timeout"            // Unknown: no answer in time after the request began
	CodeReset             Code = "reset"              // Unknown: the connection broke after the request began
	CodeBadResponse       Code = "bad_response"       // Unknown: an answer that cannot be read: oversize, a redirect, not JSON
	CodeCancelled         Code = "cancelled"          // NotExecuted before the request began, else Unknown
)

// Codes lists every code, in a fixed order.
func Codes() []Code {
	return []Code{
		CodeRateLimited, CodeUnauthorised, CodeForbidden, CodeConnectionRefused, CodeStaleVersion, CodeInvalid,
		CodeNotApplicable, CodeUnsupported, CodeNotFound, CodeServerError, CodeTimeout, CodeReset, CodeBadResponse, CodeCancelled,
	}
}

// Error is every error of a Client. For a read the class is never Unknown: a read has no effect, so a
// failure that says nothing about the application is NotExecuted.
type Error struct {
	Class Class
	Code  Code
	// Op is the request that failed: read, elements, move, reject, unreject, hire, or token.
	Op string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// RetryAfter is how long the ATS asks to wait; 0 when it did not say.
	RetryAfter time.Duration
	// AsOf is the request's start in the ATS's own time, as Reading.AsOf; zero when there was no answer, or none with a Date.
	AsOf time.Time
	// Done counts the requests of the same Apply that had been answered 2xx before this one.
	Done int
	// Err is the cause, nil when the status says it all. It holds no body, no token and no personal data.
	Err error
}

// Error names the operation, code and class.
func (e *Error) Error() string {
	s := fmt.Sprintf("ats %s: %s (%s)", e.Op, e.Code, e.Class)
	if e.Status != 0 {
		s += fmt.Sprintf(", status %d", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// GaveUp is the error of a caller whose context ended while it waited for its turn: nothing was sent.
func GaveUp(ctx context.Context, op string) *Error {
	code := CodeTimeout
	if errors.Is(ctx.Err(), context.Canceled) {
		code = CodeCancelled
	}
	return &Error{Class: NotExecuted, Code: code, Op: op, Err: ctx.Err()}
}

// ClassOf returns the class of an error from a Client: Unknown for one it does not know.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Unknown
}

// CodeOf returns the code of an error from a Client, or "" for one it does not know.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
