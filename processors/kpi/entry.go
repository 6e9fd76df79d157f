package kpi

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/concord-ats/concord/pkg/stream"
	"github.com/concord-ats/concord/pkg/wire"
)

// entry is one state of kpi.state: a window, what is known of an application, or where a partition stands.
// Exactly one is set. Immutable.
type entry struct {
	window *wire.KpiWindow
	app    *appEntry
	mark   *mark
}

// appEntry is what the gauges need of one application.
type appEntry struct {
	dims        dims
	behindSince wire.Micros // screening finished and the ATS behind, since then; 0 = not behind
	finishedAt  wire.Micros // newest screening counted
	recordedAt  wire.Micros // end of the newest screening whose verdict moved it where there is no ATS
	incidents   []appIncident
}

type appIncident struct {
	id    string
	kind  wire.IncidentKind
	owner string
	dims  dims // as it was opened: a requisition may become known, or change, before it is closed
	state wire.IncidentChange
	at    wire.Micros // opened
}

// mark is where a partition stands. gen counts its transactions: it tells an aborted one from a committed one.
type mark struct {
	newest wire.Micros // newest window start seen
	gen    uint64
}

const (
	tagWindow byte = 'w'
	tagApp    byte = 'a'
	tagKept   byte = 'k' // an application with recordedAt
	tagMark   byte = 'm'
)

var errEntry = errors.New("state of the kpi consumer is not readable")

func entryCodec() stream.Codec[*entry] {
	return stream.Codec[*entry]{Decode: decodeEntry, Append: appendEntry}
}

func appendEntry(dst []byte, e *entry) []byte {
	str := func(s string) {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	switch {
	case e.window != nil:
		return e.window.AppendAvro(append(dst, tagWindow))
	case e.mark != nil:
		dst = binary.AppendVarint(append(dst, tagMark), int64(e.mark.newest))
		return binary.AppendUvarint(dst, e.mark.gen)
	}
	a := e.app
	if a.recordedAt != 0 {
		dst = binary.AppendVarint(append(dst, tagKept), int64(a.recordedAt))
	} else {
		dst = append(dst, tagApp)
	}
	str(a.dims.system)
	str(a.dims.requisitionType)
	str(a.dims.region)
	dst = binary.AppendVarint(dst, int64(a.behindSince))
	dst = binary.AppendVarint(dst, int64(a.finishedAt))
	dst = binary.AppendUvarint(dst, uint64(len(a.incidents)))
	for i := range a.incidents {
		in := &a.incidents[i]
		str(in.id)
		str(in.owner)
		str(in.dims.system)
		str(in.dims.requisitionType)
		str(in.dims.region)
		dst = append(dst, byte(in.kind), byte(in.state))
		dst = binary.AppendVarint(dst, int64(in.at))
	}
	return dst
}

func decodeEntry(_ string, b []byte) (*entry, error) {
	if len(b) == 0 {
		return nil, errEntry
	}
	tag := b[0]
	if tag == tagWindow {
		w := new(wire.KpiWindow)
		if err := w.DecodeAvro(b[1:]); err != nil {
			return nil, fmt.Errorf("%w: %w", errEntry, err)
		}
		return &entry{window: w}, nil
	}
	d := &cursor{b: b[1:]}
	var e *entry
	switch tag {
	case tagMark:
		e = &entry{mark: &mark{newest: wire.Micros(d.varint()), gen: d.uvarint()}}
	case tagApp, tagKept:
		var recordedAt wire.Micros
		if tag == tagKept {
			recordedAt = wire.Micros(d.varint())
			d.bad = d.bad || recordedAt == 0
		}
		a := &appEntry{recordedAt: recordedAt, dims: dims{d.str(), d.str(), d.str()}, behindSince: wire.Micros(d.varint()), finishedAt: wire.Micros(d.varint())}
		n := d.uvarint()
		d.bad = d.bad || n > uint64(len(d.b)) // an incident has a byte and more
		for range n {
			if d.bad {
				break
			}
			a.incidents = append(a.incidents, appIncident{id: d.str(), owner: d.str(), dims: dims{d.str(), d.str(), d.str()}, kind: wire.IncidentKind(d.byte()), state: wire.IncidentChange(d.byte()), at: wire.Micros(d.varint())})
		}
		e = &entry{app: a}
	default:
		return nil, errEntry
	}
	if d.bad || len(d.b) != 0 {
		return nil, errEntry
	}
	return e, nil
}

// cursor reads what appendEntry wrote; bad is set when the bytes end early.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	c.skip(n)
	return v
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	c.skip(n)
	return v
}

func (c *cursor) skip(n int) {
	if n <= 0 || n > len(c.b) {
		c.bad, c.b = true, nil
		return
	}
	c.b = c.b[n:]
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *cursor) str() string {
	n := c.uvarint()
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return ""
	}
	s := string(c.b[:n])
	c.b = c.b[n:]
	return s
}
