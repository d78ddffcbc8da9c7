package config

import (
	"fmt"
	"net"
)

// ForwardAuth answers a proxy in front that carries requests to apps by itself, and asks
// about each first.
type ForwardAuth struct {
	// Listen is where it asks: an address for that proxy alone.
	Listen string `yaml:"listen"`
	// Dialect is how it asks: nginx, traefik, caddy, haproxy or envoy.
	Dialect string `yaml:"dialect"`
}

// Dialects are how front proxies ask.
var Dialects = []string{"nginx", "traefik", "caddy", "haproxy", "envoy"}

// ForwardListen is where a proxy in front asks; "" where none does.
func (c *Config) ForwardListen() string {
	if c.ForwardAuth == nil {
		return ""
	}
	return c.ForwardAuth.Listen
}

// checkForwardAuth looks at what a front proxy is told.
func (c *Config) checkForwardAuth() {
	f := c.ForwardAuth
	if f == nil {
		return
	}
	if !c.given("forward_auth.listen") {
		c.wrong("add:  listen: 127.0.0.1:9091", "forward_auth", "listen is missing")
	}
	if c.given("forward_auth.dialect") || f.Dialect != "" {
		oneOf(c, "forward_auth.dialect", f.Dialect, Dialects...)
	} else {
		c.wrong("add:  dialect: nginx, or one of the others", "forward_auth", "dialect is missing: want %s", listed(Dialects))
	}
	if len(c.TrustedProxies) == 0 {
		c.wrong("add a line with its address:  trusted_proxies: [127.0.0.1]", "forward_auth", "only trusted_proxies may ask, and none is listed")
	}
	if c.Session.Store == "cookie" {
		c.wrong("use bolt or redis", "session.store", "behind forward_auth the answers are another proxy's, so the cookie could not be renewed")
	}
}

// Decides reports whether a route leaves its requests to a proxy in front, which asks about
// them.
func (c *Config) Decides(r *Route) bool {
	return c.ForwardAuth != nil && r.Upstream == nil && r.Redirect == nil && r.Respond == nil && r.Static == nil && !r.Admin
}

// checkDecides refuses what only says something where the gateway carries requests.
func (c *Config) checkDecides(path string) {
	for _, key := range []string{"strip_prefix", "add_prefix", "rewrite", "host", "response_headers", "secure_headers", "pass_headers",
		"compress", "replace_errors", "timeouts", "upstream_auth"} {
		if c.given(path + "." + key) {
			c.wrong("remove it, or name the upstream so that the gateway carries the requests", path+"."+key,
				"it is about what goes up and comes back, and this route has no upstream: the proxy in front carries its requests")
		}
	}
	for _, key := range []string{"add", "remove"} {
		if at := path + ".request_headers." + key; c.given(at) {
			c.wrong("use set", at, "the proxy in front is told which headers to set, and nothing else")
		}
	}
}

// warnForwardAuth tells of what does not hold behind a proxy that asks.
func (c *Config) warnForwardAuth(warn warner) {
	f := c.ForwardAuth
	if f == nil {
		return
	}
	if host, _, err := net.SplitHostPort(f.Listen); err == nil && !IsLoopback(host) {
		warn("forward_auth.listen", "answers have people's tokens in them and travel in the clear: only the proxy in front may reach this address, by a network that nobody else is on")
	}
	for i, p := range c.TrustedProxies {
		if p.Bits() < 8 && p.Addr().Is4() || p.Bits() < 32 && p.Addr().Is6() {
			warn(fmt.Sprintf("trusted_proxies[%d]", i), "%s is more than a network of your own, and whoever is in it may ask about any request as anybody's proxy", p)
		}
	}
}
