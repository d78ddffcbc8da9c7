package config

import "fmt"

// Warnings are what is allowed and should be looked at.
func (c *Config) Warnings() []*Fault {
	var all Faults
	warn := func(path, format string, args ...any) {
		f := c.Fault(path, "warning: "+fmt.Sprintf(format, args...))
		all = append(all, f)
	}
	c.warnBelieved(warn)
	c.warnListeners(warn)
	if c.TLS.ACME != nil && c.Session.Store == "redis" {
		warn("tls.acme", "each gateway gets certificates of its own, and answers the authority for its own orders: several behind one address need cert_file and key_file")
	}
	if c.Session.Store == "cookie" {
		warn("session.store", "sessions lie in cookies alone: run one gateway, and register no back-channel or front-channel logout, "+
			"which find nobody; a sign-out is forgotten at a restart, unless the provider revokes refresh tokens")
	}
	for i, r := range c.Routes {
		if r.Upstream != nil {
			c.warnUpstream(r.Upstream, fmt.Sprintf("routes[%d].upstream", i), warn)
		}
		c.warnProtection(&c.Routes[i], fmt.Sprintf("routes[%d]", i), warn)
		c.warnPassed(&c.Routes[i], fmt.Sprintf("routes[%d]", i), warn)
		if r.UpstreamAuth != nil && r.UpstreamAuth.Form != nil && c.Session.Store == "cookie" {
			warn(fmt.Sprintf("routes[%d].upstream_auth.form", i), "with session.store: cookie the app's cookies lie in memory: a restart signs everybody in at the app anew")
		}
	}
	c.warnForwardAuth(warn)
	c.warnTracing(warn)
	c.warnShadowed(warn)
	c.warnProofs(warn)
	c.warnPlain(warn)
	c.warnOwn(warn)
	c.warnRoutes(warn)
	c.warnWays(warn)
	c.warnDevices(warn)
	c.warnRisk(warn)
	c.warnObserving(warn)
	c.warnStars(warn)
	c.warnOpen(warn)
	c.warnFiles(warn)
	c.warnInline(warn)
	return all.Sorted()
}
