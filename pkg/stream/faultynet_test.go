package stream

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// action is what a faulty network does to one request.
type action int

const (
	pass         action = iota
	cutBefore           // the connection breaks before the broker sees the request
	cutAfter            // the broker acts on it, the connection breaks before the answer arrives
	unknownAfter        // the broker acts on it, the answer says UNKNOWN_SERVER_ERROR (EndTxn only)
)

func (a action) String() string {
	return [...]string{"pass", "without effect", "with effect, cut", "with effect, unknown"}[a]
}

// faultyNet counts requests of one kind and breaks those that plan says.
type faultyNet struct {
	key  kmsg.Key
	plan func(nth int) action

	mu   sync.Mutex
	seen int
	hits int
}

func (f *faultyNet) next() action {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen++
	a := f.plan(f.seen)
	if a != pass {
		f.hits++
	}
	return a
}

func (f *faultyNet) broke() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits
}

func (f *faultyNet) dialer() kgo.Opt {
	var d net.Dialer
	return kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &faultyConn{Conn: conn, net: f, doomed: make(map[uint32]action)}, nil
	})
}

// faultyConn looks at whole frames in both directions.
type faultyConn struct {
	net.Conn
	net *faultyNet

	mu     sync.Mutex
	doomed map[uint32]action // by correlation id
	rest   []byte            // of the answer being read
}

func (c *faultyConn) Write(b []byte) (int, error) {
	if len(b) >= 12 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == c.net.key {
		switch a := c.net.next(); a {
		case pass:
		case cutBefore:
			if err := c.Close(); err != nil {
				return 0, err
			}
			return 0, io.ErrClosedPipe
		default:
			c.mu.Lock()
			c.doomed[binary.BigEndian.Uint32(b[8:])] = a
			c.mu.Unlock()
		}
	}
	return c.Conn.Write(b)
}

func (c *faultyConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		var size [4]byte
		if _, err := io.ReadFull(c.Conn, size[:]); err != nil {
			return 0, err
		}
		frame := make([]byte, 4+binary.BigEndian.Uint32(size[:]))
		copy(frame, size[:])
		if _, err := io.ReadFull(c.Conn, frame[4:]); err != nil {
			return 0, err
		}
		c.mu.Lock()
		a := c.doomed[binary.BigEndian.Uint32(frame[4:])]
		c.mu.Unlock()
		switch a {
		case cutAfter:
			if err := c.Close(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		case unknownAfter:
			// Correlation id, empty tags, throttle, then the error code.
			unknown := kerr.UnknownServerError.Code
			binary.BigEndian.PutUint16(frame[4+4+1+4:], uint16(unknown))
		default:
		}
		c.rest = frame
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
