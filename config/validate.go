package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// validate notes what is wrong with values that could be read.
func (c *Config) validate() {
	c.checkAddresses()
	c.checkPublicURL()
	c.checkFiles()
	c.checkFront()
	c.checkTimes()
	c.checkIdentity()
	c.checkRoutes()
	c.checkRuleSets()
	c.checkForwardAuth()
	c.checkAudit()
	c.checkTracing()
	c.checkTests()
	c.checkProviders()
	oneOf(c, "log.format", c.Log.Format, "auto", "text", "json")
	oneOf(c, "access_token.algorithm", c.AccessToken.Algorithm, "ES256", "RS256", "EdDSA")
	if c.AccessToken.Audience == "" {
		c.wrong("", "access_token.audience", "the audience is empty")
	}
	c.checkPages()
	c.checkStore()
	if name := c.Session.Cookie.Name; name != "" && !isToken(name) {
		c.wrong("", "session.cookie.name", "%q is no name for a cookie", name)
	} else if secure := c.PublicURL != nil && c.PublicURL.Scheme == "https"; strings.HasPrefix(name, "__") && !secure {
		c.wrong("leave the name out", "session.cookie.name", "browsers refuse the prefix of %q on plain http", name)
	}
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func (c *Config) checkPublicURL() {
	u := c.PublicURL
	switch {
	case u == nil:
		if !c.given("public_url") {
			c.wrong("add a line such as public_url: https://apps.example.com", "public_url", "it is missing")
		}
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "" || u.Hostname() == "":
		c.wrong("write it as https://apps.example.com", "public_url", "want https:// and a host name")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		c.wrong("write it as "+u.Scheme+"://"+u.Host, "public_url", "it is more than a scheme, a host and a port")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		c.wrong("write https://"+u.Host, "public_url", "plain http is for loopback names alone: anybody on the way could take the cookie")
	default:
		u.Path, u.Host = "", strings.ToLower(u.Host)
	}
}

// IsLoopback reports whether host names this machine to itself.
func IsLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}

func (c *Config) checkFiles() {
	if c.DataDir == "" {
		c.wrong("", "data_dir", "it is empty")
	}
}

func (c *Config) checkTimes() {
	between(c, "access_token.ttl", c.AccessToken.TTL, 30*time.Second, 24*time.Hour)
	if c.AccessToken.RotateKeys != 0 {
		between(c, "access_token.rotate_keys", c.AccessToken.RotateKeys, 2*time.Hour, 10*365*24*time.Hour)
	}
	between(c, "session.rotation_grace", c.Session.RotationGrace, time.Second, 10*time.Minute)
	between(c, "session.idle_timeout", c.Session.IdleTimeout, time.Minute, 10*365*24*time.Hour)
	between(c, "session.max_lifetime", c.Session.MaxLifetime, time.Minute, 10*365*24*time.Hour)
	between(c, "session.bound_for", c.Session.BoundFor, 10*time.Second, 24*time.Hour)
	between(c, "session.max_stale", c.Session.MaxStale, 0, 24*time.Hour)
	c.checkRisk()
	if c.Session.IdleTimeout > c.Session.MaxLifetime {
		c.wrong("", "session.idle_timeout", "it is longer than max_lifetime, %s, and would never end a session", inDays(c.Session.MaxLifetime))
	}
	if c.AccessToken.RenewBefore.Time >= c.AccessToken.TTL && c.AccessToken.TTL > 0 {
		c.wrong("", "access_token.renew_before", "it is not shorter than ttl, %s: every request would renew", showDuration(c.AccessToken.TTL))
	}
}

// bounds are what a check wants of a value: one of some words, or a range.
type bounds struct {
	among       []string
	least, most any  // both int, or both time.Duration
	orZero      bool // for the schema: zero is well too
}

func (c *Config) note(path string, want bounds) {
	if c.doc.asked != nil {
		c.doc.asked(path, want)
	}
}

func between(c *Config, path string, d, least, most time.Duration) {
	c.note(path, bounds{least: least, most: most})
	if d < least || d > most {
		c.wrong("", path, "want %s to %s, got %s", inDays(least), inDays(most), inDays(d))
	}
}

func oneOf(c *Config, path, value string, among ...string) {
	c.note(path, bounds{among: among})
	if slices.Contains(among, value) {
		return
	}
	hint := ""
	lower := make([]string, min(len(among), maxListed))
	for i := range lower {
		lower[i] = strings.ToLower(among[i])
	}
	if near := nearest(value, lower); near != "" {
		hint = "did you mean " + among[slices.Index(lower, near)] + "?"
	}
	c.wrong(hint, path, "want %s, got %q", listed(among), value)
}

// maxIdentities bounds what is offered on one page, and what each route looks through.
const maxIdentities = 100

func (c *Config) checkIdentity() {
	const example = "add:  identity: [ local: { users_file: users.yaml } ]"
	if len(c.Identity) == 0 {
		if n := c.doc.places["identity"]; n == nil || len(n.Content) == 0 {
			c.wrong(example, "identity", "there is no way to sign in")
		}
		return
	}
	if len(c.Identity) > maxIdentities {
		c.wrong("", "identity", "there are %d ways to sign in, and %d at most can be offered", len(c.Identity), maxIdentities)
		c.Identity = c.Identity[:maxIdentities] // the others are looked at by nobody
	}
	locals := 0
	for i, id := range c.Identity {
		path := "identity[" + strconv.Itoa(i) + "]"
		switch {
		case id.Local != nil && id.OIDC != nil:
			c.wrong("make two entries of it", path, "an entry is one way to sign in")
		case id.OIDC != nil:
			c.checkOIDC(id.OIDC, path+".oidc")
		case id.Local == nil:
			if n := c.doc.places[path]; n != nil && len(n.Content) == 0 {
				c.wrong(example, path, "it names no way to sign in")
			}
		case id.Local.UsersFile == "":
			c.wrong("users_file: users.yaml", path+".local", "users_file is missing")
		default:
			if locals++; locals > 1 {
				c.wrong("put the users in one file", path, "there are local users already")
			}
			if id.Local.SecondFactor == "" {
				id.Local.SecondFactor = "optional"
			}
			oneOf(c, path+".local.second_factor", id.Local.SecondFactor, "optional", "required", "off")
		}
	}
}

// isToken reports whether s is a token as RFC 9110 section 5.6.2 has it.
func isToken(s string) bool {
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) {
			return false
		}
	}
	return s != ""
}

func validUpstream(u *url.URL) string {
	switch {
	case u.Scheme == "unix":
		if u.Host != "" || len(u.Path) < 2 {
			return "want unix:///path/to/socket"
		}
		return ""
	case u.Scheme != "http" && u.Scheme != "https":
		return "want http://, https:// or unix:///, got " + strconv.Quote(u.String())
	case u.Host == "" || u.Hostname() == "":
		return "there is no host in " + strconv.Quote(u.String())
	case u.User != nil:
		return "a user name or password does not belong in a URL"
	case u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		return "it ends after host and port: paths go up as they come"
	}
	return ""
}
