package reconciler

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"pgregory.net/rapid"

	"github.com/concord-ats/concord/pkg/hiring"
	"github.com/concord-ats/concord/pkg/store"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/schemas"
)

// enums is how many values each enum of a state has.
var enums = map[reflect.Type]int{
	reflect.TypeFor[hiring.EventType]():    int(hiring.EventTimer) + 1,
	reflect.TypeFor[hiring.Status]():       int(hiring.StatusWithdrawn) + 1,
	reflect.TypeFor[hiring.ActorKind]():    int(hiring.ActorConcord) + 1,
	reflect.TypeFor[hiring.Verdict]():      int(hiring.VerdictReject) + 1,
	reflect.TypeFor[hiring.WriteState]():   int(hiring.WriteDeferred) + 1,
	reflect.TypeFor[hiring.OutcomeKind]():  int(hiring.OutcomeFailed) + 1,
	reflect.TypeFor[hiring.IncidentKind](): hiring.IncidentKinds,
}

var authority = reflect.TypeFor[hiring.Authority]()

// few are the texts of a state that says much twice.
var few = []string{"", "a", "b", "a/1", "stage", "status", "reason", "screening", "element:a", "element:b", "active", "screening.started"}

// draw fills v with anything a state can hold; with twice it chooses from little, so that there is much to refer to. An
// empty list is always nil, as it is in states the core makes.
func draw(t *rapid.T, v reflect.Value, twice bool) {
	if v.Type() == authority { // one bit at most
		v.SetUint(uint64(rapid.SampledFrom([]hiring.Authority{0, hiring.AuthorityHuman, hiring.AuthorityIntegration, hiring.AuthoritySystem, hiring.AuthorityVendor, hiring.AuthorityOverride}).Draw(t, "authority")))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int32, reflect.Int64:
		switch {
		case twice:
			v.SetInt(int64(rapid.IntRange(0, 1).Draw(t, "number")))
		case v.Kind() == reflect.Int32:
			v.SetInt(int64(rapid.Int32().Draw(t, "int")))
		default:
			v.SetInt(rapid.Int64().Draw(t, "long"))
		}
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(t, "short digest"))
	case reflect.Float64:
		v.SetFloat(rapid.Float64().Draw(t, "double"))
	case reflect.Uint8:
		v.SetUint(uint64(rapid.IntRange(0, enums[v.Type()]-1).Draw(t, v.Type().Name())))
	case reflect.String:
		if twice {
			v.SetString(rapid.SampledFrom(few).Draw(t, "text"))
		} else {
			v.SetString(rapid.StringN(0, 6, -1).Draw(t, "string"))
		}
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(rapid.Byte().Draw(t, "byte")))
		}
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "present") {
			v.Set(reflect.New(v.Type().Elem()))
			draw(t, v.Elem(), twice)
		}
	case reflect.Slice:
		most := 2
		if twice && v.Type() == reflect.TypeFor[[]hiring.Entry]() {
			most = 12
		}
		if n := rapid.IntRange(0, most).Draw(t, "len"); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			draw(t, v.Index(i), twice)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			draw(t, v.Field(i), twice)
		}
	default:
		t.Fatalf("no way to draw a %s", v.Type())
	}
}

func drawState(t *rapid.T) *hiring.State {
	s := new(hiring.State)
	draw(t, reflect.ValueOf(s).Elem(), rapid.Bool().Draw(t, "twice"))
	if s.Write.State != hiring.WriteDone {
		s.Write.Outcome = 0 // it means nothing then
	}
	return s
}

func openSchemas(t testing.TB) *wire.Schemas {
	t.Helper()
	s, err := wire.Open(wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStateRoundTrip takes random states to the log and back: nothing is lost, equal states have equal bytes, whatever
// the writer wrote before, and they are those of the schema. What is left out of a state because another part of it has
// it can be written out, and says the same.
func TestStateRoundTrip(t *testing.T) {
	ours := openSchemas(t)
	codec := stateCodec(ours)
	w := newWriter(ours)
	written, read := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		first := w.cell(s)
		raw := append([]byte(nil), codec.Append(nil, first)...)
		back, err := codec.Decode(s.Application, raw)
		if err != nil {
			t.Fatal(err)
		}
		state, err := w.open(s.Application, back)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, state); diff != "" {
			t.Fatalf("the state changed on its way (-was +is):\n%s", diff)
		}
		if back.digest != first.digest || codec.Due(back) != codec.Due(first) || codec.Due(back) != int64(s.NextDue) {
			t.Fatal("the digest or the due time changed on the way")
		}
		var log wire.HiringState
		if err := ours.DecodeLocal(raw, &log); err != nil {
			t.Fatal(err)
		}
		if again := ours.Append(nil, &log); !bytes.Equal(again, raw) {
			t.Fatalf("by the schema it is\n%x, not\n%x", again, raw)
		}
		if err := log.Resolve(); err != nil {
			t.Fatal(err)
		}
		unreferred(t, "HiringState", reflect.ValueOf(log))
		whole := ours.Append(nil, &log)
		written, read = written+len(raw), read+len(whole)
		if state, err = w.open(s.Application, &cell{value: string(whole)}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, state); diff != "" {
			t.Fatalf("written out, the state says something else (-was +is):\n%s", diff)
		}
		clear(raw) // the runtime uses its buffer again
		w.cell(drawState(t))
		if state, err = w.open(s.Application, back); err != nil {
			t.Fatal(err)
		}
		if again := w.cell(state); again.value != first.value || back.value != first.value {
			t.Fatal("equal states have different bytes")
		}
	})
	if written >= read {
		t.Errorf("states take %d bytes with references and %d without", written, read)
	}
}

