package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Rule holds when everything that is set in it holds.
type Rule struct {
	// Users are the names that rules and apps know people by.
	Users []string `yaml:"users"`
	// Emails are addresses the provider vouches for, or *@example.com.
	Emails []string `yaml:"emails"`
	// Groups are groups; being in one of them is enough.
	Groups []string `yaml:"groups"`
	// Claims are what claims of the person have to be, by name or dotted path; all have to hold.
	Claims map[string]Claim `yaml:"claims"`
	// Providers are the names of ways of signing in.
	Providers []string `yaml:"providers"`
	// Methods are the request's; GET stands for HEAD too.
	Methods []string `yaml:"methods"`
	// Networks are ranges of addresses that the request may come from.
	Networks []netip.Prefix `yaml:"networks"`
	// Times are when it may come.
	Times []Window `yaml:"times"`
	// ACR are authentication context classes, one of which the sign-in has to be of.
	ACR []string `yaml:"acr"`
	// AMR are methods, one of which the sign-in has to have used.
	AMR []string `yaml:"amr"`
	// MaxAuthAge is how long ago the sign-in may be at most; nil is no bound.
	MaxAuthAge *time.Duration `yaml:"max_auth_age"`
	// When is an expression over request, identity and session.
	When string `yaml:"when"`
}

// Claim is what one claim has to be. In short it is a value, or a list of values of which
// one is enough. Of a claim that is a list one element is enough.
type Claim struct {
	// Equals is the value it has to have.
	Equals string `yaml:"equals"`
	// AnyOf are values, one of which it has to have.
	AnyOf []string `yaml:"any_of"`
	// Glob is a pattern with * for any text and ? for any character.
	Glob string `yaml:"glob"`
	// Exists says whether it has to be there, or must not.
	Exists *bool `yaml:"exists"`
}

// Window is a time of day on some days of the week.
type Window struct {
	// Days are mon to sun; none is every day. A time over midnight belongs to the day it begins on.
	Days []string `yaml:"days"`
	// From and To are times such as 08:30; To is no part of it.
	From string `yaml:"from"`
	To   string `yaml:"to"`
	// Zone is whose clocks, such as Europe/Berlin; "" is UTC.
	Zone string `yaml:"zone"`
}

// RuleSet are rules under a name, for routes to use.
type RuleSet struct {
	// Allow lists alternatives, beside those of the route.
	Allow []Rule `yaml:"allow"`
	// Deny lists refusals: one is enough, whatever is allowed.
	Deny []Rule `yaml:"deny"`
	// Mode is enforce, or observe for rules that decide nothing yet.
	Mode string `yaml:"mode"`
}

// Observes reports whether the set decides nothing.
func (s *RuleSet) Observes() bool { return s.Mode == "observe" }

// DefaultRules are for all routes.
type DefaultRules struct {
	// Allow is for routes that say neither allow nor public, nor use a set with allow.
	Allow []Rule `yaml:"allow"`
	// Deny is for every route, public ones too.
	Deny []Rule `yaml:"deny"`
	// Rules are sets whose entries count as if they stood here.
	Rules []string `yaml:"rules"`
}

func (c *Config) checkRuleSets() {
	names := c.namesOfSets()
	for _, name := range names {
		set, path := c.Rules[name], "rules."+name
		if !isWord(name) {
			c.wrong("use letters, digits, - and _", path, "%q is no name for rules", name)
		}
		if set.Allow == nil && set.Deny == nil {
			c.wrong("add allow or deny", path, "it says nothing")
		}
		if set.Mode != "" {
			oneOf(c, path+".mode", set.Mode, "enforce", "observe")
		}
		c.checkAllow(set.Allow, path+".allow")
		c.checkDeny(set.Deny, path+".deny")
	}
	c.checkAllow(c.Default.Allow, "default.allow")
	c.checkDeny(c.Default.Deny, "default.deny")
	c.checkUses(c.Default.Rules, "default.rules", names)
	for i := range c.Routes {
		r, path := &c.Routes[i], fmt.Sprintf("routes[%d]", i)
		c.checkAllow(r.Allow, path+".allow")
		c.checkDeny(r.Deny, path+".deny")
		c.checkUses(r.Rules, path+".rules", names)
		if !r.Public {
			continue
		}
		if c.given(path + ".allow") {
			c.wrong("keep one of the two", path+".allow", "a public route lets everybody pass")
		}
		for j, name := range r.Rules {
			if set, ok := c.Rules[name]; ok && set.Allow != nil && !set.Observes() {
				c.wrong("remove public, or the set", fmt.Sprintf("%s.rules[%d]", path, j), "a public route lets everybody pass, and %s has allow", name)
			}
		}
	}
}

