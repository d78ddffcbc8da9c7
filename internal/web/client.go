package web

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
)

// origin returns the address of the client and the scheme it used. They are
// the peer's own unless the peer is a trusted proxy that says otherwise, in the
// one header that is believed: the other may be the client's own.
func origin(r *http.Request, trusted []netip.Prefix, rfc7239 bool) (netip.Addr, string) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	var peer netip.Addr // none on a unix socket
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		peer = ap.Addr().Unmap().WithZone("")
	}
	if !contains(trusted, peer) || isProxysOwn(r.Context()) {
		return peer, scheme
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
	return forwardedFor(r.Header, peer, trusted), scheme
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
// the peer is all that is known.
func forwardedFor(h http.Header, peer netip.Addr, trusted []netip.Prefix) netip.Addr {
	client := peer
	list := hops{lines: h.Values("X-Forwarded-For")}
	for {
		element, ok := list.next()
		if !ok && list.tooMany() {
			return peer
		} else if !ok {
			return client // all are trusted: the farthest is who asked
		}
		addr, err := netip.ParseAddr(strings.TrimSpace(element))
		if err != nil || addr.Zone() != "" {
			return peer
		}
		if client = addr.Unmap(); !contains(trusted, client) {
			return client
		}
	}
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

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
