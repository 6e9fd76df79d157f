package ats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errEgress is the cause of every call that was not made because of where it would have gone.
var errEgress = errors.New("not a configured address")

// egress says where calls may go: to the configured scheme, host and port and nowhere else. A public name that
// resolves into this machine or the network around it is refused when it is dialled, which is when it counts:
// what a name resolved to before proves nothing.
type egress struct {
	origins []origin
	private bool
	dialer  net.Dialer
}

type origin struct{ scheme, host, port string }

// CheckBase says what is wrong with a base URL: it has to be https://host, without a user. Plain HTTP is for
// this machine and for names without a dot, which no public network has: a simulator in this process or
// beside this container.
func CheckBase(base string) error {
	_, err := parseOrigin(base)
	return err
}

func parseOrigin(base string) (origin, error) {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
		return origin{}, errors.New("must be https://host, without a user")
	}
	o := origin{u.Scheme, strings.ToLower(u.Hostname()), u.Port()}
	if o.scheme == "http" && !o.inside() {
		return origin{}, errors.New("must be https, as its host is not on this machine")
	}
	if o.port == "" {
		o.port = map[string]string{"https": "443", "http": "80"}[o.scheme]
	}
	return o, nil
}

// inside reports whether the host is this machine, or a name that only a private network has.
func (o origin) inside() bool {
	if a, err := netip.ParseAddr(o.host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return !strings.Contains(o.host, ".")
}

// newEgress allows these bases. One that cannot be read allows nothing.
func newEgress(bases []string, private bool, timeout time.Duration) *egress {
	e := &egress{private: private, dialer: net.Dialer{Timeout: timeout}}
	for _, b := range bases {
		if o, err := parseOrigin(b); err == nil && !slices.Contains(e.origins, o) {
			e.origins = append(e.origins, o)
		}
	}
	return e
}

// allows reports whether a URL is below a configured scheme, host and port.
func (e *egress) allows(u *url.URL) bool {
	o, err := parseOrigin(u.Scheme + "://" + u.Host)
	return err == nil && slices.Contains(e.origins, o)
}

// dial connects, and checks the address that was resolved. An address that is none of ours is the proxy of the
// environment, which the operator chose.
func (e *egress) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", errEgress)
	}
	d := e.dialer
	i := slices.IndexFunc(e.origins, func(o origin) bool { return strings.EqualFold(o.host, host) && o.port == port })
	if i >= 0 {
		d.Control = func(_, resolved string, _ syscall.RawConn) error { return e.check(e.origins[i], resolved) }
	}
	return d.DialContext(ctx, network, address)
}

// check refuses an address that a configured host should not have.
func (e *egress) check(o origin, resolved string) error {
	ap, err := netip.ParseAddrPort(resolved)
	if err != nil {
		return fmt.Errorf("resolved address: %w", errEgress)
	}
	a := ap.Addr().Unmap()
	literal := false
	if given, err := netip.ParseAddr(o.host); err == nil {
		literal = given.Unmap() == a
	}
	switch {
	case literal && !a.IsLinkLocalUnicast(), o.inside() && (a.IsLoopback() || a.IsPrivate()):
		return nil
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified():
		return fmt.Errorf("%s resolves to %s, an address of this machine or link: %w", o.host, a, errEgress)
	case (a.IsPrivate() || sharedSpace.Contains(a)) && !e.private:
		return fmt.Errorf("%s resolves to %s, a private address: %w", o.host, a, errEgress)
	}
	return nil
}

// sharedSpace is what carriers and clouds use among themselves (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
