package ats

import (
	"encoding/json"
	"errors"
	"strings"
)

// CheckID guards URLs: a native id is letters, digits, '-' and '_', at most 128 of them.
func CheckID(op, id string) error {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, bad) {
		return Refuse(op, CodeInvalid, "application id is not one of this ATS")
	}
	return nil
}

// JSON is a request's body. Its argument is one an adapter makes itself, of maps, structs and raw JSON it has checked.
func JSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Decode reads the answer to a read. Its error is the one a client returns for an answer of no use.
func (r *Response) Decode(op string, v any) error {
	if err := json.Unmarshal(r.Body, v); err != nil {
		return r.Bad(op, "unexpected JSON shape")
	}
	return nil
}

// Bad is the error of a read whose answer is of no use.
func (r *Response) Bad(op, why string) error {
	return &Error{Class: NotExecuted, Code: CodeBadResponse, Op: op, Status: r.Status, Err: errors.New(why)}
}