func (c *Config) namesOfSets() (names []string) {
	for name := range c.Rules {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

func (c *Config) checkUses(uses []string, path string, names []string) {
	if c.given(path) && len(uses) == 0 {
		c.wrong("leave the line out", path, "the list is empty")
	}
	twice := map[string]bool{}
	for i, name := range uses {
		if c.doc.full() {
			return
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		_, known := c.Rules[name]
		switch {
		case len(names) == 0:
			c.wrong("add them under rules:", at, "there are no rules named %q", name)
		case !known:
			hint := "there are " + listed(names)
			if near := nearest(name, names); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			c.wrong(hint, at, "there are no rules named %q", name)
		case twice[name]:
			c.wrong("remove one", at, "%s is there twice", name)
		}
		twice[name] = true
	}
}

// checkAllow looks at a list of alternatives.
func (c *Config) checkAllow(rules []Rule, path string) {
	if c.given(path) && len(rules) == 0 {
		c.wrong("leave the line out to let anyone pass who is signed in", path, "the list is empty, so nobody could pass")
	}
	c.checkRules(rules, path, "the list is empty, so nobody could pass")
}

func (c *Config) checkDeny(rules []Rule, path string) {
	if c.given(path) && len(rules) == 0 {
		c.wrong("leave the line out", path, "the list is empty, so it refuses nobody")
	}
	c.checkRules(rules, path, "the list is empty, so it refuses nobody")
	for i := range rules {
		if at := fmt.Sprintf("%s[%d].max_auth_age", path, i); rules[i].MaxAuthAge != nil {
			c.wrong("put it into allow", at, "it would refuse those who signed in lately")
		}
	}
}

// isEmpty reports whether r says nothing.
func (r *Rule) isEmpty() bool {
	return r.Users == nil && r.Emails == nil && r.Groups == nil && r.Claims == nil && r.Providers == nil && r.Methods == nil &&
		r.Networks == nil && r.Times == nil && r.ACR == nil && r.AMR == nil && r.MaxAuthAge == nil && r.When == ""
}

// maxDemand is auth.MaxDemand.
const maxDemand = 400

// checkRules looks at rules; empty is what is wrong with a list without entries in one.
func (c *Config) checkRules(rules []Rule, path, empty string) {
	for i := range rules {
		c.checkRule(&rules[i], fmt.Sprintf("%s[%d]", path, i), empty)
	}
}

func (c *Config) checkRule(r *Rule, at, empty string) {
	if r.isEmpty() && !c.given(at+".max_auth_age") && !c.given(at+".when") {
		c.wrong("name users, emails, groups or other conditions", at, "the entry says nothing")
	}
	for _, l := range []struct {
		name string
		of   []string
	}{{"users", r.Users}, {"emails", r.Emails}, {"groups", r.Groups}, {"providers", r.Providers}, {"methods", r.Methods}, {"acr", r.ACR}, {"amr", r.AMR}} {
		if l.of != nil && len(l.of) == 0 {
			c.wrong("remove the line, or name something", at+"."+l.name, "%s", empty)
		}
		for j, s := range l.of {
			here := fmt.Sprintf("%s.%s[%d]", at, l.name, j)
			switch {
			case strings.TrimSpace(s) == "":
				c.wrong("", here, "the name is empty")
			case l.name == "emails" && !validEmail(s):
				c.wrong("write alice@example.com or *@example.com", here, "%q is no address", s)
			case l.name == "methods":
				oneOf(c, here, s, methods...)
			case (l.name == "acr" || l.name == "amr") && strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }):
				c.wrong("make two entries of it", here, "%q is not one name: it goes to the provider in a list that is separated by spaces", s)
			}
		}
	}
	for _, l := range []struct {
		name string
		of   []string
	}{{"acr", r.ACR}, {"amr", r.AMR}} {
		if n := len(strings.Join(l.of, " ")); n > maxDemand {
			c.wrong("make several entries of it, or name fewer", at+"."+l.name,
				"the names take %d bytes, and %d have room in the address of a sign-in", n, maxDemand)
		}
	}
	if c.given(at+".networks") && len(r.Networks) == 0 {
		c.wrong("remove the line, or name a range", at+".networks", "%s", empty)
	}
	if c.given(at+".claims") && len(r.Claims) == 0 {
		c.wrong("remove the line, or name a claim", at+".claims", "there is none")
	}
	for name, claim := range r.Claims {
		c.checkClaim(name, &claim, at+".claims."+name)
	}
	if c.given(at+".times") && len(r.Times) == 0 {
		c.wrong("remove the line, or name a time", at+".times", "%s", empty)
	}
	for i := range r.Times {
		c.checkWindow(&r.Times[i], fmt.Sprintf("%s.times[%d]", at, i))
	}
	if r.MaxAuthAge != nil {
		between(c, at+".max_auth_age", *r.MaxAuthAge, time.Minute, 365*24*time.Hour)
	}
	if c.given(at+".when") && strings.TrimSpace(r.When) == "" {
		c.wrong("leave the line out", at+".when", "it is empty")
	}
}

func (c *Config) checkClaim(name string, claim *Claim, path string) {
	if strings.TrimSpace(name) == "" {
		c.wrong("name a claim, such as department or realm_access.roles", path, "the claim has no name")
	}
	said := 0
	for _, key := range []string{"equals", "any_of", "glob", "exists"} {
		if c.given(path + "." + key) {
			said++
		}
	}
	switch {
	case claim.AnyOf != nil && len(claim.AnyOf) == 0:
		c.wrong("name a value", path, "the list is empty, so it never holds")
	case said == 0 && claim.AnyOf == nil:
		c.wrong("write a value, a list of values, or one of equals, any_of, glob, exists", path, "it does not say what the claim has to be")
	case said > 1:
		c.wrong("keep one of equals, any_of, glob, exists", path, "it says more than one thing of the same claim")
	case c.given(path+".glob") && claim.Glob == "":
		c.wrong("exists: true is for any value", path+".glob", "the pattern is empty")
	}
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (c *Config) checkWindow(w *Window, path string) {
	for i, d := range w.Days {
		oneOf(c, fmt.Sprintf("%s.days[%d]", path, i), d, weekdays...)
	}
	if c.given(path+".days") && len(w.Days) == 0 {
		c.wrong("leave the line out for every day", path+".days", "the list is empty")
	}
	for _, t := range []struct{ key, text string }{{"from", w.From}, {"to", w.To}} {
		if !c.given(path + "." + t.key) {
			c.wrong("add from and to, such as 08:00 and 18:00", path, "%s is missing", t.key)
		} else if _, ok := clock(t.text); !ok {
			c.wrong("", path+"."+t.key, "want a time such as 08:30, got %q", t.text)
		}
	}
	if from, _ := clock(w.From); w.From == "24:00" {
		c.wrong("write 00:00", path+".from", "24:00 is the end of a day")
	} else if to, ok := clock(w.To); ok && from == to && c.given(path+".from") {
		c.wrong("write 00:00 and 24:00 for the whole day", path, "it begins when it ends")
	}
	if _, err := time.LoadLocation(w.Zone); err != nil {
		c.wrong("", path+".zone", "want a time zone such as Europe/Berlin, got %q", w.Zone)
	}
}

// clock reads a time of day; 24:00 is the end of one.
func clock(s string) (time.Duration, bool) {
	if s == "24:00" {
		return 24 * time.Hour, true
	}
	t, err := time.Parse("15:04", s)
	if err != nil || len(s) != 5 {
		return 0, false
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, true
}

// Bounds are the window's days by time.Weekday, its times since midnight, and its zone.
// It is for a Config that is valid.
func (w *Window) Bounds() (days [7]bool, from, to time.Duration, zone *time.Location) {
	for i, d := range weekdays {
		days[i] = w.Days == nil || slices.Contains(w.Days, d)
	}
	from, _ = clock(w.From)
	to, _ = clock(w.To)
	zone, err := time.LoadLocation(w.Zone)
	if err != nil {
		zone = time.UTC
	}
	return days, from, to, zone
}

func validEmail(s string) bool {
	user, domain, ok := strings.Cut(s, "@")
	return ok && user != "" && strings.Trim(domain, ".") == domain && domain != "" && !strings.ContainsAny(domain, "@*") &&
		(user == "*" || !strings.Contains(user, "*")) && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' })
}
