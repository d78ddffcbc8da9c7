package snippet

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

func init() {
	funcs := template.FuncMap{
		"quote": quoteTraefik, "rule": traefikRule, "own": traefikOwn, "upgrades": traefikUpgrades, "name": traefikName,
		"removed": removedRegexp, "url": traefikURL,
		"priority": traefikPriority, "redirects": redirectsHTTP, "plain": plainListen,
	}
	dialects["traefik"] = dialect{
		title: "Traefik",
		funcs: funcs,
		parts: []Part{{"static", "print what Traefik begins with, in place of the dynamic configuration"}},
		after: `This is the dynamic configuration: write it to /etc/traefik/evergate.yaml.
The static one, which Traefik begins with, names that file:
  evergate snippet traefik --static --config FILE > /etc/traefik/traefik.yaml`,
	}
}

// quoteTraefik writes a value as a string of YAML. Traefik runs a file as a template
// before it reads it, so that two braces would be a directive.
func quoteTraefik(s string) (string, error) {
	if strings.Contains(s, "{{") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("a file of Traefik's cannot hold %q: it has two braces or a control character", s)
	}
	return quoteJSON(s)
}

// quoteJSON writes a value as a string of JSON, which is one of YAML too.
func quoteJSON(s string) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// ruled writes a value inside a rule of Traefik's.
func ruled(s string) (string, error) {
	if strings.Contains(s, "`") {
		return "", fmt.Errorf("a rule of Traefik's cannot hold %q: it has a backquote", s)
	}
	return "`" + s + "`", nil
}

// matcher is name(value), as in a rule.
func matcher(name, value string) (string, error) {
	value, err := ruled(value)
	return name + "(" + value + ")", err
}

// traefikHost matches requests to a site.
func traefikHost(s Site) (string, error) {
	if below, ok := strings.CutPrefix(s.Host, "*."); ok {
		return matcher("HostRegexp", `^(?:[a-z0-9_-]+\.)+`+regexp.QuoteMeta(below)+`\z`)
	}
	return matcher("Host", strings.Trim(s.Host, "[]"))
}

// traefikRule matches the requests of one path of a site.
func traefikRule(s Site, p Path) (string, error) {
	host, err := traefikHost(s)
	if err != nil || p.Any() {
		return quoteRule(host, err)
	}
	path, err := matcher("PathRegexp", p.traefik())
	return quoteRule(host+" && "+path, err)
}

// traefikOwn matches the gateway's own pages of a site.
func traefikOwn(s Site) (string, error) {
	host, err := traefikHost(s)
	if err != nil {
		return "", err
	}
	path, err := matcher("PathRegexp", ownRegexp)
	return quoteRule(host+" && "+path, err)
}

// traefikUpgrades matches what switches to anything but WebSocket.
func traefikUpgrades(s Site) (string, error) {
	host, err := traefikHost(s)
	return quoteRule(host+" && HeaderRegexp(`Upgrade`, `.`) && !HeaderRegexp(`Upgrade`, `(?i)^websocket\\z`)", err)
}

func quoteRule(rule string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return quoteTraefik(rule)
}

// reserved are the bytes that Traefik leaves escaped in the path that its rules see.
const reserved = ":/?#[]@!$&'()*+,;="

// traefik is an expression for the path as Traefik's rules see it: decoded but for reserved
// bytes, which stand there as they were sent.
func (p Path) traefik() string {
	expr := "^" + p.eachByte(func(b *strings.Builder, c byte) {
		switch {
		case c == '%':
			b.WriteString("%25")
		case strings.IndexByte(reserved, c) >= 0:
			fmt.Fprintf(b, "(?:%s|%%%02X)", regexp.QuoteMeta(string(c)), c)
		case c < 0x80:
			b.WriteString(regexp.QuoteMeta(string(c)))
		default:
			b.WriteByte(c)
		}
	})
	if !strings.HasSuffix(p.Pattern, "/") {
		expr += `\z`
	}
	return expr
}

// traefikPriority orders the routers: the higher one is tried first, and sites with a
// wildcard come behind those that are named.
func traefikPriority(f *Front, site, path int) int {
	const most = 1000 // of paths of a site: they only have to differ
	named := 0
	if !strings.HasPrefix(f.Sites[site].Host, "*.") {
		named = 10
	} else {
		named = strings.Count(f.Sites[site].Host, ".")
	}
	return named*most*most + (most*most - 1 - path)
}

// traefikName is the Host header of a site; "" leaves what the browser sent.
func traefikName(f *Front, s Site) string { return f.Host(s) }

// removedRegexp matches the names of a client's headers that go no further, as Traefik
// has them. What the entry point adds of the kind goes too.
func removedRegexp(f *Front) (string, error) {
	var names []string
	for _, name := range f.Names {
		names = append(names, regexp.QuoteMeta(name)+`\z`)
	}
	for _, family := range f.Families {
		names = append(names, regexp.QuoteMeta(family))
	}
	return quoteTraefik("(?i)^(?:" + strings.Join(names, "|") + ")")
}

// traefikURL is where an app's server is.
func traefikURL(a *App, t Target) (string, error) {
	if t.Unix {
		return "", &Missing{fmt.Sprintf("Traefik cannot reach %s: it knows no unix sockets", t.Address), "have the app listen on a port of 127.0.0.1, and write that as its upstream"}
	}
	scheme := "http://"
	if a.TLS != nil {
		scheme = "https://"
	}
	return quoteTraefik(scheme + t.Address)
}
