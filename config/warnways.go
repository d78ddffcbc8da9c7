package config

import (
	"fmt"
	"slices"
	"strings"
)

// warnWays tells of routes by which people get to what another route guards more tightly:
// the paths are others, and what is behind them is the same.
func (c *Config) warnWays(warn warner) {
	a := c.newAtlas()
	all, shifting := map[string][]int{}, map[string][]int{}
	for i := range c.Routes {
		for _, p := range a.places(i) {
			if k := len(all[p]); k > 0 && all[p][k-1] == i {
				continue // two of its targets
			}
			all[p] = append(all[p], i)
			if a.shifts(i) {
				shifting[p] = append(shifting[p], i)
			}
		}
	}
	for i := range c.Routes {
		told := false
		for _, p := range a.places(i) {
			others := all[p]
			if !a.shifts(i) {
				others = shifting[p] // of two that change no path each has its own
			}
			if told = slices.ContainsFunc(others, func(j int) bool { return c.warnAround(a, i, j, warn) }); told {
				break
			}
		}
		if !told {
			c.warnInto(a, i, warn)
		}
	}
	a.left = mostLooked
	for i := range c.Routes {
		c.warnBelow(a, i, warn)
	}
}

// probed are methods by which the routes for a path are told apart.
func probed(r *Route) []string {
	if len(r.Match.Methods) > 0 {
		return r.Match.Methods
	}
	return []string{"GET", "POST"}
}

// guards reports whether the route may refuse anybody.
func (c *Config) guards(r *Route) bool {
	return !r.Public || r.Deny != nil || r.Rules != nil
}

// lineOf is the line of what stands at path.
func (c *Config) lineOf(path string) int { return c.Fault(path, "").Line }

// warnAround looks for a request that goes by routes[i] and comes to what routes[j] guards
// more tightly, and warns of the first one.
func (c *Config) warnAround(a *atlas, i, j int, warn warner) bool {
	if a.left--; i == j || a.left < 0 || !c.guards(&c.Routes[j]) {
		return false
	}
	way, guard := fmt.Sprintf("routes[%d]", i), fmt.Sprintf("routes[%d]", j)
	for _, more := range []string{"x", ""} {
		guarded := a.pathOf(j, more)
		up := a.behind(j, guarded)
		for _, asked := range a.ways(i, up) {
			if a.left--; asked == guarded || a.behind(i, asked) != up {
				continue
			}
			for _, method := range probed(&c.Routes[j]) {
				host, ok := a.together(i, j, asked, guarded, method)
				if !ok {
					continue
				}
				if !a.shifts(i) {
					if why := a.laxer(i, j, method, "there"); why != "" {
						warn(guard+"."+shiftedBy(&c.Routes[j]), "this route guards %s of %s, and whoever asks for %s gets there by %s on line %d: %s. Add a route for %s with the rules of this one",
							up, &c.Routes[j], shownAt(host, asked), way, c.lineOf(way), why, asked)
						return true
					}
				} else if c.warnLeads(a, i, j, method, shownAt(host, asked), up, fmt.Sprintf("Add a route for %s with the rules of that one, or give them to this one", asked), warn) {
					return true
				}
			}
		}
	}
	return false
}

// warnInto looks for a request that goes by routes[i] into a part of what another route guards
// by its own path. That a part of an app is open which is guarded as a whole is what routes are
// for, and so is one that is open under its own path too.
func (c *Config) warnInto(a *atlas, i int, warn warner) {
	r := &c.Routes[i]
	if r.Upstream == nil || !a.shifts(i) {
		return
	}
	host, asked := a.hostOf(i), a.pathOf(i, "x")
	up := a.behind(i, asked)
	for _, method := range probed(r) {
		j := a.find(host, up, method)
		if j < 0 || j == i || whereIs(&c.Routes[j].Match).path == "/" || a.behind(j, up) != up || a.find(host, asked, method) != i ||
			!slices.ContainsFunc(a.places(i), func(p string) bool { return slices.Contains(a.places(j), p) }) {
			continue
		}
		if c.warnLeads(a, i, j, method, shownAt(host, asked), up, fmt.Sprintf("Give both the same rules; where it is meant, a route for %s says so", up), warn) {
			return
		}
	}
}

// warnLeads warns where routes[i] is laxer than routes[j], to whose part of the app it leads.
func (c *Config) warnLeads(a *atlas, i, j int, method, asked, up, mend string, warn warner) bool {
	why := a.laxer(i, j, method, "here")
	if why == "" {
		return false
	}
	r, guard := &c.Routes[i], fmt.Sprintf("routes[%d]", j)
	warn(fmt.Sprintf("routes[%d].%s", i, shiftedBy(r)), "by this %s comes to %s of %s, which %s on line %d guards: %s. %s", asked, up, r, guard, c.lineOf(guard), why, mend)
	return true
}

// together is a host on which way goes by routes[i] while guarded goes by routes[j]: an app
// that tells hosts apart is the same then. Where both send the same name it need not be.
func (a *atlas) together(i, j int, way, guarded, method string) (host string, ok bool) {
	for _, host := range []string{a.hostOf(j), a.hostOf(i)} {
		if a.find(host, way, method) == i && a.find(host, guarded, method) == j {
			return host, true
		}
	}
	sent := a.c.Routes[i].Host
	if sent == "" || sent == HostPreserve || sent != a.c.Routes[j].Host {
		return "", false
	}
	host = a.hostOf(i)
	return host, a.find(host, way, method) == i && a.find(a.hostOf(j), guarded, method) == j
}

// shiftedBy is the key by which paths are others behind the route.
func shiftedBy(r *Route) string {
	switch {
	case r.Rewrite != nil:
		return "rewrite"
	case r.StripPrefix != "":
		return "strip_prefix"
	case r.AddPrefix != "":
		return "add_prefix"
	}
	return "static"
}

// shownAt is an address, for people: without a host where any will do.
func shownAt(host, path string) string {
	if host == "" {
		return path
	}
	return "https://" + host + path
}

// warnBelow tells of a path that is guarded by itself alone, while what lies below it at the
// same place goes by a route that guards less: many apps show the same there. Who has written a
// route for that very folder has said what is for it.
func (c *Config) warnBelow(a *atlas, j int, warn warner) {
	r := &c.Routes[j]
	places := a.places(j)
	if r.Match.Path == "" || strings.HasSuffix(r.Match.Path, "/") || places == nil || a.left < 0 || !c.guards(r) {
		return
	}
	host, guarded := a.hostOf(j), a.pathOf(j, "")
	for _, method := range probed(r) {
		if a.find(host, guarded, method) != j {
			continue
		}
		for _, more := range []string{"/", "/x", "/x/y"} {
			i := a.find(host, guarded+more, method)
			if i < 0 || i == j || c.Routes[i].Match.Path == r.Match.Path+"/" || a.behind(i, guarded+more) != strings.TrimSuffix(a.behind(j, guarded), "/")+more ||
				!slices.ContainsFunc(a.places(i), func(p string) bool { return slices.Contains(places, p) }) {
				continue
			}
			if why := a.laxer(i, j, method, "there"); why != "" {
				wider := fmt.Sprintf("routes[%d]", i)
				warn(fmt.Sprintf("routes[%d].match.path", j), "it is this path alone: %s, which lies below it, goes to the same place by %s on line %d, and %s. "+
					"Add a route for %s/ with the rules of this one", shownAt(host, guarded+more), wider, c.lineOf(wider), why, r.Match.Path)
				return
			}
		}
	}
}
