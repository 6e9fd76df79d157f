package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// budget is what all requests together may hold.
type budget struct{ left atomic.Int64 }

// take takes n unless less than floor would be left.
func (b *budget) take(n, floor int64) bool {
	if b.left.Add(-n) >= floor {
		return true
	}
	b.left.Add(n)
	return false
}

const (
	// firstRead is the least a body takes of the budget.
	firstRead = 4 << 10
	// smallBody is as large as webhooks usually are. Larger bodies leave a quarter of the budget to small ones, so that a few
	// slow senders of large ones cannot keep everyone else out.
	smallBody = 64 << 10
)

// errTooLarge and errBusy end the reading of a body.
var (
	errTooLarge = errors.New("the body is too large")
	errBusy     = errors.New("too many bodies are in hand")
)

// readBody reads a body whole, as signatures are over the raw bytes, and gives its room back when done is called. It takes
// room as the bytes come, so that a sender who announces much and sends little holds little; one that announces too much
// is not read at all.
func (g *Gateway) readBody(r *http.Request) (body []byte, done func(), err error) {
	held := int64(0)
	done = func() { g.held.left.Add(held) }
	if r.ContentLength > g.cfg.MaxBody {
		return nil, done, errTooLarge
	}
	for {
		if len(body) == cap(body) {
			next := min(max(2*int64(cap(body)), firstRead), g.cfg.MaxBody+1)
			if r.ContentLength >= 0 {
				next = min(next, r.ContentLength+1) // one more, to see the end
			}
			floor := int64(0)
			if next > smallBody {
				floor = g.cfg.MaxHeld / 4
			}
			if !g.held.take(next-held, floor) {
				return nil, done, errBusy
			}
			held = next
			grown := make([]byte, len(body), next)
			copy(grown, body)
			body = grown
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > g.cfg.MaxBody:
			return nil, done, errTooLarge
		case errors.Is(err, io.EOF):
			return body, done, nil
		case err != nil:
			return nil, done, err
		}
	}
}

// boundedListener closes connections past a number at once, so that a stranger cannot keep others waiting in the queue
// of the operating system.
type boundedListener struct {
	net.Listener
	room    chan struct{}
	refused prometheus.Counter
}

// Accept implements net.Listener.
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &boundedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.room })}, nil
		default:
			l.refused.Inc()
			_ = conn.Close() // nobody was promised anything
		}
	}
}

type boundedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
