package config

import (
	"fmt"
	"slices"
	"strings"
)

// warnObserving tells of routes whose rules look as if they kept somebody out, and are only
// observed, while nothing that is in force says who may pass.
func (c *Config) warnObserving(warn warner) {
	observed := func(names []string) (some []string, allows bool) {
		for _, name := range names {
			if set, ok := c.Rules[name]; ok && set.Observes() {
				some, allows = append(some, name), allows || set.Allow != nil
			}
		}
		return some, allows
	}
	say := func(at string, names []string, deny bool) {
		but := ""
		if deny {
			but = ", but for whom deny refuses"
		}
		warn(at, "what %s says is only observed, and no allow is in force: anyone passes who is signed in%s. "+
			"Add allow with who may pass until mode: observe goes; allow: [ when: \"true\" ] says that anyone is meant", strings.Join(names, " and "), but)
	}
	byDefault, defaultAllows := observed(c.Default.Rules)
	enforced := func(names []string) (allow, deny bool) {
		for _, name := range names {
			set := c.Rules[name]
			allow, deny = allow || !set.Observes() && set.Allow != nil, deny || !set.Observes() && set.Deny != nil
		}
		return allow, deny
	}
	defaultAllow, defaultDeny := enforced(c.Default.Rules)
	defaultAllow, defaultDeny = defaultAllow || c.Default.Allow != nil, defaultDeny || c.Default.Deny != nil
	open := false
	for i := range c.Routes {
		r := &c.Routes[i]
		allow, deny := enforced(r.Rules)
		if deny = deny || r.Deny != nil || defaultDeny; r.Public || r.Allow != nil || allow || defaultAllow {
			continue
		}
		names, allows := observed(r.Rules)
		switch {
		case len(names) > 0 && (allows || !deny):
			say(fmt.Sprintf("routes[%d].rules", i), names, deny)
		case len(byDefault) > 0 && (defaultAllows || !deny):
			open = true
		}
	}
	if open {
		say("default.rules", byDefault, defaultDeny)
	}
}

// warnStars tells of names that look like patterns. Names are compared as they are.
func (c *Config) warnStars(warn warner) {
	c.eachRules(func(rules []Rule, path string) {
		for i := range rules {
			for key, names := range map[string][]string{"users": rules[i].Users, "groups": rules[i].Groups} {
				for j, name := range names {
					if strings.Contains(name, "*") {
						warn(fmt.Sprintf("%s[%d].%s[%d]", path, i, key, j), "the * in %q stands for itself, so nobody may have that name; "+
							"claims take a pattern (glob:), emails take *@example.com, and when: an expression", name)
					}
				}
			}
		}
	})
}

// isEverybody reports whether a name is written as if it stood for all of them.
func isEverybody(name string) bool {
	return name == "*" || strings.HasSuffix(name, "/*")
}

// checkEverybody refuses names that are taken for everybody and are nobody's.
func (c *Config) checkEverybody(rules []Rule, path string) {
	hint := "leave allow out to let anyone pass who is signed in"
	if strings.HasSuffix(path, ".deny") {
		hint = "say who may pass by allow; respond: { status: 403 } is for a path that nobody may have"
	}
	for i := range rules {
		for key, names := range map[string][]string{"users": rules[i].Users, "groups": rules[i].Groups} {
			if j := slices.IndexFunc(names, isEverybody); j >= 0 {
				c.wrong(hint, fmt.Sprintf("%s[%d].%s[%d]", path, i, key, j), "%q is a name like any other, which nobody has: it does not stand for everybody", names[j])
			}
		}
	}
}
