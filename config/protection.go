package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/secureheaders"
)

// CSRF refuses requests that pages of other sites send. In the file it is on, off, or a
// mapping, which means on.
type CSRF struct {
	// Except are paths, as those of routes, that every page may send to.
	Except []string `yaml:"except"`
	// Origins are of pages that may send to all of the route.
	Origins []string `yaml:"origins"`

	off bool
}

// SecureHeaders are headers by which browsers guard a page. In the file it is a level,
// or a mapping where there is more to say.
type SecureHeaders struct {
	// Level is basic or strict.
	Level string `yaml:"level"`
	// Overwrite replaces what the app says.
	Overwrite bool `yaml:"overwrite"`
	// Except are headers of the level that are left to the app.
	Except []string `yaml:"except"`
	// Set has other values for headers of the level.
	Set map[string]string `yaml:"set"`
}

// RateLimit is how many requests somebody may have on a route.
type RateLimit struct {
	// Requests is how many for each time Per.
	Requests int           `yaml:"requests"`
	Per      time.Duration `yaml:"per"`
	// Burst is how many of them may come at once. Left out it is Requests.
	Burst int `yaml:"burst"`
	// By is user, address or user_and_address.
	By string `yaml:"by"`
}

// RateLimits are one or several. In the file it is a single mapping or a list.
type RateLimits []RateLimit

func (l *RateLimit) setDefaults() { *l = RateLimit{By: "user"} }

// maxRateLimits is how many a route may have: each is looked up for every request.
const maxRateLimits = 4

// csrfSwitch is on or off. Off is as if the key were not there.
type csrfSwitch struct{ of *CSRF }

func (s *csrfSwitch) fromText(text string) error {
	if text != "on" && text != "off" {
		return fmt.Errorf("want on, off, or a mapping of except and origins, got %q", text)
	}
	s.of.off = text == "off"
	return nil
}

// isShort reports whether it can be written in one word.
func (c *CSRF) isShort() bool { return c.Except == nil && c.Origins == nil }

func (s *SecureHeaders) isShort() bool { return !s.Overwrite && s.Except == nil && s.Set == nil }

// checkProtection looks at what guards an app beside its rule.
func (c *Config) checkProtection(r *Route, path string) {
	if r.CSRF != nil {
		c.checkCSRF(r.CSRF, path+".csrf")
		c.checkExcepted(r, path+".csrf.except")
	}
	if r.SecureHeaders != nil {
		c.checkSecureHeaders(r.SecureHeaders, path+".secure_headers")
	}
	at := path + ".rate_limit"
	if c.given(at) && len(r.RateLimits) == 0 {
		c.wrong("leave the line out to limit nothing", at, "there is no limit")
	}
	if len(r.RateLimits) > maxRateLimits {
		c.wrong("keep those that matter", at, "a route has %d limits at most, and this one has %d", maxRateLimits, len(r.RateLimits))
	}
	for i := range r.RateLimits {
		c.checkRateLimit(r.RateLimits, i, at)
	}
}

func (c *Config) checkCSRF(s *CSRF, path string) {
	if c.given(path+".except") && len(s.Except) == 0 {
		c.wrong("remove the line", path+".except", "the list is empty")
	}
	for i, p := range s.Except {
		if msg := badPath(p); msg != "" {
			c.wrong("", fmt.Sprintf("%s.except[%d]", path, i), "%s", msg)
		}
	}
	if c.given(path+".origins") && len(s.Origins) == 0 {
		c.wrong("remove the line", path+".origins", "the list is empty")
	}
	c.checkOrigins(s.Origins, path+".origins")
}

// checkExcepted refuses an exception for all that the route is for.
func (c *Config) checkExcepted(r *Route, path string) {
	of := whereIs(&r.Match).path
	for i, p := range r.CSRF.Except {
		if p == of || strings.HasSuffix(p, "/") && takesIn(p, of) {
			c.wrong("name the paths alone that other sites are meant to send to, or write csrf: off", fmt.Sprintf("%s[%d]", path, i),
				"%q takes in every path of the route, so nothing would be refused", p)
		}
	}
}

// takesIn reports whether everything that a route for path serves is in folder.
func takesIn(folder, path string) bool {
	wide, narrow := strings.Split(strings.TrimSuffix(folder, "/"), "/"), strings.Split(path, "/")
	if len(narrow) <= len(wide) {
		return false // what is in a folder has a slash more
	}
	for k, s := range wide {
		if s != narrow[k] && s != "*" {
			return false
		}
	}
	return true
}

