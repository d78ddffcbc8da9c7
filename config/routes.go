package config

import (
	"fmt"
	"strings"
)

func (c *Config) checkRoutes() {
	if len(c.Routes) == 0 {
		if n := c.doc.places["routes"]; n == nil || len(n.Content) == 0 {
			c.wrong("add:  routes: [ upstream: http://127.0.0.1:3000 ]", "routes", "there is no route, so nothing would be served")
		}
		return
	}
	for i := range c.Routes {
		c.checkRoute(&c.Routes[i], fmt.Sprintf("routes[%d]", i))
	}
	c.checkTies()
}

func (c *Config) checkRoute(r *Route, path string) {
	c.checkWay(r, path)
	c.checkMatch(&r.Match, path+".match")
	c.checkRewriting(r, path)
	if r.UpstreamAuth != nil {
		c.checkUpstreamAuth(r, path)
	}
	if r.CORSPreflight != "" {
		oneOf(c, path+".cors_preflight", r.CORSPreflight, "pass")
	}
	if r.DeviceBound != "" {
		c.checkDeviceBound(r, path)
	}
	for i, h := range r.PassHeaders {
		if !isToken(h) {
			c.wrong("", fmt.Sprintf("%s.pass_headers[%d]", path, i), "%q is no header name", h)
		}
	}
	c.checkPassed(r, path)
	for i, p := range r.PathChars {
		oneOf(c, fmt.Sprintf("%s.path_chars[%d]", path, i), p, "encoded_slash", "semicolon", "double_slash")
	}
	for i, p := range r.LogoutPaths {
		at := fmt.Sprintf("%s.logout_paths[%d]", path, i)
		if strings.Contains(p, "?") {
			c.wrong("name a path that does nothing else", at, "%q holds a query, which no rule reads", p)
		} else if msg := badPath(p); msg != "" {
			c.wrong("", at, "%s", msg)
		}
	}
	c.checkOrigins(r.Origins, path+".origins")
	c.checkProtection(r, path)
}

// checkDeviceBound looks at what a route makes of device bound sessions.
func (c *Config) checkDeviceBound(r *Route, path string) {
	at := path + ".device_bound"
	oneOf(c, at, r.DeviceBound, "off", "prefer", "require")
	if r.DeviceBound != "require" {
		return
	}
	switch {
	case c.PublicURL != nil && c.PublicURL.Scheme != "https":
		c.wrong("", at, "browsers bind sessions at https alone, and public_url is at http: nobody would ever pass")
	case r.Public:
		c.wrong("", at, "the route is public: whoever passes needs no session")
	case r.Bearer:
		c.wrong("give those clients a route of their own", at, "bearer takes a token in place of a session, and it is bound to nothing")
	}
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

func (c *Config) checkMatch(m *Match, path string) {
	host := strings.TrimPrefix(m.Host, "*.")
	switch {
	case m.Host == "":
		if c.given(path + ".host") {
			c.wrong("leave the line out to match every host", path+".host", "it is empty")
		}
	case strings.Contains(host, "*"):
		c.wrong("write *.example.com", path+".host", "a * stands for the first label alone")
	case strings.ContainsAny(host, ":/@ []\\?#%") || strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") || strings.Contains(host, "..") || host == "":
		c.wrong("write it as wiki.example.com, with no scheme, port or path", path+".host", "%q is no host name", m.Host)
	}
	if m.Path != "" || c.given(path+".path") {
		if msg := badPath(m.Path); msg != "" {
			c.wrong("", path+".path", "%s", msg)
		}
	}
	if c.given(path+".methods") && len(m.Methods) == 0 {
		c.wrong("leave the line out to match every method", path+".methods", "the list is empty")
	}
	for i, name := range m.Methods {
		oneOf(c, fmt.Sprintf("%s.methods[%d]", path, i), name, methods...)
	}
}

// badPath says why a path cannot be matched, or "".
func badPath(p string) string {
	if !strings.HasPrefix(p, "/") {
		return fmt.Sprintf("a path begins with /, got %q", p)
	}
	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		switch {
		case s == "" && i < len(segments)-1:
			return fmt.Sprintf("%q has an empty segment, which no request that passes has", p)
		case s == "." || s == "..":
			return fmt.Sprintf("%q has a dot segment, which no request that passes has", p)
		case strings.Contains(s, "*") && s != "*":
			return fmt.Sprintf("in %q the * is not a whole segment; a path that ends in / matches everything under it", p)
		case strings.ContainsAny(s, ";\\?#") || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return fmt.Sprintf("%q has a character that no path is matched by", p)
		}
	}
	return ""
}

// checkTies refuses two routes that are equally specific for some request: of one host
// and path, with a method in common, or both without methods.
func (c *Config) checkTies() {
	type place struct{ host, path, method string }
	first := make(map[place]int, len(c.Routes))
	for i := range c.Routes {
		m := &c.Routes[i].Match
		at := place{host: m.Host, path: m.Path}
		if at.path == "" {
			at.path = "/"
		}
		tied := -1
		take := func(method string) {
			at.method = method
			if j, taken := first[at]; !taken {
				first[at] = i
			} else if j != i && (tied < 0 || j < tied) {
				tied = j
			}
		}
		if len(m.Methods) == 0 { // a list is more specific than none, so those two do not tie
			take("")
		}
		for _, method := range m.Methods {
			take(method)
		}
		if tied >= 0 {
			line := c.doc.node(fmt.Sprintf("routes[%d]", tied)).Line
			c.wrong("tell them apart by host, path or methods", fmt.Sprintf("routes[%d]", i), "it matches the same requests as the route on line %d", line)
		}
	}
}
