package proxy

import (
	"net/netip"
	"net/url"
	"strings"
)

// cleanHost splits a Host header into its name, in lower case and without
// trailing dot, and its port. It refuses what no host is made of: an empty label too,
// but for the root's, which is the one trailing dot.
func cleanHost(host string) (name, port string, ok bool) {
	name = host
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return "", "", false
		}
		name, port = host[:end+1], host[end+1:]
		if a, err := netip.ParseAddr(host[1:end]); err != nil || !a.Is6() { // others read a name in brackets as that name
			return "", "", false
		}
		if port != "" && port[0] != ':' {
			return "", "", false
		}
		port = strings.TrimPrefix(port, ":")
	} else if i := strings.IndexByte(host, ':'); i >= 0 {
		name, port = host[:i], host[i+1:]
	}
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return "", "", false
		}
	}
	bracket := strings.HasPrefix(name, "[")
	last, upper := byte('.'), false // the byte before, as if a label had ended there
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.':
			if last == '.' {
				return "", "", false
			}
		case 'A' <= c && c <= 'Z':
			upper = true
		case unreserved(c) && c != '~', bracket && (c == ':' || c == '[' && i == 0 || c == ']'):
		default:
			return "", "", false
		}
		last = c
	}
	if name = strings.TrimSuffix(name, "."); upper {
		name = strings.ToLower(name)
	}
	return name, port, len(port) <= 5
}

func withoutDefaultPort(scheme, host string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// cleanOrigin returns an origin as browsers write it (RFC 6454 section 6.1).
func cleanOrigin(o string) (string, bool) {
	u, err := url.Parse(strings.ToLower(strings.TrimSuffix(o, "/")))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" {
		return "", false
	}
	return u.Scheme + "://" + withoutDefaultPort(u.Scheme, u.Host), true
}

// knownMethod reports whether a method is carried: those of RFC 9110 and PATCH,
// WebDAV and its kin, and QUERY. CONNECT would make the gateway an open tunnel
// and TRACE would show a script the token.
func knownMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "ACL", "REPORT", "SEARCH",
		"MKCALENDAR", "BIND", "UNBIND", "REBIND", "LABEL", "MERGE", "CHECKIN", "CHECKOUT", "UNCHECKOUT",
		"UPDATE", "VERSION-CONTROL", "MKWORKSPACE", "MKACTIVITY", "BASELINE-CONTROL", "ORDERPATCH",
		"LINK", "UNLINK", "MKREDIRECTREF", "UPDATEREDIRECTREF":
		return true
	}
	return false
}
