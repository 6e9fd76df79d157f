package wire

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/linkedin/goavro/v2"
	"golang.org/x/sync/singleflight"

	"github.com/concord-ats/concord/pkg/wire/avro"
	"github.com/concord-ats/concord/schemas"
)

// goavro allocates what a block's count asks for before it reads the items, and its own limits are 2^31-1: five bytes
// of input would take hundreds of megabytes. These are the only places that set them. A schema whose array items take
// no bytes is refused ([schemas.CheckReadable]), so that a payload cannot hold many full blocks either.
func init() {
	goavro.MaxBlockCount = 1 << 16
	goavro.MaxBlockSize = MaxValueSize
}

// errForeign stands for what goavro found wrong: its own messages can hold parts of the payload.
var errForeign = errors.New("the bytes are not what the writer's schema says")

// writer is a schema that another program, or another release of ours, writes with. It is immutable.
type writer struct {
	id     uint32
	schema *schemas.Type
	codec  *goavro.Codec
	fault  error // the schema cannot be used at all
	// verdicts say whether each of our records can be read from it; nil = it can.
	verdicts [recordCount]error
}

// newWriter compiles a schema. What is wrong with it is kept in the writer: an id stands for one text for ever.
func newWriter(id uint32, text string) *writer {
	w := &writer{id: id}
	if len(text) > MaxValueSize {
		w.fault = errors.New("the schema is too long")
		return w
	}
	if w.schema, w.fault = schemas.Parse([]byte(text)); w.fault != nil {
		return w
	}
	if w.codec, w.fault = goavro.NewCodec(w.schema.Plain()); w.fault != nil {
		return w
	}
	for _, name := range schemas.Records() {
		ours, err := schemas.Get(name)
		if err == nil {
			err = schemas.CheckReadable(ours, w.schema)
		}
		w.verdicts[NewRecord(name).index()] = err
	}
	return w
}

// decode replaces into by the record in payload.
func (w *writer) decode(payload []byte, into Record) error {
	fault := w.fault
	if fault == nil {
		fault = w.verdicts[into.index()]
	}
	if fault != nil {
		return &Error{Cause: CauseUnknownSchema, Err: fmt.Errorf("schema id %d cannot be read as %s: %w", w.id, into.RecordName(), fault)}
	}
	native, rest, err := w.codec.NativeFromBinary(payload)
	if err == nil && len(rest) > 0 {
		err = avro.ErrTrailing
	}
	if err != nil {
		return &Error{Cause: CauseUndecodable, Err: fmt.Errorf("decode %s by schema id %d: %w", into.RecordName(), w.id, errForeign)}
	}
	into.Reset()
	var fail error
	r := reader{v: native, t: w.schema, fail: &fail}
	r.record(into.set)
	if fail != nil {
		return &Error{Cause: CauseUndecodable, Err: fmt.Errorf("decode %s by schema id %d: %w", into.RecordName(), w.id, fail)}
	}
	return nil
}

// maxWriters and maxUnknown bound the cache of foreign ids; a full half starts again from nothing.
const (
	maxWriters = 1024
	maxUnknown = 4096
)

// writerCache remembers the schemas of foreign ids, and for a short time the ids the registry does not know.
type writerCache struct {
	unknownFor time.Duration
	now        func() time.Time
	flights    singleflight.Group

	mu      sync.RWMutex
	known   map[uint32]*writer
	unknown map[uint32]time.Time // until when
}

func (c *writerCache) init(unknownFor time.Duration, now func() time.Time) {
	c.unknownFor, c.now = unknownFor, now
	c.known, c.unknown = map[uint32]*writer{}, map[uint32]time.Time{}
}

// get returns the writer of an id, if it is known; unknown says that the registry said not long ago that it has none.
func (c *writerCache) get(id uint32) (w *writer, unknown bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if w := c.known[id]; w != nil {
		return w, false
	}
	until, ok := c.unknown[id]
	return nil, ok && c.now().Before(until)
}

func (c *writerCache) put(id uint32, w *writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w == nil {
		if len(c.unknown) >= maxUnknown {
			clear(c.unknown)
		}
		c.unknown[id] = c.now().Add(c.unknownFor)
		return
	}
	if len(c.known) >= maxWriters {
		clear(c.known)
	}
	c.known[id] = w
	delete(c.unknown, id)
}

func unknownSchema(id uint32, why string) error {
	return &Error{Cause: CauseUnknownSchema, Err: fmt.Errorf("schema id %d: %s", id, why)}
}

// writer returns the writer of a foreign id, from the cache or the registry.
func (s *Schemas) writer(ctx context.Context, id uint32) (*writer, error) {
	w, unknown := s.writers.get(id)
	switch {
	case w != nil:
		return w, nil
	case unknown:
		return nil, unknownSchema(id, "the registry does not know it")
	case s.registry == nil:
		return nil, unknownSchema(id, "not one of the static ids")
	}
	// One flight serves every caller, so it does not end with the first one's context; the timeout ends it.
	ch := s.writers.flights.DoChan(strconv.FormatUint(uint64(id), 10), func() (any, error) {
		fetch, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
		defer cancel()
		text, err := s.registry.byID(fetch, id)
		if errors.Is(err, errNoSchema) {
			s.writers.put(id, nil)
			return nil, unknownSchema(id, "the registry does not know it")
		}
		if err != nil {
			return nil, fmt.Errorf("fetch schema id %d: %w", id, err)
		}
		w := newWriter(id, text)
		s.writers.put(id, w)
		return w, nil
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("fetch schema id %d: %w", id, context.Cause(ctx))
	case result := <-ch:
		if result.Err != nil {
			return nil, result.Err
		}
		w, ok := result.Val.(*writer)
		if !ok {
			return nil, fmt.Errorf("fetch schema id %d: no schema came", id)
		}
		return w, nil
	}
}
