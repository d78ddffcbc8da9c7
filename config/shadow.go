package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"
)

// warnShadowed warns of rules that change nothing: what they say is said already by an
// entry that asks less, or is refused whatever they allow.
func (c *Config) warnShadowed(warn func(path, format string, args ...any)) {
	used := map[string]bool{}
	compared := 0
	for _, name := range c.Default.Rules {
		used[name] = true
	}
	for i := range c.Routes {
		r, path := &c.Routes[i], fmt.Sprintf("routes[%d]", i)
		for _, name := range r.Rules {
			used[name] = true
		}
		own, all := len(r.Allow)+len(r.Deny), len(r.Allow)+len(r.Deny)+len(c.Default.Allow)+len(c.Default.Deny)
		for _, name := range slices.Concat(r.Rules, c.Default.Rules) {
			all += len(c.Rules[name].Allow) + len(c.Rules[name].Deny)
		}
		if compared += all; own > 0 && own*all <= mostCompared && compared <= mostInAll {
			a := c.Access(i)
			c.shadows(Placed(r.Allow, path+".allow"), Placed(r.Deny, path+".deny"), a.Allow, a.Deny, warn)
		}
	}
	// What a route says more than a set that it shares with others is no mistake of the set.
	alone := func(allow, deny []Rule, path string) {
		a, d := Placed(allow, path+".allow"), Placed(deny, path+".deny")
		c.shadows(a, d, a, d, warn)
	}
	alone(c.Default.Allow, c.Default.Deny, "default")
	c.warnWider(warn)
	for _, name := range c.namesOfSets() {
		set := c.Rules[name]
		alone(set.Allow, set.Deny, "rules."+name)
		if !used[name] {
			warn("rules."+name, "no route uses it, so it decides nothing")
		}
	}
}

// warnWider warns of entries of a set that let nobody in whom the routes that use it do not
// let in anyway: as after mode: observe was taken out and what the set was to stand in
// place of is still there.
func (c *Config) warnWider(warn func(path, format string, args ...any)) {
	idle, by := map[string]bool{}, map[string]string{}
	for _, name := range c.Default.Rules {
		for _, entry := range Placed(c.Rules[name].Allow, "rules."+name+".allow") {
			idle[entry.At] = false
		}
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		if len(r.Allow) > 100 {
			return
		}
		own := Placed(r.Allow, fmt.Sprintf("routes[%d].allow", i))
		for _, name := range r.Rules {
			set := c.Rules[name]
			if set.Observes() || len(set.Allow) > 100 {
				continue
			}
			for _, entry := range Placed(set.Allow, "rules."+name+".allow") {
				k := slices.IndexFunc(own, func(o PlacedRule) bool { return o.covers(&entry.Rule) && !entry.covers(&o.Rule) })
				if before, seen := idle[entry.At]; seen && !before {
					continue
				}
				if idle[entry.At] = k >= 0; k >= 0 {
					by[entry.At] = own[k].At
				}
			}
		}
	}
	for at, isIdle := range idle {
		if isIdle {
			warn(at, "it changes nothing: each route that uses it allows as much by itself, as %s on line %d does; take that out if this is to stand in its place", by[at], c.doc.node(by[at]).Line)
		}
	}
}

// mostCompared bounds the comparisons of one route, which are of each rule with each.
const mostCompared = 1 << 14

// mostInAll bounds how many rules are put together for all routes, each of which has those
// that all of them share.
const mostInAll = 1 << 20

// shadows warns of the rules of allow and deny that others beside them make idle.
func (c *Config) shadows(allow, deny, allAllow, allDeny []PlacedRule, warn func(path, format string, args ...any)) {
	if len(allow)*(len(allAllow)+len(allDeny))+len(deny)*len(allDeny) > mostCompared {
		return
	}
	idle := func(r *PlacedRule, among []PlacedRule) bool {
		for k := range among {
			by := &among[k]
			// Of two that say the same the second one is too many.
			if by.At != r.At && by.covers(&r.Rule) && (!r.covers(&by.Rule) || isBefore(among, by, r)) {
				warn(r.At, "it changes nothing: %s on line %d holds wherever it does", by.At, c.doc.node(by.At).Line)
				return true
			}
		}
		return false
	}
	for j := range deny {
		idle(&deny[j], allDeny)
	}
	for j := range allow {
		r := &allow[j]
		k := slices.IndexFunc(allDeny, func(d PlacedRule) bool { return d.covers(&r.Rule) })
		if k >= 0 {
			warn(r.At, "it never lets anybody pass: %s on line %d holds wherever it does", allDeny[k].At, c.doc.node(allDeny[k].At).Line)
			continue
		}
		idle(r, allAllow)
	}
}

