package config

import (
	"fmt"
	"slices"
	"strings"
)

// ProviderNames are the ways to sign in, in their order.
func (c *Config) ProviderNames() (names []string) {
	for _, id := range c.Identity {
		switch {
		case id.Local != nil:
			names = append(names, "local")
		case id.OIDC != nil:
			names = append(names, id.OIDC.Name)
		}
	}
	return names
}

// Prefix is what stands before the user names of a way to sign in: nothing where
// it is the only one, for two providers may call two people alike.
func (c *Config) Prefix(name string) string {
	if len(c.Identity) < 2 {
		return ""
	}
	return name + "/"
}

// Providers are the OpenID Connect providers.
func (c *Config) Providers() (all []*OIDC) {
	for i := range c.Identity {
		if o := c.Identity[i].OIDC; o != nil {
			all = append(all, o)
		}
	}
	return all
}

// checkProviders looks at what several ways to sign in mean for each other.
func (c *Config) checkProviders() {
	names := c.ProviderNames()
	twice := map[string]bool{}
	for i, id := range c.Identity {
		if id.OIDC == nil {
			continue
		}
		path := fmt.Sprintf("identity[%d].oidc", i)
		if twice[id.OIDC.Name] {
			c.wrong("give each a name of its own", path+".name", "there is another provider named %s", id.OIDC.Name)
		}
		twice[id.OIDC.Name] = true
	}
	c.eachRules(func(rules []Rule, path string) {
		c.checkEverybody(rules, path)
		c.checkNames(rules, path, names)
	})
	for i := range c.Routes {
		c.checkRouteIdentity(&c.Routes[i], fmt.Sprintf("routes[%d]", i), names)
	}
}

func (c *Config) checkRouteIdentity(r *Route, path string, names []string) {
	if r.Providers != nil && len(r.Providers) == 0 {
		c.wrong("leave the line out to take all of them", path+".providers", "the list is empty, so nobody could pass")
	}
	for j, p := range r.Providers {
		if c.doc.full() {
			return
		}
		if !slices.Contains(names, p) {
			c.noSuchProvider(fmt.Sprintf("%s.providers[%d]", path, j), p, names)
		}
	}
	if r.Public && c.given(path+".providers") {
		c.wrong("keep one of the two", path+".providers", "a public route lets everybody pass")
	}
	providers := c.Providers()
	if r.Bearer && !slices.ContainsFunc(providers, func(o *OIDC) bool { return len(o.BearerAudiences) > 0 }) {
		c.wrong("add bearer_audiences to an oidc provider", path+".bearer", "no provider says for which audiences a client's token may be")
	}
	c.checkToken(&r.Token, path+".token", len(providers) > 0)
	c.checkDPoP(r, path+".token", names)
	if host := r.Match.Host; host != "" && c.Session.Store == "cookie" && c.PublicURL != nil && host != strings.ToLower(c.PublicURL.Hostname()) {
		c.wrong("use bolt or redis, or serve it under a path of public_url's host", path+".match.host",
			"with session.store: cookie people are signed in on the host of public_url alone: each host would hold a refresh token of its own")
	}
}

// noSuchProvider tells of a name that no way to sign in has.
func (c *Config) noSuchProvider(path, name string, names []string) {
	hint := "there is " + listed(names)
	if near := nearest(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	c.wrong(hint, path, "no way to sign in is named %q", name)
}

// checkSignInRules refuses what a sign-in cannot be asked: it is no request to a route.
func (c *Config) checkSignInRules(rules []Rule, path string) {
	for i := range rules {
		if at := fmt.Sprintf("%s[%d].max_auth_age", path, i); c.given(at) {
			c.wrong("max_age bounds how old a sign-in at the provider may be; for apps put this into a route's rules", at,
				"it would end each session at the first renewal after that time")
		}
		for _, key := range []string{"methods", "networks", "times", "providers"} {
			if at := fmt.Sprintf("%s[%d].%s", path, i, key); c.given(at) {
				c.wrong("put it into a route's rules, or under default", at, "it says who may sign in at all, and is asked again without a request at each renewal")
			}
		}
	}
}

// checkNames refuses user names that could be anybody's: with several ways to
// sign in each has its own prefix. It also looks whether providers are there.
func (c *Config) checkNames(rules []Rule, path string, names []string) {
	for i, rule := range rules {
		for j, p := range rule.Providers {
			if p != "" && !slices.Contains(names, p) {
				c.noSuchProvider(fmt.Sprintf("%s[%d].providers[%d]", path, i, j), p, names)
			}
		}
		if len(names) < 2 {
			continue
		}
		for j, user := range rule.Users {
			if c.doc.full() {
				return
			}
			prefix, _, ok := strings.Cut(user, "/")
			if user != "" && !isEverybody(user) && (!ok || !slices.Contains(names, prefix)) {
				c.wrong(fmt.Sprintf("write %s/%s", names[0], user), fmt.Sprintf("%s[%d].users[%d]", path, i, j),
					"with several ways to sign in, a user is named with the one they use: %s", listed(names))
			}
		}
	}
}
