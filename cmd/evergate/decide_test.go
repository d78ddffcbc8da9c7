package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
)

// manyRoutes is a config of n routes that share a hundred rules, of which the last holds.
func manyRoutes(t testing.TB, n int) *config.Config {
	t.Helper()
	var b strings.Builder
	b.WriteString("public_url: https://apps.example.com\nidentity: [ local: { users_file: u.yaml } ]\nrules:\n  all:\n    deny:\n")
	for i := range 20 {
		fmt.Fprintf(&b, "      - groups: [leavers-%d]\n", i)
	}
	b.WriteString("    allow:\n")
	for i := range 79 {
		fmt.Fprintf(&b, "      - groups: [team-%d]\n        networks: [10.%d.0.0/16]\n", i, i)
	}
	b.WriteString("      - groups: [staff]\nroutes:\n")
	for i := range n {
		fmt.Fprintf(&b, "- {match: {host: a%d.example.com, path: /a/%d/}, rules: [all], upstream: \"http://127.0.0.1:9\"}\n", i%97, i)
	}
	cfg, err := config.Parse("many.yaml", []byte(b.String()), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// BenchmarkDecide: among 10 routes and among 10,000, behind a hundred rules each.
func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		cfg := manyRoutes(b, n)
		router, _, err := buildRouter(cfg, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		i := n - 1
		host, path := fmt.Sprintf("a%d.example.com", i%97), fmt.Sprintf("/a/%d/page", i)
		b.Run(fmt.Sprintf("match/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := router.Match(host, path, "GET"); err != nil {
					b.Fatal(err)
				}
			}
		})
		alice := &auth.Login{Identity: auth.Identity{User: "alice", Provider: "local", Groups: []string{"wiki", "staff"}}}
		gate := &proxy.Gate{Router: router, Auth: signedIn{alice}}
		b.Run(fmt.Sprintf("decide/%d", n), func(b *testing.B) {
			r := httptest.NewRequest("GET", "https://"+host+path, nil)
			r.RequestURI = path // httptest has the whole address there
			r = r.WithContext(web.WithNote(r.Context(), &web.Note{ID: "x", Client: netip.MustParseAddr("192.0.2.1"), Scheme: "https"}))
			b.ReportAllocs()
			var d proxy.Decision // a gate has it beside what it carries a request by
			for b.Loop() {
				if gate.DecideInto(&d, r); d.Outcome != proxy.Allowed {
					b.Fatal(d.Outcome, d.Err)
				}
			}
		})
	}
}

// signedIn is somebody who is signed in.
type signedIn struct{ login *auth.Login }

func (s signedIn) Authenticate(*http.Request) (*auth.Login, error) { return s.login, nil }

// TestMatchingAllocatesNothing: however many routes there are.
func TestMatchingAllocatesNothing(t *testing.T) {
	router, _, err := buildRouter(manyRoutes(t, 10000), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	host := fmt.Sprintf("a%d.example.com", 9000%97)
	for _, path := range []string{"/a/9000/page", "/a/9000/", "/a/nowhere/x"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = router.Match(host, path, "GET") }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}
