package main

import (
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/proxy"
)

// protect gives a route what guards it beside its rule.
func protect(route *proxy.Route, r *config.Route) {
	if c := r.CSRF; c != nil {
		route.CSRF = &proxy.CSRF{Except: c.Except, Origins: c.Origins}
	}
	if s := r.SecureHeaders; s != nil {
		route.SecureHeaders = &proxy.SecureHeaders{Level: s.Level, Overwrite: s.Overwrite, Except: s.Except, Set: s.Set}
	}
	for _, l := range r.RateLimits {
		route.RateLimits = append(route.RateLimits, proxy.RateLimit{Requests: l.Requests, Per: l.Per, Burst: l.Burst, By: proxy.RateBy(l.By)})
	}
}
