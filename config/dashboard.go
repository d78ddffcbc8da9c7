package config

import "strings"

// checkDashboard looks at a route that shows the dashboard. Whoever sees it can end
// everybody's sessions, so nobody gets there by a rule that was left out.
func (c *Config) checkDashboard(r *Route, path string) {
	if !r.Admin {
		c.wrong("leave the line out, or write admin: true", path+".admin", "a route that does not show the dashboard has something else to do")
		return
	}
	if p := r.Match.Path; p != "" && (!strings.HasSuffix(p, "/") || strings.Contains(p, "*")) {
		c.wrong("write it as /operator/", path+".match.path", "the dashboard has several pages in one place: want a path that ends in / and has no *, got %q", p)
	}
	switch {
	case r.Public:
		c.wrong("remove it, and say whom to allow", path+".public", "whoever sees the dashboard can end everybody's sessions")
	case !c.hasRulesOfItsOwn(r):
		c.wrong("add:  allow: [{ groups: [operators] }]", path+".admin",
			"anyone who is signed in could end everybody's sessions: the route needs allow, deny or rules of its own")
	}
}

// hasRulesOfItsOwn reports whether the route itself says who may pass. What is only
// observed says nothing.
func (c *Config) hasRulesOfItsOwn(r *Route) bool {
	if r.Allow != nil || r.Deny != nil {
		return true
	}
	for _, name := range r.Rules {
		if set, ok := c.Rules[name]; ok && !set.Observes() && (set.Allow != nil || set.Deny != nil) {
			return true
		}
	}
	return false
}
