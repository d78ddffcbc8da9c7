package proxy

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Candidate is a route that an address leads to, or would if another did not win.
type Candidate struct {
	Route *Route
	// Why says why it wins, or what it loses by.
	Why string
}

// Candidates are the routes whose host and path match, the one that wins first. That is
// the one of which Match asks the method: where it does not serve it, no other is asked.
// It looks at every route, and is for explanations; Match does not.
func (rt *Router) Candidates(host, path, method string) []Candidate {
	name, _, ok := cleanHost(host)
	if !ok || path == "" {
		return nil
	}
	var found []*Route
	for _, r := range rt.all {
		if r.matchesHost(name) && r.matchesPath(path) {
			found = append(found, r)
		}
	}
	rank := func(a, b *Route) int {
		return cmp.Or(compareHosts(b, a), comparePaths(b, a), cmp.Compare(b.rankMethod(method), a.rankMethod(method)))
	}
	slices.SortStableFunc(found, rank)
	out := make([]Candidate, len(found))
	for i, r := range found {
		out[i] = Candidate{Route: r}
		if i > 0 {
			out[i].Why = losesBy(found[0], r)
			continue
		}
		switch {
		case r.rankMethod(method) == 0:
			out[i].Why = fmt.Sprintf("its path is the most specific, and it does not serve %s", method)
		case len(found) == 1:
			out[i].Why = "no other matches"
		default:
			out[i].Why = "it is the most specific"
		}
	}
	return out
}

// losesBy says what r loses to the winner by.
func losesBy(winner, r *Route) string {
	switch {
	case compareHosts(winner, r) != 0 && r.Host == "":
		return fmt.Sprintf("it is for every host, and the first for %s", winner.Host)
	case compareHosts(winner, r) != 0:
		return fmt.Sprintf("its host %s is less specific than %s", r.Host, winner.Host)
	case comparePaths(winner, r) != 0:
		return fmt.Sprintf("its path %s is less specific than %s", r.pattern(), winner.pattern())
	case len(r.Methods) == 0:
		return "it serves any method, and the first names this one"
	}
	return "it serves " + strings.Join(r.Methods, ", ") + " alone"
}

func (r *Route) matchesHost(name string) bool {
	pattern := strings.ToLower(strings.TrimSuffix(r.Host, "."))
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(name) > len(below) && strings.HasSuffix(name, below)
	}
	return pattern == "" || pattern == name
}

func (r *Route) matchesPath(path string) bool {
	pattern, _ := canonicalPath(r.pattern())
	want, have := strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/")
	folder := want[len(want)-1] == ""
	if folder {
		want = want[:len(want)-1]
	}
	if len(have) < len(want) || len(have) == len(want) && folder || len(have) > len(want) && !folder {
		return false
	}
	for i, w := range want {
		if w != have[i] && (w != "*" || have[i] == "") {
			return false
		}
	}
	return true
}

// rankMethod is how well a route's methods match: 0 not at all, 1 any, then by name.
func (r *Route) rankMethod(method string) int {
	switch {
	case slices.Contains(r.Methods, method):
		return 3
	case method == http.MethodHead && slices.Contains(r.Methods, http.MethodGet):
		return 2
	case len(r.Methods) == 0:
		return 1
	}
	return 0
}

// compareHosts is above zero where a's host is more specific than b's. Both match.
func compareHosts(a, b *Route) int {
	rank := func(r *Route) int {
		switch name := strings.TrimSuffix(r.Host, "."); {
		case name == "":
			return 0
		case strings.HasPrefix(name, "*"):
			return len(name)
		}
		return 1 << 16
	}
	return cmp.Compare(rank(a), rank(b))
}

// comparePaths is above zero where a's path is more specific than b's. Both match: at the
// first segment in which they differ a name counts more than "*", and that more than what
// ends there.
func comparePaths(a, b *Route) int {
	rank := func(segments []string, i int) int {
		switch {
		case i >= len(segments), segments[i] == "":
			return 0
		case segments[i] == "*":
			return 1
		}
		return 2
	}
	pa, _ := canonicalPath(a.pattern())
	pb, _ := canonicalPath(b.pattern())
	sa, sb := strings.Split(pa[1:], "/"), strings.Split(pb[1:], "/")
	for i := range max(len(sa), len(sb)) {
		if c := cmp.Compare(rank(sa, i), rank(sb, i)); c != 0 {
			return c
		}
	}
	return 0
}

// Routes are all routes, in the order in which they were given.
func (rt *Router) Routes() []*Route { return rt.all }
