package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// warnOpen tells of routes that are for more hosts, or for more people, than anybody means.
func (c *Config) warnOpen(warn warner) {
	for i := range c.Routes {
		r := &c.Routes[i]
		if below, wild := strings.CutPrefix(r.Match.Host, "*."); wild && isPublicSuffix(below) {
			warn(fmt.Sprintf("routes[%d].match.host", i), "anybody can have a name below %s, and whoever signs in is signed in at each that leads here, "+
				"by a cookie that its owner may get to see: write the domain that is yours, as *.example.%s", below, below)
		}
		if r.Admin && c.hasRulesOfItsOwn(r) {
			c.warnOperators(i, warn)
		}
	}
}

// isPublicSuffix reports whether names below a domain are sold or given to anybody. A single label that
// the list does not know is a network's own, such as internal.
func isPublicSuffix(domain string) bool {
	suffix, icann := publicsuffix.PublicSuffix(domain)
	return suffix == domain && (icann || strings.Contains(domain, "."))
}

// warnOperators tells of a dashboard that anybody has who is signed in, though rules stand there.
func (c *Config) warnOperators(i int, warn warner) {
	const open = "anyone who is signed in can see the dashboard and end everybody's sessions: "
	access := c.Access(i)
	if access.Allow == nil {
		warn(fmt.Sprintf("routes[%d].admin", i), open+"deny alone says whom it is not for. Add:  allow: [{ groups: [operators] }]")
		return
	}
	for _, rule := range access.Allow {
		if !rule.saysWho() {
			warn(rule.At, open+"this rule names nobody. Add groups, users, emails or claims to it, or take it away")
		}
	}
}

// saysWho reports whether a rule is for some people, and not for all who come in a certain way or at
// a certain time. A provider or a network may be some people's own, unless the network is all there is.
func (r *Rule) saysWho() bool {
	whole := func(p netip.Prefix) bool { return p.Bits() == 0 }
	return len(r.Users)+len(r.Emails)+len(r.Groups)+len(r.Claims)+len(r.Providers) > 0 ||
		len(r.Networks) > 0 && !slices.ContainsFunc(r.Networks, whole) ||
		r.When != "" && strings.Trim(r.When, " ()\t\n") != "true"
}
