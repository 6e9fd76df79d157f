package ats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/idna"
)

// errEgress is the cause of every call that was not made because of where it would have gone.
var errEgress = errors.New("not a configured address")

// egress says where calls may go: to the configured scheme, host and port and nowhere else. A public name that
// resolves into this machine or the network around it is refused when it is dialled, which is when it counts:
// what a name resolved to before proves nothing.
type egress struct {
	origins []origin
	proxies []origin // of the environment, which the operator chose
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
	o, err := originOf(u)
	if err == nil && o.scheme == "http" && !o.inside() {
		err = errors.New("must be https, as its host is not on this machine")
	}
	return o, err
}

// originOf writes an origin as net/http dials it: the host in lower case ASCII, the port said.
func originOf(u *url.URL) (origin, error) {
	o := origin{u.Scheme, strings.ToLower(u.Hostname()), u.Port()}
	if _, err := netip.ParseAddr(o.host); err != nil && !isASCII(o.host) {
		if o.host, err = idna.Lookup.ToASCII(o.host); err != nil {
			return origin{}, fmt.Errorf("host: %w", err)
		}
	}
	if o.port == "" {
		o.port = map[string]string{"https": "443", "http": "80", "socks5": "1080", "socks5h": "1080"}[o.scheme]
	}
	return o, nil
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7f }) < 0
}

// inside reports whether the host is this machine, or a name that only a private network has.
func (o origin) inside() bool {
	if a, err := netip.ParseAddr(o.host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return !strings.Contains(o.host, ".")
}

// newEgress allows these bases, by the proxies they have. A base that cannot be read allows nothing.
func newEgress(bases []string, private bool, timeout time.Duration, proxy func(*http.Request) (*url.URL, error)) *egress {
	e := &egress{private: private, dialer: net.Dialer{Timeout: timeout}}
	for _, b := range bases {
		o, err := parseOrigin(b)
		if err != nil || slices.Contains(e.origins, o) {
			continue
		}
		e.origins = append(e.origins, o)
		via, err := proxy(&http.Request{URL: &url.URL{Scheme: o.scheme, Host: net.JoinHostPort(o.host, o.port)}})
		if err != nil || via == nil {
			continue // an error is that of each call
		}
		if p, err := originOf(via); err == nil {
			e.proxies = append(e.proxies, p)
		}
	}
	return e
}

// allows reports whether a URL is below a configured scheme, host and port.
func (e *egress) allows(u *url.URL) bool {
	o, err := parseOrigin(u.Scheme + "://" + u.Host)
	return err == nil && slices.Contains(e.origins, o)
}

// dial connects to one of ours, and checks the address that was resolved, or to the proxy of the environment.
func (e *egress) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", errEgress)
	}
	is := func(o origin) bool { return strings.EqualFold(o.host, host) && o.port == port }
	d := e.dialer
	if i := slices.IndexFunc(e.origins, is); i >= 0 {
		d.Control = func(_, resolved string, _ syscall.RawConn) error { return e.check(e.origins[i], resolved) }
	} else if !slices.ContainsFunc(e.proxies, is) {
		return nil, fmt.Errorf("dial %s: %w", address, errEgress)
	}
	return d.DialContext(ctx, network, address)
}

// check refuses an address that a configured host should not have.
func (e *egress) check(o origin, resolved string) error {
	ap, err := netip.ParseAddrPort(resolved)
	if err != nil {
		return fmt.Errorf("resolved address: %w", errEgress)
	}
	a := meant(ap.Addr())
	literal := false
	if given, err := netip.ParseAddr(o.host); err == nil {
		literal = given.Unmap() == a
	}
	switch {
	case literal && !a.IsLinkLocalUnicast(), o.inside() && (a.IsLoopback() || a.IsPrivate()):
		return nil
	case a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsMulticast(), thisNetwork.Contains(a), compatible.Contains(a):
		return fmt.Errorf("%s resolves to %s, an address of this machine or link: %w", o.host, a, errEgress)
	case (a.IsPrivate() || sharedSpace.Contains(a) || siteLocal.Contains(a)) && !e.private:
		return fmt.Errorf("%s resolves to %s, a private address: %w", o.host, a, errEgress)
	}
	return nil
}

// meant is the address that one ends up at: what carries an IPv4 address within it is judged by that.
func meant(a netip.Addr) netip.Addr {
	a = a.WithZone("")
	b := a.As16()
	switch {
	case translated.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a.Unmap()
}

var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // carriers and clouds among themselves (RFC 6598)
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")     // RFC 1122
	compatible  = netip.MustParsePrefix("::/96")         // "::" and IPv4 as IPv6 of old (RFC 4291)
	siteLocal   = netip.MustParsePrefix("fec0::/10")     // private, of old (RFC 3879)
	translated  = netip.MustParsePrefix("64:ff9b::/96")  // NAT64 (RFC 6052)
	sixToFour   = netip.MustParsePrefix("2002::/16")     // RFC 3056
)
