package dedupe

import "sync"

// request is the memory in which the calls for the claims of one poll are written. It is used again, as it takes more than
// the claims themselves.
type request struct {
	text  []byte // keys and owners, one behind the other
	parts []part // of text: key, owner, key, owner, …
	args  []any  // of all calls
	ends  []int
	ttl   int64 // ms
}

// part is an argument that costs no allocation: the client library asks a pointer for its bytes.
type part []byte

// MarshalBinary implements encoding.BinaryMarshaler.
func (p *part) MarshalBinary() ([]byte, error) { return *p, nil }

var requests = sync.Pool{New: func() any { return new(request) }}

// write writes the keys and owners of all claims. What calls were made of before is gone.
func (r *request) write(claims []Claim, prefix string, ttl int64) {
	r.text, r.ends, r.parts, r.args, r.ttl = r.text[:0], r.ends[:0], r.parts[:0], r.args[:0], ttl
	for i := range claims {
		r.text = claims[i].Identity.appendKey(r.text, prefix)
		r.ends = append(r.ends, len(r.text))
		r.text = claims[i].Owner.appendTo(r.text)
		r.ends = append(r.ends, len(r.text))
	}
	at := 0
	for _, end := range r.ends {
		r.parts = append(r.parts, r.text[at:end:end])
		at = end
	}
}

// call returns the arguments of one call, for the claims from one place up to another. They are valid until write.
func (r *request) call(from, to int) []any {
	at := len(r.args)
	r.args = append(r.args, "eval", claim, to-from)
	for i := from; i < to; i++ {
		r.args = append(r.args, &r.parts[2*i])
	}
	for i := from; i < to; i++ {
		r.args = append(r.args, &r.parts[2*i+1])
	}
	r.args = append(r.args, r.ttl)
	return r.args[at:len(r.args):len(r.args)]
}