// TestDamagedState cuts and flips the bytes of states: an error or a state, never a panic.
func TestDamagedState(t *testing.T) {
	ours := openSchemas(t)
	w := newWriter(ours)
	rapid.Check(t, func(t *rapid.T) {
		whole := w.cell(drawState(t)).value
		const framing = 5
		at := rapid.IntRange(framing, len(whole)-1).Draw(t, "at")
		if _, err := w.open("a/1", &cell{value: whole[:at]}); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("cut at %d of %d: %v", at, len(whole), err)
		}
		if _, err := w.open("a/1", &cell{value: whole + "\x00"}); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("a trailing byte: %v", err)
		}
		flipped := []byte(whole)
		flipped[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if s, err := w.open("a/1", &cell{value: string(flipped)}); err == nil {
			w.cell(s)
		} else if !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("flipped: %v", err)
		}
	})
}

// TestForeignState reads a state that another release wrote with a schema of its own.
func TestForeignState(t *testing.T) {
	registry := srfake.New()
	defer registry.Close()
	ours, err := wire.Open(wire.Config{URLs: []string{registry.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ours.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := schemas.Text("HiringState")
	if err != nil {
		t.Fatal(err)
	}
	const theirs = 4711
	registry.SeedSchema("elsewhere-value", 1, theirs, sr.Schema{Schema: strings.Replace(text, `"fields": [`, `"fields": [ {"name": "mood", "type": "string", "default": ""},`, 1)})
	w := newWriter(ours)
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		payload, _ := ours.Own(w.cell(s).value, (*wire.HiringState)(nil))
		value := "\x00\x00\x00\x12\x67" + "\x08glad" + payload // 4711, and their field
		back, err := w.open(s.Application, &cell{value: value})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Fatalf("read otherwise than it was written (-was +is):\n%s", diff)
		}
	})
}

// mark gives every leaf of v another value than zero, no two numbers or texts alike, and every list one item.
func mark(t *testing.T, v reflect.Value, n *int64) {
	t.Helper()
	*n++
	if v.Type() == authority {
		v.SetUint(uint64(hiring.AuthorityOverride))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(*n)
	case reflect.Float64:
		v.SetFloat(float64(*n))
	case reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Uint8:
		if enums[v.Type()] < 2 {
			t.Fatalf("%s is no enum this test knows", v.Type())
		}
		v.SetUint(1 + uint64(*n)%uint64(enums[v.Type()]-1))
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d", *n))
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(1 + uint64(*n)%255)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		mark(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		mark(t, v.Index(0), n)
	case reflect.Struct:
		for i := range v.NumField() {
			mark(t, v.Field(i), n)
		}
	default:
		t.Fatalf("no way to mark a %s", v.Type())
	}
}

// TestStateKeepsEveryField fails for a field of the state, at any depth, that the wire form forgets, and for one of the
// wire form that nothing fills.
func TestStateKeepsEveryField(t *testing.T) {
	s := new(hiring.State)
	var n int64
	mark(t, reflect.ValueOf(s).Elem(), &n)
	s.Write.State = hiring.WriteDone
	ours := openSchemas(t)
	w := newWriter(ours)
	c := w.cell(s)
	back, err := w.open(s.Application, c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Errorf("a field is forgotten (-was +is):\n%s", diff)
	}
	var log wire.HiringState
	if err := ours.DecodeLocal([]byte(c.value), &log); err != nil {
		t.Fatal(err)
	}
	unfilled(t, "HiringState", reflect.ValueOf(log))
}

// references are the fields of a state that say where the rest of it is.
var references = []string{
	"SystemOwn", "LevelOwn", "Entry", "Said", "Like", "AsLike", "EnteredEntry", "CandidateEntry", "DesiredCauseEntry", "DesiredObserved", "ConfirmedObserved",
}

// leaves calls leaf for every field of v that holds nothing else, at any depth.
func leaves(path string, v reflect.Value, leaf func(path, name string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			leaves(path, v.Elem(), leaf)
		}
	case reflect.Slice:
		for i := range v.Len() {
			leaves(fmt.Sprintf("%s[%d]", path, i), v.Index(i), leaf)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			leaf(path, name, v.Field(i))
			leaves(path+"."+name, v.Field(i), leaf)
		}
	default: // it has been seen
	}
}

