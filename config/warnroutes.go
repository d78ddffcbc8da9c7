package config

import (
	"fmt"
	"slices"
	"strings"
)

type warner func(path, format string, args ...any)

// warnPlain tells of upstreams that are spoken to in the clear, once each however many
// routes lead there.
func (c *Config) warnPlain(warn warner) {
	type plain struct {
		path, host    string
		others, again int
	}
	found := map[string]*plain{}
	var order []*plain
	for i := range c.Routes {
		u := c.Routes[i].Upstream
		if u == nil {
			continue
		}
		var here *plain
		for j, t := range u.Targets {
			switch {
			case t.URL.Scheme != "http" || IsLoopback(t.URL.Hostname()):
			case here == nil:
				here = &plain{path: c.targetPath(fmt.Sprintf("routes[%d].upstream", i), j), host: t.URL.Host}
			default:
				here.others++
			}
		}
		if here == nil {
			continue
		}
		if first := found[u.String()]; first != nil {
			first.again++
			continue
		}
		found[u.String()] = here
		order = append(order, here)
	}
	for _, p := range order {
		who := p.host
		if p.others > 0 {
			who += fmt.Sprintf(" and %d more", p.others)
		}
		if p.again > 0 {
			who += fmt.Sprintf(" (%d more routes lead there)", p.again)
		}
		warn(p.path, "tokens travel to %s in the clear, and so does all that people and the app say: whoever is on the way can read and change it. "+
			"Use https:// (tls.ca_file is for an authority of your own), or reach the app over loopback or a unix socket", who)
	}
}

// place is where a route stands among others.
type place struct{ host, path string }

func whereIs(m *Match) place {
	if m.Path == "" {
		return place{m.Host, "/"}
	}
	return place{m.Host, m.Path}
}

// warnRoutes tells of routes that get other requests than they seem to.
func (c *Config) warnRoutes(warn warner) {
	at := map[place][]int{}
	for i := range c.Routes {
		p := whereIs(&c.Routes[i].Match)
		at[p] = append(at[p], i)
	}
	for i := range c.Routes {
		if other, bare := c.bare(i, at); bare != "" && !c.Routes[i].Admin { // the dashboard shows nothing there
			warn(fmt.Sprintf("routes[%d].match.path", i), "%s itself is not under it, and goes by %s. Many apps show the same page there: add a route for it", bare, other)
		}
		if lines := c.winners(i, at); lines != nil {
			warn(fmt.Sprintf("routes[%d]", i), "no browser gets here: the routes on lines %s are for the same host and path, and between them for every method. "+
				"Remove it, or a method there", strings.Join(lines, ", "))
		}
	}
}

// bare finds the path of a guarded route without its last slash, where another
// route that guards less is what it goes by.
func (c *Config) bare(i int, at map[place][]int) (other, bare string) {
	r := &c.Routes[i]
	bare, folder := strings.CutSuffix(r.Match.Path, "/")
	if !folder || bare == "" || r.Public || r.Allow == nil && r.Deny == nil && r.Rules == nil && r.Providers == nil {
		return "", ""
	}
	if at[place{r.Match.Host, bare}] != nil {
		return "", ""
	}
	wider := slices.Concat(at[place{r.Match.Host, "/"}], at[place{"", "/"}])
	wider = slices.DeleteFunc(wider, func(j int) bool { return j == i })
	if len(wider) == 0 {
		return "", ""
	}
	return fmt.Sprintf("routes[%d]", slices.Min(wider)), bare
}

// winners are the lines of the routes that win all requests that routes[i] matches. Since
// of two routes for one host the one with the more specific path wins, and no set of more
// specific paths is all of a wider one, that takes routes for the same path, which are more
// specific by their methods.
func (c *Config) winners(i int, at map[place][]int) (lines []string) {
	if len(c.Routes[i].Match.Methods) > 0 {
		return nil // another with one of them would be a tie
	}
	taken := map[string]bool{}
	for _, j := range at[whereIs(&c.Routes[i].Match)] {
		m := &c.Routes[j].Match
		if len(m.Methods) == 0 {
			continue
		}
		for _, method := range m.Methods {
			taken[method] = true
			taken["HEAD"] = taken["HEAD"] || method == "GET"
		}
		line := 0
		if c.doc != nil {
			line = c.doc.node(fmt.Sprintf("routes[%d]", j)).Line
		}
		lines = append(lines, fmt.Sprint(line))
	}
	for _, method := range methods {
		if !taken[method] {
			return nil
		}
	}
	return lines
}
