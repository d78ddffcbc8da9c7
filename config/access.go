package config

import (
	"fmt"
	"slices"
)

// PlacedRule is a rule and where it stands.
type PlacedRule struct {
	Rule
	// At is its path in the file, such as "rules.staff.allow[0]".
	At string
}

// Access is all that is said of who may use a route: by itself, by the sets that it uses
// and by default. Entries of sets count as if they stood with the route.
type Access struct {
	Public bool
	// Allow are alternatives; nil is anyone signed in.
	Allow []PlacedRule
	Deny  []PlacedRule
	// Providers are the ways of signing in that count; nil is all of them.
	Providers []string
	// Observed is what would count if the sets in mode observe were in force: their allow
	// in place of the others', their deny in addition. Nil where there are none.
	Observed *Access
}

// Access puts together what is said of routes[i].
func (c *Config) Access(i int) Access {
	r, path := &c.Routes[i], fmt.Sprintf("routes[%d]", i)
	a := Access{Public: r.Public, Providers: r.Providers}
	a.add(r.Allow, r.Deny, path)
	c.addSets(&a, r.Rules, true)
	// What allows by default is for routes that do not say themselves whom they allow.
	open := a.Allow == nil && !r.Public
	if open {
		a.add(c.Default.Allow, nil, "default")
	}
	a.add(nil, c.Default.Deny, "default")
	c.addSets(&a, c.Default.Rules, open)
	if o := a.Observed; o != nil {
		o.Public, o.Providers = r.Public && o.Allow == nil, r.Providers
		if o.Allow == nil {
			o.Allow = a.Allow
		}
		o.Deny = append(slices.Clone(a.Deny), o.Deny...)
	}
	return a
}

// addSets adds the sets of those names, and their allow only where allows is set.
func (c *Config) addSets(a *Access, names []string, allows bool) {
	for _, name := range names {
		set, to := c.Rules[name], a
		if !allows {
			if set.Allow = nil; set.Deny == nil {
				continue
			}
		}
		if set.Observes() {
			if a.Observed == nil {
				a.Observed = &Access{}
			}
			to = a.Observed
		}
		to.add(set.Allow, set.Deny, "rules."+name)
	}
}

// Placed gives each rule of a list its place.
func Placed(rules []Rule, path string) []PlacedRule {
	if rules == nil {
		return nil
	}
	out := make([]PlacedRule, len(rules))
	for i, r := range rules {
		out[i] = PlacedRule{r, fmt.Sprintf("%s[%d]", path, i)}
	}
	return out
}

// add keeps nil apart from empty: nil lets anyone pass who is signed in.
func (a *Access) add(allow, deny []Rule, path string) {
	if allow != nil && a.Allow == nil {
		a.Allow = []PlacedRule{}
	}
	a.Allow = append(a.Allow, Placed(allow, path+".allow")...)
	a.Deny = append(a.Deny, Placed(deny, path+".deny")...)
}

// eachRules calls f for every list of rules in the file.
func (c *Config) eachRules(f func(rules []Rule, path string)) {
	for _, name := range c.namesOfSets() {
		set := c.Rules[name]
		f(set.Allow, "rules."+name+".allow")
		f(set.Deny, "rules."+name+".deny")
	}
	f(c.Default.Allow, "default.allow")
	f(c.Default.Deny, "default.deny")
	for i := range c.Routes {
		f(c.Routes[i].Allow, fmt.Sprintf("routes[%d].allow", i))
		f(c.Routes[i].Deny, fmt.Sprintf("routes[%d].deny", i))
	}
	for i, id := range c.Identity {
		if id.OIDC != nil {
			f(id.OIDC.Allow, fmt.Sprintf("identity[%d].oidc.allow", i))
		}
	}
}
