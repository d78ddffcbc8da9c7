package config

import (
	"strings"
)

// What host: may say beside a name.
const (
	HostPreserve = "preserve"
	HostUpstream = "upstream"
)

// checkRewriting looks at how requests of a route differ upstream.
func (c *Config) checkRewriting(r *Route, path string) {
	stripped := c.checkPrefix(r.StripPrefix, path+".strip_prefix")
	c.checkPrefix(r.AddPrefix, path+".add_prefix")
	if stripped && r.Match.Path != r.StripPrefix && !strings.HasPrefix(r.Match.Path, r.StripPrefix+"/") {
		at := path + ".match.path"
		if !c.given(at) {
			at = path + ".strip_prefix"
		}
		c.wrong("write match: { path: "+r.StripPrefix+"/ }", at, "the route also matches requests that are not under %s, which cannot be taken off them", r.StripPrefix)
	}
	c.checkHostSent(r.Host, path+".host")
}

// checkPrefix reports whether a prefix is given and can be one.
func (c *Config) checkPrefix(p, path string) bool {
	if !c.given(path) {
		return false
	}
	switch msg := badPath(p); {
	case p == "" || p == "/":
		c.wrong("leave the line out", path, "%q is everything, so it changes nothing", p)
	case msg != "":
		c.wrong("write it as /app", path, "%s", msg)
	case strings.HasSuffix(p, "/"):
		c.wrong("write "+strings.TrimRight(p, "/"), path, "a prefix is written without a slash at its end")
	case strings.Contains(p, "*"):
		c.wrong("", path, "%q holds a *, and a prefix is one path", p)
	default:
		return true
	}
	return false
}

func (c *Config) checkHostSent(host, path string) {
	if !c.given(path) || host == HostPreserve || host == HostUpstream {
		return
	}
	name, port, hasPort := strings.Cut(host, ":")
	switch near := nearest(host, []string{HostPreserve, HostUpstream}); {
	case near != "":
		c.wrong("did you mean "+near+"?", path, "want preserve, upstream or a host name, got %q", host)
	case name == "" || strings.ContainsAny(name, "/@ []\\?#%*\"'") || strings.HasPrefix(name, ".") || strings.Contains(name, "..") || hasPort && !isPort(port):
		c.wrong("write it as wiki.internal or wiki.internal:8080, with no scheme and path", path, "want preserve, upstream or a host name, got %q", host)
	}
}
