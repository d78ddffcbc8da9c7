package snippet

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/config"
)

// placed is a route as far as a front proxy is concerned.
type placed struct {
	host, pattern string
	app           *App
}

// hosts are those that are served: those that are named, public_url's first, and then the
// wildcards, the longest first. So the first that matches is the most specific one.
func hosts(cfg *config.Config, routes []placed) []string {
	all := cfg.Hosts()[:1]
	if strings.Contains(all[0], ":") {
		all[0] = "[" + all[0] + "]"
	}
	for _, r := range routes {
		if r.host != "" && !slices.Contains(all, r.host) {
			all = append(all, r.host)
		}
	}
	slices.SortStableFunc(all, func(a, b string) int {
		wildA, wildB := strings.HasPrefix(a, "*."), strings.HasPrefix(b, "*.")
		switch {
		case wildA && wildB:
			return len(b) - len(a)
		case wildA:
			return 1
		case wildB:
			return -1
		}
		return 0
	})
	return all
}

// paths are those of a host, in the order in which the gateway's router prefers them: the
// routes of the host itself, then those of the wildcards above it, the longest first, then
// those of every host; within each by their segments. Methods are not the front proxy's
// to tell apart: where they decide between two apps, the requests go through the gateway.
func paths(host string, routes []placed) (all []Path) {
	for _, level := range levels(host, routes) {
		var own []Path
		for _, r := range routes {
			if r.host != level {
				continue
			}
			i := slices.IndexFunc(own, func(p Path) bool { return decoded(p.Pattern) == decoded(r.pattern) })
			if i < 0 {
				own = append(own, Path{r.pattern, r.app})
			} else if own[i].App != r.app {
				own[i].App = nil
			}
		}
		slices.SortStableFunc(own, func(a, b Path) int {
			return slices.CompareFunc(strings.Split(decoded(a.Pattern), "/"), strings.Split(decoded(b.Pattern), "/"), compareSegments)
		})
		for _, p := range own {
			if !slices.ContainsFunc(all, func(before Path) bool { return decoded(before.Pattern) == decoded(p.Pattern) }) {
				all = append(all, p)
			}
			if p.Any() {
				return all
			}
		}
	}
	return append(all, Path{Pattern: "/"}) // the gateway says that nothing is there
}

// levels are the hosts of routes that count for a host, the most specific first.
func levels(host string, routes []placed) (all []string) {
	all = []string{host}
	var wild []string
	for _, r := range routes {
		if above, ok := strings.CutPrefix(r.host, "*"); ok && r.host != host && strings.HasSuffix(host, above) && !slices.Contains(wild, r.host) {
			wild = append(wild, r.host)
		}
	}
	slices.SortFunc(wild, func(a, b string) int { return len(b) - len(a) })
	return append(append(all, wild...), "")
}

// compareSegments puts a name before *, and that before the end of a prefix.
func compareSegments(a, b string) int {
	rank := func(s string) int {
		switch s {
		case "*":
			return 1
		case "":
			return 2
		}
		return 0
	}
	if d := rank(a) - rank(b); d != 0 {
		return d
	}
	return strings.Compare(a, b)
}

func decoded(pattern string) string {
	if s, err := url.PathUnescape(pattern); err == nil {
		return s
	}
	return pattern // config has refused it
}

func targetOf(t config.Target) Target {
	if t.URL.Scheme == "unix" {
		return Target{Address: t.URL.Path, Unix: true, Weight: t.Weight}
	}
	port := t.URL.Port()
	switch {
	case port != "":
		return Target{Address: t.URL.Host, Weight: t.Weight}
	case t.URL.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return Target{Address: t.URL.Host + ":" + port, Weight: t.Weight}
}

// seconds rounds up: half a second is a bound, and none is not.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