func isBefore(among []PlacedRule, a, b *PlacedRule) bool {
	for i := range among {
		switch among[i].At {
		case a.At:
			return true
		case b.At:
			return false
		}
	}
	return false
}

// covers reports whether r holds wherever other does: it says nothing that other does not
// say as narrowly, or more so. It may miss some, and never names one that is not.
func (r *Rule) covers(other *Rule) bool {
	same := func(a, b string) bool { return a == b }
	return lists(r.Users, other.Users, same) && lists(r.Groups, other.Groups, same) && lists(r.Providers, other.Providers, same) &&
		lists(r.ACR, other.ACR, same) && lists(r.AMR, other.AMR, same) && lists(r.Emails, other.Emails, emailIn) &&
		lists(r.Methods, other.Methods, func(wide, narrow string) bool { return wide == narrow || wide == "GET" && narrow == "HEAD" }) &&
		lists(r.Networks, other.Networks, func(wide, narrow netip.Prefix) bool {
			return wide.Bits() <= narrow.Bits() && wide.Contains(narrow.Addr())
		}) &&
		(r.Times == nil || reflect.DeepEqual(r.Times, other.Times)) && (r.When == "" || r.When == other.When) &&
		covers(r.MaxAuthAge, other.MaxAuthAge) && claimsCover(r.Claims, other.Claims)
}

// lists reports whether each of narrow is one of wide. Nil is no condition.
func lists[T any](wide, narrow []T, in func(wide, narrow T) bool) bool {
	if wide == nil {
		return true
	}
	return narrow != nil && !slices.ContainsFunc(narrow, func(n T) bool {
		return !slices.ContainsFunc(wide, func(w T) bool { return in(w, n) })
	})
}

func emailIn(wide, narrow string) bool {
	domain, isDomain := strings.CutPrefix(wide, "*")
	return strings.EqualFold(wide, narrow) || isDomain && strings.HasSuffix(strings.ToLower(narrow), strings.ToLower(domain))
}

func covers(wide, narrow *time.Duration) bool {
	return wide == nil || narrow != nil && *wide >= *narrow
}

func claimsCover(wide, narrow map[string]Claim) bool {
	for path, claim := range wide {
		if other, ok := narrow[path]; !ok || !reflect.DeepEqual(claim, other) {
			return false
		}
	}
	return true
}

// Of local users' sign-ins by more than a password: see auth.Factors.
var (
	localClasses = []string{"mfa", "phr"}
	localMethods = []string{"pwd", "otp", "pop", "hwk", "swk", "user", "uv", "mfa"}
)

// warnProofs warns of entries that nobody can meet: passwords alone have the method pwd, and no
// class.
func (c *Config) warnProofs(warn func(path, format string, args ...any)) {
	if len(c.Providers()) > 0 {
		return
	}
	classes, methods := localClasses, localMethods
	for i := range c.Identity {
		if l := c.Identity[i].Local; l != nil && l.SecondFactor == "off" {
			classes, methods = nil, []string{"pwd"}
		}
	}
	unmet := func(wanted, there []string) bool {
		return wanted != nil && !slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(there, w) })
	}
	c.eachRules(func(rules []Rule, path string) {
		if !strings.HasSuffix(path, ".allow") {
			return
		}
		for i := range rules {
			at := fmt.Sprintf("%s[%d]", path, i)
			switch {
			case unmet(rules[i].ACR, classes) && classes == nil:
				warn(at+".acr", "nobody can meet it: local users sign in by password alone (second_factor: off), which has no class")
			case unmet(rules[i].ACR, classes):
				warn(at+".acr", "nobody can meet it: sign-ins of local users are of the classes %s", strings.Join(classes, " and "))
			case unmet(rules[i].AMR, methods):
				warn(at+".amr", "nobody can meet it: sign-ins of local users are by %s", strings.Join(methods, ", "))
			}
		}
	})
}
