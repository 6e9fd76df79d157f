package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/schemas"
)

func open(t *testing.T, cfg wire.Config) *wire.Schemas {
	t.Helper()
	s, err := wire.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fake starts an embedded registry and returns schemas registered in it.
func fake(t *testing.T, cfg wire.Config) (*srfake.Registry, *wire.Schemas) {
	t.Helper()
	r := srfake.New()
	t.Cleanup(r.Close)
	cfg.URLs = []string{r.URL()}
	s := open(t, cfg)
	if err := s.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, s
}

func frame(id uint32, avro []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), avro...)
}

func TestStaticIDs(t *testing.T) {
	t.Parallel()
	s := open(t, wire.Config{})
	if !s.Ready() || !s.Static() {
		t.Fatal("static ids are not ready at once")
	}
	// The numbers are a contract: programs of several releases share a broker without a registry.
	for topic, want := range map[string]uint32{
		"screening.events": 1, "ats.changes": 2, "candidate.events": 3, "hiring.control": 4, "screening.orders": 5, "hiring.state": 6,
		"hiring.decisions": 7, "hiring.conflicts": 8, "ats.commands": 9, "ats.outcomes": 10,
		"kpi.writeback": 11, "kpi.conflicts": 11, "kpi.quality": 11,
	} {
		if id, ok := s.ID(topic); !ok || id != want {
			t.Errorf("ID(%s) = %d, %v, want %d", topic, id, ok, want)
		}
	}
	if _, ok := s.ID("nothing"); ok {
		t.Error("an unknown topic has an id")
	}
	for _, f := range []func(context.Context) error{s.Register, s.Lookup, s.Check} {
		if err := f(t.Context()); err != nil {
			t.Error(err)
		}
	}
	in, out := sampleChange(), new(wire.AtsChange)
	value := s.Append([]byte("kept"), in)
	if err := s.Decode(t.Context(), value[4:], out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out, equal); diff != "" {
		t.Error(diff)
	}
	if err := s.DecodeLocal(value[4:], out); err != nil {
		t.Error(err)
	}
}

func TestOpenNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := wire.Open(wire.Config{Static: map[string]uint32{"screening.events": 7, "ats.changes": 7, "hiring.state": 8}})
	for _, part := range []string{"ats.changes: 7 is already", "hiring.control: none given", "kpi.quality: none given"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error = %v, want %q in it", err, part)
		}
	}
}

func TestCauses(t *testing.T) {
	t.Parallel()
	s := open(t, wire.Config{})
	good := s.Append(nil, sampleChange())
	for _, tc := range []struct {
		name  string
		value []byte
		want  wire.Cause
	}{
		{"null", nil, wire.CauseBadFraming},
		{"too short", good[:4], wire.CauseBadFraming},
		{"wrong first byte", append([]byte{1}, good[1:]...), wire.CauseBadFraming},
		{"JSON", []byte(`{"id":"1"}`), wire.CauseBadFraming},
		{"too long", make([]byte, wire.MaxValueSize+1), wire.CauseOversize},
		{"unknown id", frame(99, good[5:]), wire.CauseUnknownSchema},
		{"id of another record", frame(1, good[5:]), wire.CauseUnknownSchema},
		{"cut", good[:len(good)-1], wire.CauseUndecodable},
		{"nothing after the id", good[:5], wire.CauseUndecodable},
	} {
		if err := s.Decode(t.Context(), tc.value, new(wire.AtsChange)); cause(err) != tc.want {
			t.Errorf("%s: error = %v, want %s", tc.name, err, tc.want)
		}
	}
}

