package proxy

import (
	"net/url"
	"strings"
)

// resolve is an address as the app writes it, on the page at path, as the app knows
// it. It is not ok where that is not the app's own.
func (v *visit) resolve(ref, path string) (*url.URL, bool) {
	ref = strings.TrimSpace(ref)
	u, err := url.Parse(ref)
	if ref == "" || err != nil || strings.Contains(ref, "\\") || u.Opaque != "" || u.User != nil {
		return nil, false
	}
	m := v.c.mapping()
	m.up = path
	if u.Host != "" {
		if !m.isOwn(u.Scheme, u.Host) && !v.isPublic(u) {
			return nil, false
		}
	} else if u.Scheme != "" {
		return nil, false
	}
	p := path
	if u.EscapedPath() != "" || u.Host != "" {
		p = v.known(m.resolved(u.EscapedPath()))
	}
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return &url.URL{Path: unescaped(p), RawPath: p, RawQuery: u.RawQuery}, true
}

// isPublic reports whether u is at the address that the browser has for the app, as
// apps write it that believe X-Forwarded-Host.
func (v *visit) isPublic(u *url.URL) bool {
	name, port, ok := cleanHost(u.Host)
	publicName, publicPort, _ := cleanHost(v.c.host)
	return ok && name == publicName && orDefaultPort(v.c.scheme, port) == orDefaultPort(v.c.scheme, publicPort)
}

// known is a path that the app wrote, as it knows it: one that heeds
// X-Forwarded-Prefix writes what browsers have.
func (v *visit) known(p string) string {
	m := v.c.mapping()
	if m.strip == "" && m.add == "" {
		return p
	}
	public := m.path(p)
	if !isUnder(public, m.strip) {
		return p
	}
	if p = m.add + strings.TrimPrefix(public, m.strip); p == "" {
		return "/"
	}
	return p
}

// ownDomain reports whether a cookie's Domain is the app's host or a parent of it, by
// any name that the app may know itself by.
func (v *visit) ownDomain(domain string) bool {
	for _, host := range []string{v.c.host, v.c.route.Upstream.hostFor(v.c, v.t), v.t.url.Host} {
		name, _, _ := cleanHost(host)
		if domain == name || strings.HasSuffix(name, "."+domain) {
			return true
		}
	}
	return false
}
