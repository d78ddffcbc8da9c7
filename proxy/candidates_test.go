package proxy_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/proxy"
)

// TestCandidatesAgreeWithMatch: over random routes and requests, the first candidate is
// the route that Match finds, or the one whose methods it refuses by.
func TestCandidatesAgreeWithMatch(t *testing.T) {
	way := newWay(t, proxy.UpstreamOptions{Target: "127.0.0.1:1"})
	rnd := rand.New(rand.NewPCG(6, 11))
	pick := func(of ...string) string { return of[rnd.IntN(len(of))] }
	path := func() string {
		var b strings.Builder
		for range rnd.IntN(3) {
			b.WriteString("/" + pick("a", "b", "*"))
		}
		if rnd.IntN(2) == 0 || b.Len() == 0 {
			b.WriteString("/")
		}
		return b.String()
	}
	found, refused, none := 0, 0, 0
	for range 2000 {
		var routes []*proxy.Route
		for range 1 + rnd.IntN(8) {
			r := &proxy.Route{Host: pick("", "x.test", "*.test", "*.x.test", "y.x.test"), Path: path(), Upstream: way, Policy: auth.Policy{Public: true}}
			if m := pick("", "GET", "POST", "HEAD"); m != "" {
				r.Methods = []string{m}
			}
			if !slices.ContainsFunc(routes, func(o *proxy.Route) bool {
				return o.Host == r.Host && o.Path == r.Path && slices.Equal(o.Methods, r.Methods)
			}) {
				routes = append(routes, r)
			}
		}
		router, err := proxy.NewRouter(routes)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			host, method := pick("x.test", "y.x.test", "z.y.x.test", "other"), pick("GET", "POST", "HEAD", "PUT")
			target := strings.ReplaceAll(path(), "*", pick("a", "b", "c"))
			got, err := router.Match(host, target, method)
			all := router.Candidates(host, target, method)
			switch {
			case got != nil:
				found++
				if len(all) == 0 || all[0].Route != got {
					t.Fatalf("%s %s%s: got candidates %v, want %s first", method, host, target, all, got)
				}
			case len(all) > 0:
				refused++
				if _, ok := err.(*proxy.MethodError); !ok || !strings.Contains(all[0].Why, "does not serve "+method) {
					t.Fatalf("%s %s%s: got %v and candidates %v, want them to agree", method, host, target, err, all)
				}
			default:
				none++
			}
			for i, c := range all {
				if c.Why == "" || i > 0 && c.Route == all[i-1].Route {
					t.Fatalf("got %v, want a reason for each", all)
				}
			}
		}
	}
	t.Logf("%d found, %d refused by their method, %d nowhere", found, refused, none)
	if found == 0 || refused == 0 || none == 0 {
		t.Error("a kind of answer never came up")
	}
}