// checkOrigins looks at a list of origins, as browsers write them.
func (c *Config) checkOrigins(origins []string, path string) {
	for i, o := range origins {
		u, err := url.Parse(o)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || o != u.Scheme+"://"+u.Host {
			c.wrong("write it as https://app.example.com", fmt.Sprintf("%s[%d]", path, i), "%q is no origin", o)
		} else if strings.Contains(u.Host, "*") {
			c.wrong("list each origin", fmt.Sprintf("%s[%d]", path, i), "%q matches nothing: origins are compared as they are, and the * stands for itself", o)
		}
	}
}

func (c *Config) checkSecureHeaders(s *SecureHeaders, path string) {
	at := path + ".level"
	switch {
	case c.given(at):
		oneOf(c, at, s.Level, secureheaders.Levels...)
	case s.Level != "":
		oneOf(c, path, s.Level, secureheaders.Levels...) // the short form
	default:
		c.wrong("add:  level: basic", path, "level is missing")
	}
	names := secureheaders.Names(s.Level)
	known := func(at, name string) {
		if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
			return
		}
		hint := "response_headers sets any header"
		lower := make([]string, len(names))
		for i, n := range names {
			lower[i] = strings.ToLower(n)
		}
		if near := nearest(name, lower); near != "" {
			hint = "did you mean " + names[slices.Index(lower, near)] + "?"
		}
		c.wrong(hint, at, "%s is none of the headers of this level: %s", name, strings.Join(names, ", "))
	}
	if c.given(path+".except") && len(s.Except) == 0 {
		c.wrong("remove the line", path+".except", "the list is empty")
	}
	for i, name := range s.Except {
		known(fmt.Sprintf("%s.except[%d]", path, i), name)
	}
	for name, value := range s.Set {
		at := path + ".set." + name
		known(at, name)
		if strings.TrimSpace(value) == "" || strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			c.wrong("", at, "%q cannot be a header", value)
		}
		if slices.ContainsFunc(s.Except, func(e string) bool { return strings.EqualFold(e, name) }) {
			c.wrong("keep one of the two", at, "%s is left out by except", name)
		}
		for other := range s.Set {
			if other < name && strings.EqualFold(other, name) {
				c.wrong("keep one of the two", at, "%s is there already, as %s", name, other)
			}
		}
	}
}

func (c *Config) checkRateLimit(all RateLimits, i int, path string) {
	at := fmt.Sprintf("%s[%d]", path, i)
	if !c.given(at) {
		at = path // a single one is written without a list
	}
	l := &all[i]
	missing := false
	for key, example := range map[string]string{"requests": "100", "per": "1m"} {
		if !c.given(at + "." + key) {
			missing = true
			c.wrong("add:  "+key+": "+example, at, "%s is missing", key)
		}
	}
	oneOf(c, at+".by", l.By, "user", "address", "user_and_address")
	if missing {
		return
	}
	if l.Requests < 1 || l.Requests > 1e6 {
		c.wrong("", at+".requests", "want 1 to 1000000, got %d", l.Requests)
	}
	if between(c, at+".per", l.Per, time.Second, 24*time.Hour); l.Per%time.Second != 0 {
		c.wrong("", at+".per", "want whole seconds, got %s", showDuration(l.Per))
	}
	switch {
	case !c.given(at + ".burst"):
		l.Burst = l.Requests
	case l.Burst < 1 || l.Burst > l.Requests:
		c.wrong("a burst is a part of requests; for a larger one write both for a longer time", at+".burst", "want 1 to %d, got %d", l.Requests, l.Burst)
	}
	for j := range i {
		if all[j].By == l.By && all[j].Per == l.Per {
			c.wrong("keep the lower of the two", at, "there is a limit by %s for %s already", l.By, showDuration(l.Per))
			break
		}
	}
}

// warnProtection tells what is allowed there and should be looked at.
func (c *Config) warnProtection(r *Route, path string, warn func(path, format string, args ...any)) {
	policy := func(name string) bool { return strings.EqualFold(name, secureheaders.ContentPolicy) }
	if s := r.SecureHeaders; s != nil && s.Overwrite && s.Level == "strict" && !slices.ContainsFunc(s.Except, policy) &&
		!slices.ContainsFunc(slices.Collect(maps.Keys(s.Set)), policy) {
		warn(path+".secure_headers.overwrite", "a Content-Security-Policy of the app is replaced by one that does not know it; write one for it: set: { Content-Security-Policy: \"…\" }")
	}
}
