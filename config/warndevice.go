package config

import (
	"fmt"
	"time"
)

// leastBoundFor is what Chromium's quota allows for: it signs so many proofs in so much time,
// and sends requests without one when they are used up.
const leastBoundFor = 5 * time.Minute

// warnDevices tells of sessions that no browser would bind to its device, or prove to be bound
// too often.
func (c *Config) warnDevices(warn warner) {
	if b := c.Session.BoundFor; b < leastBoundFor {
		warn("session.bound_for", "every %s a browser has to prove its key: it has a quota for that, and beyond it people get 503 for a while; write 5m or more", showDuration(b))
	}
	if c.PublicURL == nil || c.PublicURL.Scheme != "https" || c.TLS.CertFile != "" || c.TLS.ACME != nil || len(c.TrustedProxies) > 0 {
		return
	}
	for i := range c.Routes {
		if c.Routes[i].DeviceBound == "require" {
			warn(fmt.Sprintf("routes[%d].device_bound", i), "no browser will be asked to bind its session, so that nobody passes: requests come over plain http here, "+
				"and nobody is believed who says that they were https in front; list the proxy in trusted_proxies, or set tls")
		}
	}
}
