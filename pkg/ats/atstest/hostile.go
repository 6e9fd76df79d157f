package atstest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/atssim"
)

// mangler stands before a simulator and spoils the bodies of its answers once it is told how.
type mangler struct {
	next http.Handler
	how  atomic.Pointer[func([]byte) []byte]
}

// ServeHTTP implements http.Handler.
func (m *mangler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	how := m.how.Load()
	if how == nil || strings.HasSuffix(r.URL.Path, "/token") {
		m.next.ServeHTTP(w, r)
		return
	}
	rec := httptest.NewRecorder()
	m.next.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write((*how)(rec.Body.Bytes())) // the client is gone: nobody is left to tell
}

const mutations = 300

// hostile are answers of any shape.
func hostile() []testCase {
	return []testCase{{name: "answers of any shape", run: func(r *rig) {
		const seed = 11
		rng := rand.New(rand.NewPCG(seed, 1))
		r.act(atssim.Action{Kind: "note", Note: "a word"})
		r.act(atssim.Action{Kind: "reject", Reason: reasonOther})
		good, bad := 0, 0
		for i := range mutations {
			spoil := mutation(rng)
			r.mangler.how.Store(&spoil)
			_, err := r.client.Read(r.Context(), r.id)
			_, listErr := r.client.ListChanged(r.Context(), ats.Cursor{})
			for _, err := range []error{err, listErr} {
				var e *ats.Error
				switch {
				case err == nil:
					good++
				case errors.As(err, &e) && e.Class != ats.Unknown:
					bad++
				default:
					r.Errorf("seed %d, mutation %d: %v", seed, i, err)
				}
			}
		}
		r.mangler.how.Store(nil)
		if good == 0 || bad == 0 {
			r.Errorf("%d answers were read and %d refused: the mutations prove little", good, bad)
		}
		if got := r.read(); got.Tuple.Status != rejected {
			r.Errorf("it reads %+v afterwards", got.Tuple)
		}
	}, broken: map[string]broken{
		"lets a decoder's error through": {wrap: func(c ats.Client) ats.Client {
			return &bent{Client: c, read: func(ctx context.Context, id string) (ats.Reading, error) {
				r, err := c.Read(ctx, id)
				if err != nil {
					return r, errors.New("invalid character")
				}
				return r, nil
			}}
		}},
		"falls over": {panics: true, wrap: func(c ats.Client) ats.Client {
			return &bent{Client: c, list: func(ctx context.Context, from ats.Cursor) (ats.Page, error) {
				p, err := c.ListChanged(ctx, from)
				if err != nil {
					panic(err)
				}
				return p, nil
			}}
		}},
	}}}
}

// mutation is one way to spoil a body.
func mutation(rng *rand.Rand) func([]byte) []byte {
	kind, at, with := rng.IntN(5), rng.Float64(), byte(rng.IntN(256))
	values := []string{"null", "true", "-1", "1e400", `""`, "[]", "{}", `"\u0000"`, `[[[[{}]]]]`, `{"id":{"id":[]}}`, "99999999999999999999"}
	value := values[rng.IntN(len(values))]
	return func(body []byte) []byte {
		if len(body) == 0 {
			return []byte(value)
		}
		i := int(at * float64(len(body)))
		switch kind {
		case 0:
			return body[:i]
		case 1:
			out := append([]byte{}, body...)
			out[i] = with
			return out
		case 2:
			return []byte(strings.Repeat("[", 5000) + string(body))
		default: // another value for the member that begins here
			text := string(body)
			colon := strings.IndexByte(text[i:], ':')
			if colon < 0 {
				return []byte(value)
			}
			begin := i + colon + 1
			end := begin + strings.IndexAny(text[begin:]+",", ",}]")
			return []byte(text[:begin] + value + text[end:])
		}
	}
}
