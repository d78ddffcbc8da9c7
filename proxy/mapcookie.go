package proxy

import "strings"

// refresh maps the URL of a Refresh header, which browsers read as HTML has it:
// seconds, a separator, perhaps "url=", perhaps quotes.
func (m *mapping) refresh(s string) string {
	const space = " \t"
	i := strings.IndexAny(s, ";,")
	if i < 0 {
		return s
	}
	i++
	skip := func() {
		for i < len(s) && strings.IndexByte(space, s[i]) >= 0 {
			i++
		}
	}
	skip()
	if len(s) >= i+3 && strings.EqualFold(s[i:i+3], "url") {
		from := i
		i += 3
		skip()
		if i < len(s) && s[i] == '=' {
			i++
			skip()
		} else {
			i = from // an address that begins with these letters
		}
	}
	end := len(s)
	if i < len(s) && (s[i] == '"' || s[i] == '\'') {
		i++
		if n := strings.IndexByte(s[i:], s[i-1]); n >= 0 {
			end = i + n
		}
	}
	return s[:i] + m.address(s[i:end]) + s[end:]
}

// cookie maps the Domain and Path of a Set-Cookie line and leaves every other
// byte as it is.
func (m *mapping) cookie(line string) string {
	pieces := strings.Split(line, ";")
	// Browsers take a cookie of this prefix with Path=/ alone.
	host := len(pieces[0]) > 7 && strings.EqualFold(strings.TrimLeft(pieces[0], " \t")[:7], "__Host-")
	hasPath := false
	kept := pieces[:1]
	for _, piece := range pieces[1:] {
		name, value, _ := strings.Cut(piece, "=")
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "domain":
			if m.isOwnDomain(value) {
				continue // the browser's host alone
			}
		case "path":
			hasPath = true
			if mapped := m.cookiePath(value); !host && mapped != value {
				piece = name + "=" + mapped
			}
		}
		kept = append(kept, piece)
	}
	if !hasPath && !host && m.strip != "" && m.public == m.strip {
		// The browser would take the folder of /w, which is everybody's.
		kept = append(kept, " Path="+m.strip)
	}
	return strings.Join(kept, ";")
}

// isOwnDomain reports whether a cookie's Domain is the upstream's host or a
// parent of it. The browser knows neither; and if one happens to be a parent of
// its own host as well, the app did not choose it for that one.
func (m *mapping) isOwnDomain(domain string) bool {
	domain = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(domain, "."), "."))
	public, _, _ := cleanHost(m.host)
	if domain == "" || domain == public {
		return false
	}
	within := func(host string) bool {
		name, _, _ := cleanHost(host)
		return name != public && (name == domain || strings.HasSuffix(name, "."+domain))
	}
	if within(m.sent) {
		return true
	}
	for _, t := range m.targets {
		if within(t.url.Host) {
			return true
		}
	}
	return false
}

// cookiePath maps the Path of a cookie, which is for all that is below it.
func (m *mapping) cookiePath(p string) string {
	if !strings.HasPrefix(p, "/") || m.strip == "" && m.add == "" {
		return p // without a slash the browser takes the folder of the page
	}
	if isUnder(m.add, strings.TrimSuffix(p, "/")) {
		if m.strip == "" { // everything that the route reaches
			return "/"
		}
		return m.strip
	}
	return m.path(p)
}