func unfilled(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	leaves(path, v, func(path, name string, v reflect.Value) {
		if v.IsZero() && !slices.Contains(references, name) && name != "Policy" { // a partition's, and no application's
			t.Errorf("%s.%s is never filled", path, name)
		}
	})
}

func unreferred(t *rapid.T, path string, v reflect.Value) {
	leaves(path, v, func(path, name string, v reflect.Value) {
		if !v.IsZero() && slices.Contains(references, name) {
			t.Errorf("%s.%s still refers to something", path, name)
		}
	})
}

// TestEnumsAgree compares the names on both sides of every enum that is carried over by number.
func TestEnumsAgree(t *testing.T) {
	agree := func(what string, n int, core, log func(uint8) string) {
		t.Helper()
		for i := range n {
			if a, b := core(uint8(i)), log(uint8(i)); a != b {
				t.Errorf("%s %d is %q in the core and %q in the log", what, i, a, b)
			}
		}
		if past := log(uint8(n)); past != log(0) {
			t.Errorf("%s: the log has %q, the core does not", what, past)
		}
	}
	agree("status", int(hiring.StatusWithdrawn)+1, func(i uint8) string { return hiring.Status(i).String() }, func(i uint8) string { return wire.ApplicationStatus(i).String() })
	agree("verdict", int(hiring.VerdictReject)+1, func(i uint8) string { return hiring.Verdict(i).String() }, func(i uint8) string { return wire.Verdict(i).String() })
	agree("incident kind", hiring.IncidentKinds, func(i uint8) string { return hiring.IncidentKind(i).String() }, func(i uint8) string { return wire.IncidentKind(i).String() })
	agree("event type", int(hiring.EventTimer)+1, func(i uint8) string { return strings.ReplaceAll(hiring.EventType(i).String(), ".", "_") }, func(i uint8) string { return wire.EventType(i).String() })
	authorities := []string{"none", "human", "integration", "system", "vendor", "override"}
	agree("authority", len(authorities), func(i uint8) string { return authorities[i] }, func(i uint8) string { return wire.Authority(i).String() })
	for i := 1; i < len(authorities); i++ {
		if a := hiring.Authority(1 << i >> 1).String(); a != authorities[i] {
			t.Errorf("authority %d is %q in the core", i, a)
		}
	}
	agree("reason", hiring.Reasons, func(i uint8) string { return hiring.Reason(i).String() }, func(i uint8) string { return wire.Reason(i).String() })
	for _, pair := range []struct {
		core any
		log  fmt.Stringer
		name string
	}{
		{hiring.OutcomeFailed, wire.OutcomeKind(hiring.OutcomeFailed), "failed"},
		{hiring.OutcomeDeferred, wire.OutcomeKind(hiring.OutcomeDeferred), "deferred"},
		{hiring.OutcomeBlocked, wire.OutcomeKind(hiring.OutcomeBlocked), "blocked"},
		{hiring.OutcomeConfirmed, wire.OutcomeKind(hiring.OutcomeConfirmed), "confirmed"},
		{hiring.CommandRefresh, wire.CommandKind(hiring.CommandRefresh), "refresh"},
		{hiring.ActorConcord, wire.ActorKind(hiring.ActorConcord), "concord"},
		{hiring.ActorIntegration, wire.ActorKind(hiring.ActorIntegration), "integration"},
		{hiring.WriteDeferred, wire.WriteState(hiring.WriteDeferred), "deferred"},
		{hiring.WriteAttempted, wire.WriteState(hiring.WriteAttempted), "attempted"},
		{hiring.BasisReceipt, wire.TimeBasis(hiring.BasisReceipt), "receipt"},
		{hiring.BasisRecord, wire.TimeBasis(hiring.BasisRecord), "record"},
		{hiring.IncidentRetracted, wire.IncidentChange(hiring.IncidentRetracted), "retracted"},
	} {
		if pair.log.String() != pair.name {
			t.Errorf("%T %v is %q in the log, want %q", pair.core, pair.core, pair.log, pair.name)
		}
	}
}
