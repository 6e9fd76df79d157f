//go:build e2e && unix

package e2e

import (
	encoding "encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// wiretap is a proxy in front of a broker that reads the requests and answers passing through it. It counts the error
// codes of transactional answers, and does to an EndTxn what plan says.
type wiretap struct {
	t    *testing.T
	plan func(client string, nth int) cutting // nth counts a client's EndTxn requests from 1; nil passes all

	mu     sync.Mutex
	nth    map[string]int
	done   map[cutting]int
	codes  map[string]int // "EndTxn CONCURRENT_TRANSACTIONS" and so on
	conns  map[net.Conn]bool
	closed bool
	all    sync.WaitGroup
}

// cutting is what happens to one EndTxn.
type cutting int

const (
	passed      cutting = iota
	cutBefore           // the connection breaks, the broker never sees the request
	cutAfter            // the broker acts on it, the connection breaks in place of the answer
	answeredBad         // the broker acts on it, the answer says UNKNOWN_SERVER_ERROR
	withheld            // the broker acts on it, the answer never comes
)

func (c cutting) String() string {
	return [...]string{"passed", "cut before", "cut after", "answered badly", "withheld"}[c]
}

// newWiretap listens where clients of the broker are sent, and passes on to it. It ends with the test.
func newWiretap(t *testing.T, listen, upstream string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	must(t, err)
	w := &wiretap{t: t, nth: make(map[string]int), done: make(map[cutting]int), codes: make(map[string]int), conns: make(map[net.Conn]bool)}
	w.all.Add(1)
	go func() {
		defer w.all.Done()
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			broker, err := net.Dial("tcp", upstream)
			if err != nil {
				_ = client.Close() // as a broker that is away
				continue
			}
			if !w.keep(client, broker) {
				return
			}
			link := &tapped{w: w, client: client, broker: broker, awaited: make(map[uint32]awaited)}
			w.all.Add(2)
			go func() { defer w.all.Done(); link.requests() }()
			go func() { defer w.all.Done(); link.answers() }()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		w.mu.Lock()
		w.closed = true
		for c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		w.all.Wait()
	})
	return w
}

func (w *wiretap) keep(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if w.closed {
			_ = c.Close()
			continue
		}
		w.conns[c] = true
	}
	return !w.closed
}

// set replaces the plan.
func (w *wiretap) set(plan func(client string, nth int) cutting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan = plan
}

func (w *wiretap) next(client string) cutting {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nth[client]++
	if w.plan == nil {
		return passed
	}
	c := w.plan(client, w.nth[client])
	w.done[c]++
	return c
}

// did is how often something was done to an EndTxn.
func (w *wiretap) did(c cutting) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done[c]
}

// answered is how often a request was answered so.
func (w *wiretap) answered(request string, err *kerr.Error) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.codes[request+" "+err.Message]
}

// tally is every error code that was answered, by request.
func (w *wiretap) tally() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]int, len(w.codes))
	for k, n := range w.codes {
		out[k] = n
	}
	return out
}

// tapped is one connection of a client.
type tapped struct {
	w              *wiretap
	client, broker net.Conn

	mu      sync.Mutex
	awaited map[uint32]awaited // by correlation id
}

type awaited struct {
	key     kmsg.Key
	version int16
	cutting cutting
}

func (l *tapped) close() {
	_ = l.client.Close()
	_ = l.broker.Close()
}

func frame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := encoding.BigEndian.Uint32(size[:])
	if n > 100<<20 {
		return nil, fmt.Errorf("frame of %d bytes", n)
	}
	f := make([]byte, 4+n)
	copy(f, size[:])
	_, err := io.ReadFull(r, f[4:])
	return f, err
}

func (l *tapped) requests() {
	defer l.close()
	for {
		f, err := frame(l.client)
		if err != nil {
			return
		}
		if len(f) >= 14 {
			a := awaited{key: kmsg.Key(encoding.BigEndian.Uint16(f[4:])), version: int16(encoding.BigEndian.Uint16(f[6:]))}
			switch a.key {
			case kmsg.EndTxn:
				name := kbin.Reader{Src: f[12:]}
				who := name.NullableString()
				client := ""
				if who != nil {
					client = *who
				}
				if a.cutting = l.w.next(client); a.cutting == cutBefore {
					return
				}
				fallthrough
			case kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.InitProducerID, kmsg.OffsetFetch:
				l.mu.Lock()
				l.awaited[encoding.BigEndian.Uint32(f[8:])] = a
				l.mu.Unlock()
			default:
			}
		}
		if _, err := l.broker.Write(f); err != nil {
			return
		}
	}
}

func (l *tapped) answers() {
	defer l.close()
	for {
		f, err := frame(l.broker)
		if err != nil || len(f) < 8 {
			return
		}
		corr := encoding.BigEndian.Uint32(f[4:])
		l.mu.Lock()
		a, ok := l.awaited[corr]
		delete(l.awaited, corr)
		l.mu.Unlock()
		if ok {
			if err := l.w.note(a, f[8:]); err != nil {
				l.w.t.Errorf("wiretap: %v", err)
			}
			switch a.cutting {
			case passed, cutBefore:
			case cutAfter:
				return
			case withheld:
				continue
			case answeredBad:
				code := kerr.UnknownServerError.Code
				encoding.BigEndian.PutUint16(f[4+4+1+4:], uint16(code)) // behind correlation id, empty tags, throttle
			}
		}
		if _, err := l.client.Write(f); err != nil {
			return
		}
	}
}

// note counts the error codes of an answer.
func (w *wiretap) note(a awaited, body []byte) error {
	resp := kmsg.ResponseForKey(int16(a.key))
	resp.SetVersion(a.version)
	if resp.IsFlexible() {
		if len(body) == 0 || body[0] != 0 {
			return errors.New("an answer with tags in its header")
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return fmt.Errorf("read an answer to %s: %w", a.key.Name(), err)
	}
	var codes []int16
	switch resp := resp.(type) {
	case *kmsg.EndTxnResponse:
		codes = append(codes, resp.ErrorCode)
	case *kmsg.InitProducerIDResponse:
		codes = append(codes, resp.ErrorCode)
	case *kmsg.ProduceResponse:
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	case *kmsg.OffsetFetchResponse:
		for _, g := range resp.Groups {
			codes = append(codes, g.ErrorCode)
			for _, t := range g.Topics {
				for _, p := range t.Partitions {
					codes = append(codes, p.ErrorCode)
				}
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range codes {
		if err := kerr.TypedErrorForCode(c); err != nil {
			w.codes[a.key.Name()+" "+err.Message]++
		}
	}
	return nil
}
