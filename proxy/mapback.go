package proxy

import (
	"net/http"
	"strings"
)

// mapping is the way back of one answer: from addresses as the upstream knows
// them to addresses as the browser does. An address that is not the upstream's,
// or that cannot be told for sure, stays as it came, byte for byte.
type mapping struct {
	strip, add string // as Rewrite has them; add begins with the path of the target
	scheme     string // the browser's
	host       string // the browser's, with its port if that is not the usual one
	sent       string // the Host header that the upstream got
	targets    []*target
	public, up string // the paths of the request
	asked      string // the target of the request, as the browser has it, if asking again would be a loop
}

// mapBack rewrites what an answer says about addresses.
func (c *carriage) mapBack(h http.Header) {
	u := c.route.Upstream
	if !c.route.Rewrite.changes() && u.host == "" && !u.targetHost {
		return
	}
	m := c.mapping()
	if (c.in.Method == http.MethodGet || c.in.Method == http.MethodHead) && h["Set-Cookie"] == nil {
		m.asked = c.target.URI()
	}
	for _, name := range [...]string{"Location", "Content-Location"} {
		for i, v := range h[name] {
			h[name][i] = m.address(v)
		}
	}
	for i, v := range h["Refresh"] {
		h["Refresh"][i] = m.refresh(v)
	}
	for i, v := range h["Set-Cookie"] {
		h["Set-Cookie"][i] = m.cookie(v)
	}
}

// mapping is the way back from where the request went.
func (c *carriage) mapping() *mapping {
	u := c.route.Upstream
	return &mapping{
		strip: c.route.Rewrite.StripPrefix, add: c.to.base + c.route.Rewrite.AddPrefix, scheme: c.scheme, host: c.host,
		sent: u.hostFor(c, c.to), targets: u.targets, public: c.target.Path, up: c.to.base + c.up.Path,
	}
}

// address maps a URL or a reference to one (RFC 3986 section 4.1).
func (m *mapping) address(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }) {
		return s // browsers drop or change these, and read something else than is written
	}
	origin, rest := "", s
	if scheme, after := cutScheme(s); strings.HasPrefix(after, "//") {
		end := strings.IndexAny(after[2:], "/?#")
		if end < 0 {
			end = len(after) - 2
		}
		if !m.isOwn(scheme, after[2:2+end]) {
			return s
		}
		origin, rest = m.scheme+"://"+m.host, after[2+end:]
	} else if scheme != "" {
		return s
	}
	path, tail := rest, ""
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		path, tail = rest[:i], rest[i:]
	}
	if origin == "" && (path == "" || m.strip == "" && m.add == "") {
		return s // this very page, or a part of it
	}
	mapped := m.path(path)
	if query, _, _ := strings.Cut(tail, "#"); mapped+query == m.asked && m.asked != "" && m.resolved(path) != m.up {
		// The app sends the browser to another page than it was asked for, and this
		// would be the same one again, for ever. So it meant the other reading.
		mapped = m.otherwise(path, mapped)
	}
	if origin == "" && mapped == path {
		return s
	}
	return origin + mapped + tail
}

// cutScheme splits off a scheme, in lower case; "" is none.
func cutScheme(s string) (scheme, rest string) {
	i := strings.IndexAny(s, ":/?#")
	if i <= 0 || s[i] != ':' {
		return "", s
	}
	return strings.ToLower(s[:i]), s[i+1:]
}

// isOwn reports whether an authority is the upstream's. A scheme of "" is the
// page's own, whichever that is.
func (m *mapping) isOwn(scheme, authority string) bool {
	if scheme == "" {
		return m.isOwn("http", authority) || m.isOwn("https", authority)
	}
	name, port, ok := cleanHost(authority)
	if scheme != "http" && scheme != "https" || !ok || name == "" {
		return false
	}
	port = orDefaultPort(scheme, port)
	sentName, sentPort, _ := cleanHost(m.sent)
	// Apps build addresses from Host, without always knowing which scheme the browser uses.
	if name == sentName && port == orDefaultPort(scheme, sentPort) {
		return true
	}
	for _, t := range m.targets {
		if t.socket != "" {
			continue
		}
		own, ownPort, _ := cleanHost(t.url.Host)
		if t.url.Scheme == scheme && orDefaultPort(scheme, ownPort) == port && (own == name || sentName == name) {
			return true // a server may know its name by Host and its port by itself
		}
	}
	return false
}

func orDefaultPort(scheme, port string) string {
	switch {
	case port != "":
		return port
	case scheme == "https":
		return "443"
	}
	return "80"
}

// resolved is a path as the upstream means it: absolute and without dot segments.
func (m *mapping) resolved(p string) string {
	if p != "" && p[0] != '/' {
		p = m.up[:strings.LastIndexByte(m.up, '/')+1] + p
	}
	if !strings.Contains(p, "/.") && !strings.Contains(p, "/%2") {
		return p
	}
	var kept []string
	segments := strings.Split(p, "/")[1:]
	for i, s := range segments {
		last := i == len(segments)-1
		switch strings.ReplaceAll(strings.ToLower(s), "%2e", ".") {
		case ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept, last = append(kept, s), false
		}
		if last {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

// path maps a path of the upstream's. What begins with the stripped prefix
// already was written by an app that heeds X-Forwarded-Prefix, and what is not
// under the added one cannot be reached by this route.
func (m *mapping) path(p string) string {
	if m.strip == "" && m.add == "" {
		return p
	}
	q := m.resolved(p)
	switch {
	case isReserved(q): // a link to the gateway's own pages, signing out above all
		return p
	case m.add != "" && isUnder(q, m.add):
		return m.put(q, p)
	case m.add == "" && !isUnder(q, m.strip):
		return m.put(q, p)
	}
	return p
}

// put takes the added prefix off q and puts the stripped one in front. Where that
// would name a host, it is p still.
func (m *mapping) put(q, p string) string {
	q = m.strip + strings.TrimPrefix(q, m.add)
	if q == m.strip && (p == "" || q == "") {
		q += "/"
	}
	if strings.HasPrefix(q, "//") {
		return p
	}
	return q
}

// otherwise is the other way to read a path than the one that led to mapped.
func (m *mapping) otherwise(p, mapped string) string {
	if q := m.resolved(p); m.add == "" && mapped == p {
		return m.put(q, p)
	}
	return p
}
