package ats

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// A name is judged by the address it has when it is dialled.
func TestResolvedAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		base, resolved string
		private, ok    bool
	}{
		{"https://api.vendor.example", "93.184.216.34:443", false, true},
		{"https://api.vendor.example", "[2606:2800:220:1::1]:443", false, true},
		{"https://api.vendor.example", "127.0.0.1:443", false, false},
		{"https://api.vendor.example", "127.0.0.1:443", true, false},
		{"https://api.vendor.example", "[::1]:443", false, false},
		{"https://api.vendor.example", "[::ffff:127.0.0.1]:443", false, false},
		{"https://api.vendor.example", "169.254.169.254:443", true, false},
		{"https://api.vendor.example", "0.0.0.0:443", true, false},
		{"https://api.vendor.example", "10.1.2.3:443", false, false},
		{"https://api.vendor.example", "[fd00:ec2::254]:443", false, false},
		{"https://api.vendor.example", "100.64.0.1:443", false, false},
		{"https://api.vendor.example", "0.0.0.1:443", true, false},
		{"https://api.vendor.example", "[64:ff9b::a9fe:a9fe]:443", true, false},
		{"https://api.vendor.example", "[64:ff9b::7f00:1]:443", true, false},
		{"https://api.vendor.example", "[64:ff9b::5db8:d822]:443", false, true},
		{"https://api.vendor.example", "[::127.0.0.1]:443", true, false},
		{"https://api.vendor.example", "[2002:7f00:1::]:443", true, false},
		{"https://api.vendor.example", "[fec0::1]:443", false, false},
		{"https://ats.corp.example", "[64:ff9b::a01:203]:443", true, true},
		{"https://ats.corp.example", "10.1.2.3:443", true, true},
		{"https://10.1.2.3", "10.1.2.3:443", false, true},
		{"https://169.254.169.254", "169.254.169.254:443", true, false},
		{"http://127.0.0.1:8090", "127.0.0.1:8090", false, true},
		{"http://localhost:8090", "[::1]:8090", false, true},
		{"http://ats:8090", "172.18.0.5:8090", false, true},
		{"http://ats:8090", "169.254.169.254:8090", false, false},
	} {
		e := newEgress([]string{c.base}, c.private, 0, noProxy)
		if len(e.origins) != 1 {
			t.Fatalf("%s is refused", c.base)
		}
		if err := e.check(e.origins[0], c.resolved); (err == nil) != c.ok {
			t.Errorf("%s at %s, private network %v: %v", c.base, c.resolved, c.private, err)
		}
	}
}

func TestBases(t *testing.T) {
	t.Parallel()
	for base, ok := range map[string]bool{
		"https://api.lever.co": true, "https://api.lever.co/v1": true, "http://127.0.0.1:1": true, "http://[::1]:1": true, "http://ats:8090": true,
		"http://api.lever.co": false, "http://10.0.0.1": false, "ftp://api.lever.co": false, "https://": false, "https://u:p@api.lever.co": false, "": false, ":": false,
	} {
		if err := CheckBase(base); (err == nil) != ok {
			t.Errorf("%q: %v", base, err)
		}
	}
	e := newEgress([]string{"https://api.lever.co/v1", "http://127.0.0.1:8090", "https://bücher.example"}, false, 0, noProxy)
	for raw, ok := range map[string]bool{
		"https://api.lever.co/v1/opportunities": true, "https://API.lever.co:443/": true, "https://BÜCHER.example/": true, "https://xn--bcher-kva.example/": true, "http://127.0.0.1:8090/x": true,
		"https://api.lever.co:8443/": false, "http://api.lever.co/": false, "https://lever.co/": false, "https://api.lever.co.evil.example/": false,
		"http://127.0.0.1:8091/": false, "https://127.0.0.1:8090/": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if e.allows(u) != ok {
			t.Errorf("%s: allowed %v", raw, !ok)
		}
	}
}

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

// However its host is written, the address of a configured one is checked, and nothing else is dialled but the proxy.
func TestEveryDialIsChecked(t *testing.T) {
	t.Parallel()
	e := newEgress([]string{"https://API.Vendor.example", "https://bücher.example"}, false, 0, func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() != "api.vendor.example" {
			return nil, nil
		}
		return &url.URL{Scheme: "http", Host: "Proxy.example:0"}, nil
	})
	e.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: resolveHere}
	for address, refused := range map[string]bool{
		"api.vendor.example:443": true, "API.VENDOR.example:443": true, "xn--bcher-kva.example:443": true,
		"other.example:443": true, "api.vendor.example:80": true, "proxy.example:443": true, "no port": true,
		"proxy.example:0": false,
	} {
		c, err := e.dial(t.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()
			t.Errorf("%s: connected", address)
		}
		if errors.Is(err, errEgress) != refused {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// Nothing is sent to a host that is not configured, and a name that resolves to this machine is not called.
func TestOnlyConfiguredHostsAreCalled(t *testing.T) {
	t.Parallel()
	called := false
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer srv.Close()
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	h := NewHTTP(HTTPConfig{Bases: []string{"https://api.vendor.example"}})
	defer h.Close()
	if _, err := h.Send(t.Context(), Request{Op: "read", Method: http.MethodGet, URL: srv.URL}); ClassOf(err) != Refused {
		t.Errorf("a host that is not configured: %v", err)
	}
	inward := NewHTTP(HTTPConfig{Bases: []string{"https://api.vendor.example" + port}})
	defer inward.Close()
	inward.egress.dialer.Resolver = &net.Resolver{PreferGo: true, Dial: resolveHere}
	if _, err := inward.Send(t.Context(), Request{Op: "move", Method: http.MethodPost, URL: "https://api.vendor.example" + port, Write: true}); !errors.Is(err, errEgress) || ClassOf(err) != NotExecuted {
		t.Errorf("a public name that is this machine: %v", err)
	}
	if called {
		t.Error("the server was called")
	}
}

// resolveHere is a name server that says 127.0.0.1 of every name.
func resolveHere(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		var size [2]byte
		if _, err := io.ReadFull(server, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(server, query); err != nil {
			return
		}
		end := 12 + bytes.IndexByte(query[12:], 0) + 5 // header, name, type and class
		answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
		if query[end-3] == 1 { // A
			answer[7] = 1
			answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1)
		}
		_, _ = server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}()
	return client, nil
}

// Certificates are verified, whatever configuration is given.
func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	bad := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	bad.RootCAs, bad.InsecureSkipVerify = nil, true
	for _, c := range []struct {
		name string
		cfg  HTTPConfig
		ok   bool
	}{
		{"system roots", HTTPConfig{}, false},
		{"told not to verify", HTTPConfig{TLS: bad}, false},
		{"its own root", HTTPConfig{TLS: srv.Client().Transport.(*http.Transport).TLSClientConfig}, true},
	} {
		c.cfg.Bases = []string{srv.URL}
		h := NewHTTP(c.cfg)
		_, err := h.Send(t.Context(), Request{Op: "read", Method: http.MethodGet, URL: srv.URL})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && ClassOf(err) != NotExecuted {
			t.Errorf("%s: class %s", c.name, ClassOf(err))
		}
		h.Close()
	}
}