func TestRegisterThenLookup(t *testing.T) {
	t.Parallel()
	r := srfake.New()
	t.Cleanup(r.Close)
	first, second := open(t, wire.Config{URLs: []string{r.URL()}}), open(t, wire.Config{URLs: []string{r.URL()}})
	if err := second.Lookup(t.Context()); err == nil || !strings.Contains(err.Error(), "concord schemas register") {
		t.Errorf("lookup before register: %v", err)
	}
	if second.Ready() {
		t.Error("ready without ids")
	}
	if err := second.Decode(t.Context(), frame(1, nil), new(wire.Control)); err == nil || cause(err) != "" {
		t.Errorf("decode without ids: %v, want an error worth a retry", err)
	}
	for range 2 {
		if err := first.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := second.Lookup(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, topic := range schemas.Topics() {
		a, okA := first.ID(topic.Name)
		b, okB := second.ID(topic.Name)
		if !okA || !okB || a != b {
			t.Errorf("%s: registered as %d, looked up as %d", topic.Name, a, b)
		}
		if !r.SubjectExists(topic.Subject()) {
			t.Errorf("subject %s is not there", topic.Subject())
		}
	}
}

func TestBasicAuth(t *testing.T) {
	t.Parallel()
	r := srfake.New(srfake.WithAuth("Basic dTpw")) // u:p
	t.Cleanup(r.Close)
	if err := open(t, wire.Config{URLs: []string{r.URL()}, Username: "u", Password: "p"}).Register(t.Context()); err != nil {
		t.Error(err)
	}
	if err := open(t, wire.Config{URLs: []string{r.URL()}, Username: "u", Password: "x"}).Register(t.Context()); err == nil {
		t.Error("a wrong password is accepted")
	}
}

// TestCheckRefusesAnIncompatibleRegistry: the embedded registry says yes to everything, our own check does not.
func TestCheckRefusesAnIncompatibleRegistry(t *testing.T) {
	t.Parallel()
	r := srfake.New()
	t.Cleanup(r.Close)
	text := edit(t, "Control", `"name": "reason",
      "type": "string"`, `"name": "reason",
      "type": "int"`, `"default": ""`, `"default": 0`)
	if _, _, err := r.RegisterSchema("hiring.control-value", sr.Schema{Schema: text}); err != nil {
		t.Fatal(err)
	}
	s := open(t, wire.Config{URLs: []string{r.URL()}})
	for name, f := range map[string]func(context.Context) error{"check": s.Check, "register": s.Register} {
		err := f(t.Context())
		if err == nil || !strings.Contains(err.Error(), "hiring.control-value") || !strings.Contains(err.Error(), "concord.Control.reason") {
			t.Errorf("%s: error = %v, want the subject and the field", name, err)
		}
	}
	if r.SubjectExists("ats.changes-value") {
		t.Error("register changed the registry although one subject failed")
	}
}

// edit returns a record's schema with parts replaced, each once.
func edit(t *testing.T, record string, pairs ...string) string {
	t.Helper()
	text, err := schemas.Text(record)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		at := 0
		if i > 0 { // the next edit stands after the one before
			at = strings.Index(text, pairs[i-1]) + len(pairs[i-1])
		}
		if !strings.Contains(text[at:], pairs[i]) {
			t.Fatalf("%s has no %q", record, pairs[i])
		}
		text = text[:at] + strings.Replace(text[at:], pairs[i], pairs[i+1], 1)
	}
	return text
}

// TestUnknownID: an id the registry does not have is the record's fault and is asked for once in a while; a registry
// that cannot answer is not.
func TestUnknownID(t *testing.T) {
	t.Parallel()
	var clock atomic.Int64
	r, s := fake(t, wire.Config{UnknownFor: time.Minute, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
	var asked atomic.Int32
	answer := atomic.Pointer[func(http.ResponseWriter) bool]{}
	r.Intercept(func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.Contains(req.URL.Path, "/schemas/ids/") {
			return false
		}
		asked.Add(1)
		if f := answer.Load(); f != nil {
			return (*f)(w)
		}
		return false
	})
	decode := func() error { return s.Decode(t.Context(), frame(4711, nil), new(wire.Control)) }

	for name, f := range map[string]func(http.ResponseWriter) bool{
		"server error": func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusInternalServerError); return true },
		"bare 404":     func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusNotFound); return true },
		"refused":      func(w http.ResponseWriter) bool { w.WriteHeader(http.StatusUnauthorized); return true },
		"not JSON":     func(w http.ResponseWriter) bool { _, err := w.Write([]byte("hello")); return err == nil },
		"hung up":      func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) },
	} {
		answer.Store(&f)
		if err := decode(); err == nil || cause(err) != "" {
			t.Errorf("%s: error = %v, want one worth a retry", name, err)
		}
	}
	answer.Store(nil)
	asked.Store(0)
	for range 3 {
		if err := decode(); cause(err) != wire.CauseUnknownSchema {
			t.Fatalf("error = %v, want unknown_schema", err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the registry was asked %d times, want 1", n)
	}
	clock.Add(61)
	if err := decode(); cause(err) != wire.CauseUnknownSchema || asked.Load() != 2 {
		t.Errorf("after a minute: %v, asked %d times, want 2", err, asked.Load())
	}
	// Registered later: found once the short memory has ended.
	text, err := schemas.Text("Control")
	if err != nil {
		t.Fatal(err)
	}
	r.SeedSchema("elsewhere-value", 1, 4711, sr.Schema{Schema: text})
	clock.Add(61)
	value := frame(4711, (&wire.Control{ID: "1"}).AppendAvro(nil))
	var got wire.Control
	if err := s.Decode(t.Context(), value, &got); err != nil || got.ID != "1" {
		t.Errorf("after it was registered: %q, %v", got.ID, err)
	}
	r.Close()
	if err := s.Decode(t.Context(), value, &got); err != nil {
		t.Errorf("a known id needs the registry again: %v", err)
	}
	if err := s.Decode(t.Context(), frame(4712, nil), &got); err == nil || cause(err) != "" {
		t.Errorf("registry gone: %v, want an error worth a retry", err)
	}
}

// TestOneFlight: many partitions that meet one new id ask once, and a caller whose context ends leaves alone.
func TestOneFlight(t *testing.T) {
	t.Parallel()
	r, s := fake(t, wire.Config{})
	text, err := schemas.Text("Control")
	if err != nil {
		t.Fatal(err)
	}
	r.SeedSchema("elsewhere-value", 1, 4711, sr.Schema{Schema: text})
	var asked atomic.Int32
	started, release := make(chan struct{}, 16), make(chan struct{})
	r.Intercept(func(_ http.ResponseWriter, req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/schemas/ids/") {
			asked.Add(1)
			started <- struct{}{}
			<-release
		}
		return false
	})
	value := frame(4711, (&wire.Control{ID: "1"}).AppendAvro(nil))
	var wg sync.WaitGroup
	gone, cancel := context.WithCancelCause(t.Context())
	wg.Go(func() {
		why := errors.New("stopping")
		<-started
		cancel(why)
	})
	if err := s.Decode(gone, value, new(wire.Control)); cause(err) != "" || err == nil {
		t.Errorf("ended context: %v", err)
	}
	for range 8 {
		wg.Go(func() {
			if err := s.Decode(t.Context(), value, new(wire.Control)); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("the registry was asked %d times, want 1", n)
	}
}

// TestForeignBomb: the five bytes that make goavro take hundreds of megabytes by its own limits.
func TestForeignBomb(t *testing.T) {
	r, s := fake(t, wire.Config{})
	text := edit(t, "CandidateEvent", `"doc": "What is said about a person.`, `"doc": "Another text.`)
	r.SeedSchema("elsewhere-value", 1, 4711, sr.Schema{Schema: text})
	bomb := frame(4711, append(upToArray(), binary.AppendUvarint(nil, uint64(50_000_000)<<1)...))
	var into wire.CandidateEvent
	if err := s.Decode(t.Context(), bomb, &into); cause(err) != wire.CauseUndecodable { // and the schema is fetched
		t.Fatalf("error = %v, want undecodable", err)
	}
	if got := allocated(func() { _ = s.Decode(t.Context(), bomb, &into) }); got > 2<<20 {
		t.Errorf("took %d bytes for %d", got, len(bomb))
	}
	for _, payload := range [][]byte{nil, {0xff}, bytes.Repeat([]byte{0xff}, 100), upToArray()} {
		if err := s.Decode(t.Context(), frame(4711, payload), &into); cause(err) != wire.CauseUndecodable {
			t.Errorf("payload %x: %v, want undecodable", payload, err)
		}
	}
}
