package web

import (
	"net/http"
	"net/netip"
	"strings"
)

// forwarded is what the header of RFC 7239 says of the client. Like
// forwardedFor it walks from the right to the first address that is no trusted
// proxy; the scheme is the one in that element, by which the client came. An
// element on the way that cannot be read, or hides an address, makes the header
// say nothing: the peer is all that is known, and the scheme is its own.
func forwarded(h http.Header, peer netip.Addr, scheme string, trusted []netip.Prefix) (netip.Addr, string, error) {
	client, proto := peer, scheme
	list := hops{lines: h.Values("Forwarded"), quotes: true}
	for {
		next, ok := list.next()
		if !ok && list.tooMany() {
			return peer, scheme, errTooManyHops
		} else if !ok {
			return client, proto, nil
		}
		addr, by, ok := element(next)
		if !ok {
			return peer, scheme, unreadable(next)
		}
		client = addr
		if proto = scheme; by != "" {
			proto = by
		}
		if !IsTrusted(trusted, client) {
			return client, proto, nil
		}
	}
}

// element reads for= and proto= of one forwarded-element (RFC 7239 section 4).
func element(s string) (addr netip.Addr, proto string, ok bool) {
	pairs, ok := split(s, ';')
	if !ok {
		return addr, "", false
	}
	seen := map[string]bool{}
	for _, pair := range pairs {
		name, value, found := strings.Cut(strings.TrimSpace(pair), "=")
		name = strings.ToLower(name)
		if value, ok = unquote(value); !found || !ok || seen[name] {
			return addr, "", false
		}
		seen[name] = true
		switch name {
		case "for":
			if addr, ok = node(value); !ok {
				return addr, "", false
			}
		case "proto":
			if proto = strings.ToLower(value); proto != "http" && proto != "https" {
				return addr, "", false
			}
		}
	}
	return addr, proto, seen["for"]
}

// node reads a node (RFC 7239 section 6): an address, in brackets if it is IPv6,
// and maybe a port. "unknown" and made-up names are none.
func node(s string) (netip.Addr, bool) {
	if rest, found := strings.CutPrefix(s, "["); found {
		inside, port, closed := strings.Cut(rest, "]")
		addr, err := netip.ParseAddr(inside)
		return addr.Unmap(), closed && err == nil && addr.Is6() && addr.Zone() == "" && (port == "" || isPort(port))
	}
	port := ""
	if i := strings.IndexByte(s, ':'); i >= 0 {
		s, port = s[:i], s[i:]
	}
	addr, err := netip.ParseAddr(s)
	return addr, err == nil && (port == "" || isPort(port))
}

// isPort is true of a colon with a port, which may be made up too.
func isPort(s string) bool {
	return len(s) > 1 && len(s) < 64 && s[0] == ':' && !strings.ContainsFunc(s[1:], func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && !strings.ContainsRune("._-", r)
	})
}

// split cuts s at each sep that is not inside quotes.
func split(s string, sep byte) (parts []string, ok bool) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts, from = append(parts, s[from:i]), i+1
		}
	}
	return append(parts, s[from:]), !quoted
}

// unquote reads a token or a quoted-string (RFC 9110 section 5.6).
func unquote(s string) (string, bool) {
	inside, found := strings.CutPrefix(s, `"`)
	if !found {
		return s, s != "" && !strings.ContainsAny(s, `"\ []:`+"\t")
	}
	var b strings.Builder
	for i := 0; i < len(inside); i++ {
		switch c := inside[i]; {
		case c == '"':
			return b.String(), i == len(inside)-1
		case c == '\\':
			if i++; i == len(inside) {
				return "", false
			}
			b.WriteByte(inside[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
