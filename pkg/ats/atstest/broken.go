package atstest

import (
	"context"
	"errors"
	"sync"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/wire"
)

// bent is a client some calls of which go elsewhere. Nil members go on to the client.
type bent struct {
	ats.Client
	caps  func(*ats.Capabilities)
	read  func(ctx context.Context, id string) (ats.Reading, error)
	apply func(ctx context.Context, id string, expected, desired wire.Tuple) error
	list  func(ctx context.Context, from ats.Cursor) (ats.Page, error)
}

// Capabilities implements ats.Client.
func (b *bent) Capabilities() ats.Capabilities {
	c := b.Client.Capabilities()
	if b.caps != nil {
		b.caps(&c)
	}
	return c
}

// Read implements ats.Client.
func (b *bent) Read(ctx context.Context, id string) (ats.Reading, error) {
	if b.read != nil {
		return b.read(ctx, id)
	}
	return b.Client.Read(ctx, id)
}

// Apply implements ats.Client.
func (b *bent) Apply(ctx context.Context, id string, expected, desired wire.Tuple) error {
	if b.apply != nil {
		return b.apply(ctx, id, expected, desired)
	}
	return b.Client.Apply(ctx, id, expected, desired)
}

// ListChanged implements ats.Client.
func (b *bent) ListChanged(ctx context.Context, from ats.Cursor) (ats.Page, error) {
	if b.list != nil {
		return b.list(ctx, from)
	}
	return b.Client.ListChanged(ctx, from)
}

// declares changes what a client says of itself.
func declares(change func(*ats.Capabilities)) broken {
	return broken{wrap: func(c ats.Client) ats.Client { return &bent{Client: c, caps: change} }}
}

// reads changes what a read returns.
func reads(change func(*ats.Reading)) broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, read: func(ctx context.Context, id string) (ats.Reading, error) {
			r, err := c.Read(ctx, id)
			change(&r)
			return r, err
		}}
	}}
}

// remembers returns what the first good read returned, for ever.
func remembers() broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		var mu sync.Mutex
		first := map[string]ats.Reading{}
		return &bent{Client: c, read: func(ctx context.Context, id string) (ats.Reading, error) {
			mu.Lock()
			defer mu.Unlock()
			if r, ok := first[id]; ok {
				return r, nil
			}
			r, err := c.Read(ctx, id)
			if err == nil {
				first[id] = r
			}
			return r, err
		}}
	}}
}

// pretendsToRead returns something where a read fails.
func pretendsToRead() broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, read: func(ctx context.Context, id string) (ats.Reading, error) {
			r, _ := c.Read(ctx, id)
			return r, nil
		}}
	}}
}

// misreads changes the error of a failed read.
func misreads(change func(*ats.Error)) broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, read: func(ctx context.Context, id string) (ats.Reading, error) {
			r, err := c.Read(ctx, id)
			return r, changed(err, change)
		}}
	}}
}

// writesOnly changes what is written.
func writesOnly(change func(expected, desired *wire.Tuple)) broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			change(&expected, &desired)
			return c.Apply(ctx, id, expected, desired)
		}}
	}}
}

// pretendsToWrite answers every write as done, and sends none.
func pretendsToWrite() broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, apply: func(context.Context, string, wire.Tuple, wire.Tuple) error { return nil }}
	}}
}

// hidesFailures answers every write as done.
func hidesFailures() broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			_ = c.Apply(ctx, id, expected, desired)
			return nil
		}}
	}}
}

// writesTwice sends each write again, whatever the answer.
func writesTwice() broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			err := c.Apply(ctx, id, expected, desired)
			_ = c.Apply(context.WithoutCancel(ctx), id, expected, desired)
			return err
		}}
	}}
}

// insists reads again after a failed write and writes over what it finds.
func insists() broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			err := c.Apply(ctx, id, expected, desired)
			if r, readErr := c.Read(context.WithoutCancel(ctx), id); readErr == nil && !ats.Shows(r.Tuple, desired) {
				return c.Apply(context.WithoutCancel(ctx), id, r.Tuple, desired)
			}
			return err
		}}
	}}
}

// miscalls changes the error of a failed write.
func miscalls(change func(*ats.Error)) broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			return changed(c.Apply(ctx, id, expected, desired), change)
		}}
	}}
}

// lists changes what a page holds.
func lists(change func(*ats.Page)) broken {
	return broken{wrap: func(c ats.Client) ats.Client {
		return &bent{Client: c, list: func(ctx context.Context, from ats.Cursor) (ats.Page, error) {
			p, err := c.ListChanged(ctx, from)
			change(&p)
			return p, err
		}}
	}}
}

func changed(err error, change func(*ats.Error)) error {
	var e *ats.Error
	if errors.As(err, &e) {
		other := *e
		change(&other)
		return &other
	}
	return err
}

// only limits a broken client to some adapters.
func (b broken) only(when func(*ats.Capabilities) bool) broken {
	b.when = when
	return b
}

func calls(class ats.Class) func(*ats.Error) { return func(e *ats.Error) { e.Class = class } }

// unversioned: the same write again is not stopped by the version that the first one has changed.
func unversioned(c *ats.Capabilities) bool { return !c.CASVersion }

// alwaysFails says of every write and read that it was not executed.
func alwaysFails(c ats.Client) ats.Client {
	first := true
	var mu sync.Mutex
	return &bent{
		Client: c,
		read: func(ctx context.Context, id string) (ats.Reading, error) {
			r, err := c.Read(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if first { // so that a case gets as far as its write
				first = false
				return r, err
			}
			return r, &ats.Error{Class: ats.NotExecuted, Code: ats.CodeUnauthorised, Op: "read"}
		},
		apply: func(ctx context.Context, id string, expected, desired wire.Tuple) error {
			_ = c.Apply(ctx, id, expected, desired)
			return &ats.Error{Class: ats.NotExecuted, Code: ats.CodeUnauthorised, Op: "move"}
		},
	}
}
