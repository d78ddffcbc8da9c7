package snippet

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"text/template"
)

func init() {
	dialects["caddy"] = dialect{
		title: "Caddy",
		funcs: template.FuncMap{
			"quote": quoteCaddy, "address": caddyAddress, "bind": listenHost, "host": caddyHost, "name": caddyName,
			"removed": removedGlobs, "proofs": proofs, "own": func() string { return ownRegexp },
			"cookie": caddyCookie, "target": caddyTarget, "weights": weights, "redirects": redirectsHTTP,
		},
		after: `Write it to /etc/caddy/Caddyfile, check it and have Caddy read it:
  caddy validate --config /etc/caddy/Caddyfile
  systemctl reload caddy`,
	}
}

// ownRegexp matches the gateway's own pages in a path, in any case of letters.
const ownRegexp = `(?i)^/\.evergate(?:/|\z)`

// quoteCaddy writes a value as one token of a Caddyfile. Nothing is read inside backquotes
// but braces, which name a placeholder or an environment variable wherever they stand.
func quoteCaddy(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune("{}`", r) }) {
		return "", fmt.Errorf("a Caddyfile cannot hold %q: it has a brace, a backquote or a control character", s)
	}
	return "`" + s + "`", nil
}

// caddyAddress is the site address for every host: the scheme, and the port of Listen.
func caddyAddress(f *Front) (string, error) {
	_, port, err := net.SplitHostPort(f.Listen)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port: %w", f.Listen, err)
	}
	return f.Public.Scheme + "://:" + port, nil
}

// listenHost is the host of Listen; "" is every address.
func listenHost(f *Front) (string, error) {
	host, _, err := net.SplitHostPort(f.Listen)
	return host, err
}

// caddyHost matches requests to a site. Caddy's own wildcards are for one label.
func caddyHost(s Site) (string, error) {
	if below, ok := strings.CutPrefix(s.Host, "*."); ok {
		re, err := quoteCaddy(`(?i)^(?:[a-z0-9_-]+\.)+` + regexp.QuoteMeta(below) + `\z`)
		return "vars_regexp {http.request.host} " + re, err
	}
	name, err := quoteCaddy(strings.Trim(s.Host, "[]"))
	return "host " + name, err
}

// caddyName is the Host header of a site, and for a wildcard what the browser sent.
func caddyName(f *Front, s Site) (string, error) {
	if name := f.Host(s); name != "" {
		return quoteCaddy(name)
	}
	return "{http.request.hostport}", nil
}

// removedGlobs are the names of client's headers that go no further, with a star at an
// end for anything there. Authorization is not among them: the decision reads it. A name
// with other bytes than letters, digits and hyphens is told from none by the apps that
// make variables of it, so that none of those goes up.
func removedGlobs(f *Front) ([]string, error) {
	var named []string
	for _, family := range f.unasked() {
		named = append(named, "-"+family+"*")
	}
	for _, name := range f.Names {
		if name != "authorization" {
			named = append(named, "-"+name)
		}
	}
	for _, g := range named {
		if strings.ContainsFunc(g, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '*' }) {
			return nil, fmt.Errorf("%q is not the beginning of a folded header name", g)
		}
	}
	var globs []string
	for _, c := range "!#$%&'*+.^_|~" {
		globs = append(globs, "`-*"+string(c)+"*`")
	}
	return append(append(globs, "\"-*`*\""), named...), nil
}

// caddyTarget is where an app's server is.
func caddyTarget(t Target) (string, error) {
	if t.Unix {
		return quoteCaddy("unix/" + t.Address)
	}
	return quoteCaddy(t.Address)
}

// weights are those of an app's targets, "" where all are alike.
func weights(a *App) string {
	var all []string
	alike := true
	for _, t := range a.Targets {
		all = append(all, fmt.Sprint(t.Weight))
		alike = alike && t.Weight == a.Targets[0].Weight
	}
	if alike {
		return ""
	}
	return strings.Join(all, " ")
}

// plainListen is where plain http is answered that is to be https.
func plainListen(f *Front) (string, error) {
	host, err := listenHost(f)
	return net.JoinHostPort(host, "80"), err
}

// caddyCookie is an expression for lines of Set-Cookie that any browser could take for one
// of the gateway's.
func caddyCookie(f *Front) (string, error) {
	return quoteCaddy(`(?is)^[\s="]*` + anyOf(f.Cookies) + `(?:-[^=;]*)?[\s"]*(?:[=;].*)?$`)
}
