package config

import (
	"net/url"
	"slices"
	"strings"
)

// checkDPoP looks whether the proofs of a route can be made.
func (c *Config) checkDPoP(r *Route, path string, names []string) {
	t, at := &r.Token, path+".dpop"
	if c.given(path + ".dpop_url") {
		u, err := url.Parse(t.DPoPURL)
		switch {
		case !t.DPoP:
			c.wrong("add dpop: true", path+".dpop_url", "it says what proofs are for, and none go up")
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			c.wrong("write it as https://api.example.com, with a path if it has one in front of those that it gets", path+".dpop_url",
				"%q is no address by which an app knows itself", t.DPoPURL)
		}
	}
	if !t.DPoP {
		return
	}
	switch {
	case t.Type != "" && t.Type != "access":
		c.wrong("leave type out, or set type: access", at, "a provider binds its access tokens alone, and this route sends %s", t.Type)
	case r.Bearer:
		c.wrong("give those clients a route of their own", at, "bearer takes a token of the client's own, and the key that it may be bound to is the client's too")
	case c.ForwardAuth != nil:
		c.wrong("serve the app by a gateway that carries its requests", at,
			"a proof is for one request as the app sees it, and behind forward_auth the proxy in front sends that")
	}
	for _, name := range names {
		if r.Providers == nil || slices.Contains(r.Providers, name) {
			c.checkBinds(name, at)
		}
	}
}

// checkBinds refuses a way to sign in whose tokens no proof could go with.
func (c *Config) checkBinds(name, at string) {
	i := slices.IndexFunc(c.Identity, func(id Identity) bool { return id.OIDC != nil && id.OIDC.Name == name })
	switch {
	case i < 0:
		c.wrong("list the providers of the route, without "+name, at, "people who sign in at %s have no token of a provider", name)
	case !c.Identity[i].OIDC.DPoP:
		c.wrong("set dpop: true there, or list the providers of the route without it", at, "the provider %s is not asked to bind its tokens", strings.TrimSpace(name))
	}
}
