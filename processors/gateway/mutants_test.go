package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/concord-ats/concord/pkg/webhook"
	"github.com/concord-ats/concord/processors/gateway"
)

const (
	mutants    = 5000
	mutantSeed = 20260301
)

// mutate changes a payload in one to three ways that senders, proxies and attackers do.
func mutate(r *rand.Rand, body string) string {
	b := []byte(body)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(b) + 1)
		end := min(len(b), at+r.IntN(1+len(b)/4))
		insert := func(s string) { b = append(append(bytes.Clone(b[:at]), s...), b[at:]...) }
		switch r.IntN(12) {
		case 0: // one bit
			if at < len(b) {
				b[at] ^= 1 << r.IntN(8)
			}
		case 1: // a part is missing
			b = append(bytes.Clone(b[:at]), b[end:]...)
		case 2: // a part comes twice
			b = append(bytes.Clone(b[:end]), b[at:]...)
		case 3: // cut off
			b = b[:at]
		case 4:
			insert([]string{"\x00", "\xff\xfe", "\\u0000", "\\ud800", "\u202e", "\r\n", "'\"<>"}[r.IntN(7)])
		case 5:
			insert(strings.Repeat("[", 1<<r.IntN(12)))
		case 6:
			insert(strings.Repeat(`{"a":`, 1<<r.IntN(10)))
		case 7:
			insert(strings.Repeat("9", 1<<r.IntN(12)))
		default: // a value of another kind in the place of one that is there
			if colon := bytes.IndexByte(b[at:], ':'); colon >= 0 {
				from := at + colon + 1
				to := from + bytes.IndexAny(b[from:], ",}]")
				if to < from {
					to = len(b)
				}
				value := []string{
					"null", "true", "-1", "0", "1e400", "1e-400", "9223372036854775808", "0.1", `""`, `"x"`, "[]", "{}", `["a"]`, `{"id":{"id":1}}`,
					`"../../etc"`, `"` + strings.Repeat("a", 1<<r.IntN(14)) + `"`, `"0000-00-00T00:00:00Z"`, `"9999-12-31T23:59:59Z"`, `"` + "\u0000" + `"`,
				}[r.IntN(19)]
				b = append(append(bytes.Clone(b[:from]), value...), b[to:]...)
			}
		}
	}
	return string(b)
}

// sameProof reports whether a mutated body of Lever's carries the original's signature whole: what Lever does not sign may
// change and still verify, which is why nothing of it is believed. The same digest in capitals is the same.
func sameProof(kind, original, mutant string) bool {
	if kind != "lever" || webhook.Deep([]byte(mutant)) {
		return original == mutant
	}
	type proof struct {
		Token, Signature string
		TriggeredAt      json.RawMessage
	}
	var a, b proof
	return json.Unmarshal([]byte(original), &a) == nil && json.Unmarshal([]byte(mutant), &b) == nil &&
		a.Token == b.Token && strings.EqualFold(a.Signature, b.Signature) && bytes.Equal(a.TriggeredAt, b.TriggeredAt)
}

// wellFormed checks what a parser made of a body that somebody may have made up.
func wellFormed(s gateway.Sender, events []webhook.Event) error {
	for _, e := range events {
		env := e.Wire().Envelope()
		instance, native, _ := strings.Cut(env.Subject, "/")
		switch {
		case env.ID == "" || len(env.ID) > 512 || env.Source == "" || env.Type == "":
			return fmt.Errorf("identity %+v", env)
		case e.Unresolved():
			if e.Change.CandidateID == "" {
				return fmt.Errorf("neither application nor candidate: %+v", e.Change)
			}
		case e.Screening != nil:
			if native == "" || s.Kind == "checkr" && instance != "gh-main" {
				return fmt.Errorf("application %q", env.Subject)
			}
		case instance != s.System || slices.ContainsFunc(strings.Split(native, ":"), func(id string) bool { return !webhook.PlainID(id) }):
			return fmt.Errorf("application %q", env.Subject)
		}
	}
	return nil
}

// Five thousand mutated payloads: none passes with a signature that is not its own, none makes a parser panic or name
// what is no application, and the heap does not grow.
//
// It does not run beside others: their garbage would count as its growth.
func TestMutatedPayloads(t *testing.T) {
	t.Logf("seed %d", mutantSeed)
	r := rand.New(rand.NewPCG(mutantSeed, 0))
	d := open(t, everyone)
	handler, all := d.g.Handler(), payloads(t)
	byKind := map[string]gateway.Sender{}
	for _, s := range senders() {
		byKind[s.Kind] = s
	}
	ask := func(q request) int {
		req := httptest.NewRequestWithContext(t.Context(), "POST", q.path, strings.NewReader(q.body))
		req.Header = q.header
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		return w.Code
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // twice: what is pooled goes with the second
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	outcomes, half := map[string]int{}, int64(0)
	for i := range mutants {
		if i == mutants/2 {
			half = heap()
		}
		p := all[r.IntN(len(all))]
		original := signed(p.kind, p.body, "id", present(p.kind), now)
		mutant := mutate(r, original.body)

		forged := original
		forged.body = mutant
		if code := ask(forged); code/100 == 2 && !sameProof(p.kind, original.body, mutant) || code/100 != 2 && mutant == original.body {
			t.Fatalf("mutant %d of %s %s: %d with the original's signature:\n%q", i, p.kind, p.file, code, mutant)
		}

		own := signed(p.kind, mutant, fmt.Sprint("id", i), present(p.kind), now)
		s := byKind[p.kind]
		if err := s.Webhooks.Verify(own.header, []byte(own.body), now); err != nil {
			if p.kind != "lever" {
				t.Fatalf("mutant %d of %s: its own signature: %v", i, p.kind, err)
			}
			outcomes["unsigned"]++
			continue
		}
		events, err := s.Webhooks.Parse(own.header, []byte(own.body), now)
		if err := wellFormed(s, events); err != nil {
			t.Fatalf("mutant %d of %s %s: %v:\n%q", i, p.kind, p.file, err, own.body)
		}
		switch {
		case err != nil:
			outcomes["refused"]++
		default:
			outcomes["event"]++
		}
		if i%50 == 0 {
			if code := ask(own); code/100 != 2 {
				t.Fatalf("mutant %d of %s %s: authentic, and answered %d", i, p.kind, p.file, code)
			}
		}
	}
	if grown := heap() - half; grown > 4<<20 {
		t.Errorf("the heap grew by %d KiB over the second half", grown>>10)
	}
	for _, outcome := range []string{"unsigned", "refused", "event"} {
		if outcomes[outcome] < mutants/100 {
			t.Errorf("the mutations try too little: %v", outcomes)
		}
	}
	t.Logf("outcomes %v", outcomes)
}
