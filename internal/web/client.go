package web

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// origin returns the address of the client and the scheme it used. They are
// the peer's own unless the peer is a trusted proxy that says otherwise, in the
// one header that is believed: the other may be the client's own. Where that cannot
// be read the peer is all that is known, and err says why: rules by address must not
// take it for somebody who asks from where the proxy is.
func origin(r *http.Request, trusted []netip.Prefix, rfc7239 bool) (client netip.Addr, scheme string, err error) {
	scheme = "http"
	if r.TLS != nil {
		scheme = "https"
	}
	peer := PeerOf(r)
	if !IsTrusted(trusted, peer) || isProxysOwn(r.Context()) {
		return peer, scheme, nil
	}
	if rfc7239 {
		return forwarded(r.Header, peer, scheme, trusted)
	}
	if proto := r.Header.Values("X-Forwarded-Proto"); len(proto) == 1 {
		switch strings.ToLower(strings.TrimSpace(proto[0])) {
		case "http":
			scheme = "http"
		case "https":
			scheme = "https"
		}
	}
	client, err = forwardedFor(r.Header, peer, trusted)
	return client, scheme, err
}

type proxysOwnKey struct{}

// WithProxysOwn returns the context of a connection on which a trusted proxy may
// say that it knows no client. Own reports that, and is asked for each request. No
// header of such a request is believed: the proxy that knows nobody wrote none, or
// it is the proxy itself that asks, which needs none.
func WithProxysOwn(ctx context.Context, own func() bool) context.Context {
	return context.WithValue(ctx, proxysOwnKey{}, own)
}

func isProxysOwn(ctx context.Context) bool {
	own, ok := ctx.Value(proxysOwnKey{}).(func() bool)
	return ok && own()
}

// forwardedFor walks the list from its right end, which the trusted peer
// wrote, to the first address that is no trusted proxy: what stands left of it
// is the client's own fiction, and is not looked at. Anything on the way that is
// no plain address, and a chain without end, make the whole list worthless, and
// the peer is all that is known. That goes for an empty element too: a proxy that had
// nobody to add leaves the client's own fiction in front of it.
func forwardedFor(h http.Header, peer netip.Addr, trusted []netip.Prefix) (netip.Addr, error) {
	client := peer
	list := hops{lines: h.Values("X-Forwarded-For")}
	for {
		element, ok := list.next()
		if !ok && list.tooMany() {
			return peer, errTooManyHops
		} else if !ok {
			return client, nil // all are trusted: the farthest is who asked
		}
		if client, ok = plainNode(strings.TrimSpace(element)); !ok {
			return peer, unreadable(element)
		}
		if !IsTrusted(trusted, client) {
			return client, nil
		}
	}
}

// plainNode reads an address as it stands in X-Forwarded-For: alone, and without a zone.
func plainNode(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	return addr.Unmap(), err == nil && addr.Zone() == ""
}

var errTooManyHops = fmt.Errorf("more than %d trusted proxies", maxHops)

func unreadable(element string) error {
	return fmt.Errorf("%q names no address", clip(strings.TrimSpace(element), 64))
}

// Network is who counts as one client: an IPv4 address, or the /64 of IPv6 that one
// subscriber has to themselves and takes any address out of. The zero Prefix is an
// address that is not known; all of those share it.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // a length that fits; a zone is dropped
	return p
}

// Vicinity is the network that an address is of, as far as an address can tell: its provider or
// its company, and no household. That is 256 addresses of IPv4, and a /48 of IPv6. The zero
// Prefix is an address that is not known.
func Vicinity(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits) // a length that fits; a zone is dropped
	return p
}

// PeerOf is the address at the other end of r's connection, whoever that speaks for. It is
// the zero Addr on a unix socket.
func PeerOf(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

// IsTrusted reports whether one of trusted covers a, which is as PeerOf gives it. Nothing
// covers the zero Addr.
func IsTrusted(trusted []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}
