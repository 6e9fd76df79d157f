package writeback

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// State is what the worker knows of one application. Once it is in a transaction it is never changed in place.
type State struct {
	// CheckAt is when the timer looks at it next, in microseconds since the epoch.
	CheckAt int64
	// Revision is the newest revision seen, LastID the newest apply command's id.
	Revision int64
	LastID   string
	// Armings counts the attempts committed for Revision, Unknowns those whose effect was not established.
	Armings, Unknowns int32
	// Apply waits to be written; Attempt is out, with no outcome yet; Refresh waits for a read. Nil for none.
	Apply   *Pending
	Attempt *Attempt
	Refresh *Pending
	// Parked is the open incident of a system; such a state has a key of its own and nothing else in it.
	Parked *Parked
}

// Pending is a command that has no outcome yet.
type Pending struct {
	Command *wire.Command
	// Since is when it was received, in microseconds; Sends how often it was sent and not executed.
	Since int64
	Sends int32
	// Detail of the last send.
	Detail Detail
}

// Attempt is a send that may have been made.
type Attempt struct {
	Pending
	// Arming numbers it within its revision, from 1.
	Arming int32
	// Before is what the ATS showed just before.
	Before wire.Tuple
	// Mapping is what the client called things that sent it, see [Voice].
	Mapping wire.Digest
}

// Parked is the open incident of a system that cannot be called.
type Parked struct {
	ID, System, Subject string
	Code                string
	OpenedAt            int64
}

// idle reports whether nothing is left to do.
func (s *State) idle() bool {
	return s.Apply == nil && s.Attempt == nil && s.Refresh == nil && s.Parked == nil
}

// waiting returns the moment from which the oldest command has been waiting and could have gone, 0 for none.
func (s *State) waiting() int64 {
	var at int64
	for _, p := range []*Pending{s.Apply, s.Refresh} {
		if p != nil && (at == 0 || p.ready() < at) {
			at = p.ready()
		}
	}
	return at
}

// ready is when the command may go.
func (p *Pending) ready() int64 { return max(p.Since, int64(p.Command.NotBefore)) }

// with returns a copy to be changed before it is put.
func (s *State) with(change func(*State)) *State {
	c := *s
	change(&c)
	return &c
}

// The encoding is private to the changelog: a version, CheckAt in eight bytes, then the rest.
const (
	encoding = 1

	hasApply, hasAttempt, hasRefresh, hasParked, hasMapping = 1, 2, 4, 8, 16 // a mapping is part of an attempt
)

var errState = errors.New("state bytes are damaged")

var codec = stream.Codec[*State]{
	Decode: decodeState,
	Append: appendState,
	Due:    func(s *State) int64 { return s.CheckAt },
	DueOf: func(value []byte) (int64, error) {
		if len(value) < 9 || value[0] != encoding {
			return 0, errState
		}
		return int64(binary.BigEndian.Uint64(value[1:])), nil
	},
}

func appendState(dst []byte, s *State) []byte {
	dst = append(dst, encoding)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.CheckAt))
	dst = binary.AppendVarint(dst, s.Revision)
	dst = appendText(dst, s.LastID)
	dst = binary.AppendVarint(dst, int64(s.Armings))
	dst = binary.AppendVarint(dst, int64(s.Unknowns))
	var has byte
	for _, f := range []struct {
		bit byte
		set bool
	}{
		{hasApply, s.Apply != nil},
		{hasAttempt, s.Attempt != nil},
		{hasRefresh, s.Refresh != nil},
		{hasParked, s.Parked != nil},
		{hasMapping, s.Attempt != nil && s.Attempt.Mapping != wire.Digest{}},
	} {
		if f.set {
			has |= f.bit
		}
	}
	dst = append(dst, has)
	if s.Apply != nil {
		dst = appendPending(dst, s.Apply)
	}
	if s.Attempt != nil {
		dst = appendPending(dst, &s.Attempt.Pending)
		dst = binary.AppendVarint(dst, int64(s.Attempt.Arming))
		before := wire.Outcome{Observed: &s.Attempt.Before}
		dst = appendText(dst, string(before.AppendAvro(nil)))
		if has&hasMapping != 0 {
			dst = append(dst, s.Attempt.Mapping[:]...)
		}
	}
	if s.Refresh != nil {
		dst = appendPending(dst, s.Refresh)
	}
	if p := s.Parked; p != nil {
		for _, text := range []string{p.ID, p.System, p.Subject, p.Code} {
			dst = appendText(dst, text)
		}
		dst = binary.AppendVarint(dst, p.OpenedAt)
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendPending(dst []byte, p *Pending) []byte {
	dst = appendText(dst, string(p.Command.AppendAvro(nil)))
	dst = binary.AppendVarint(dst, p.Since)
	dst = binary.AppendVarint(dst, int64(p.Sends))
	return appendText(dst, string(p.Detail))
}

// stateReader reads what appendState wrote; the first error sticks.
type stateReader struct {
	b   []byte
	err error
}

func decodeState(_ string, value []byte) (*State, error) {
	if len(value) < 9 || value[0] != encoding {
		return nil, errState
	}
	s := &State{CheckAt: int64(binary.BigEndian.Uint64(value[1:]))}
	r := &stateReader{b: value[9:]}
	s.Revision = r.number()
	s.LastID = r.text()
	s.Armings = int32(r.number())
	s.Unknowns = int32(r.number())
	has := r.octet()
	if has&hasApply != 0 {
		s.Apply = r.pending()
	}
	if has&hasAttempt != 0 {
		s.Attempt = &Attempt{Pending: *r.pending(), Arming: int32(r.number())}
		var before wire.Outcome
		if err := before.DecodeAvro([]byte(r.text())); err != nil && r.err == nil {
			r.err = fmt.Errorf("decode tuple: %w", err)
		}
		if before.Observed != nil {
			s.Attempt.Before = *before.Observed
		}
		if has&hasMapping != 0 {
			r.bytes(s.Attempt.Mapping[:])
		}
	}
	if has&hasRefresh != 0 {
		s.Refresh = r.pending()
	}
	if has&hasParked != 0 {
		s.Parked = &Parked{ID: r.text(), System: r.text(), Subject: r.text(), Code: r.text(), OpenedAt: r.number()}
	}
	if r.err == nil && len(r.b) != 0 {
		r.err = errState
	}
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

func (r *stateReader) fail() { r.b, r.err = nil, errState }

func (r *stateReader) number() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *stateReader) octet() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *stateReader) bytes(into []byte) {
	if len(r.b) < len(into) {
		r.fail()
		return
	}
	r.b = r.b[copy(into, r.b):]
}

func (r *stateReader) text() string {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(len(r.b)-n) {
		r.fail()
		return ""
	}
	s := string(r.b[n : n+int(v)])
	r.b = r.b[n+int(v):]
	return s
}

func (r *stateReader) pending() *Pending {
	p := &Pending{Command: new(wire.Command)}
	if err := p.Command.DecodeAvro([]byte(r.text())); err != nil && r.err == nil {
		r.err = fmt.Errorf("decode command: %w", err)
	}
	p.Since = r.number()
	p.Sends = int32(r.number())
	p.Detail = Detail(r.text())
	return p
}
