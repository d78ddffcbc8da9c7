package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session/redis/redistest"
)

// askedOver is a gateway over one of the stores, and a request of somebody who signed in there.
func askedOver(b testing.TB, store string) (*gateway, *http.Request) {
	b.Helper()
	dir := b.TempDir()
	if err := config.SaveUsers(filepath.Join(dir, "users.yaml"), []config.User{{Name: "alice", Password: testHash, Email: "alice@example.com", Groups: []string{"staff"}}}); err != nil {
		b.Fatal(err)
	}
	session := "session: { store: " + store + " }"
	if store == "redis" {
		session = "session: { store: redis, redis: { addresses: [ \"" + redistest.Start(b).Address() + "\" ] } }"
	}
	file := filepath.Join(dir, "evergate.yaml")
	if err := os.WriteFile(file, []byte("public_url: http://localhost:8080\ndata_dir: data\nkeys: { files: [ "+newKeyFile(b)+" ] }\n"+session+`
identity: [ local: { users_file: users.yaml } ]
routes:
  - { match: { path: /app/ }, allow: [ { groups: [ staff ] } ], upstream: "http://127.0.0.1:9" }
`), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		b.Fatal(err)
	}
	g, err := build(cfg, slog.New(slog.DiscardHandler), parts{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := g.Close(); err != nil {
			b.Error(err)
		}
	})
	in := httptest.NewRequest("POST", "/.evergate/login", io.NopCloser(newForm(url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/"}})))
	in.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	in.Host = "localhost:8080"
	answer := httptest.NewRecorder()
	g.Public.ServeHTTP(answer, in)
	r := httptest.NewRequest("GET", "http://localhost:8080/app/page?x=1", nil)
	r.RequestURI = "/app/page?x=1" // httptest has the whole address there
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.AddCookie(&http.Cookie{Name: "theme", Value: "dark"})
	for _, c := range answer.Result().Cookies() {
		r.AddCookie(c)
	}
	return g, r.WithContext(web.WithNote(r.Context(), &web.Note{ID: "x", Client: netip.MustParseAddr("192.0.2.1"), Scheme: "http"}))
}

// BenchmarkDecideCookie is a decision alone, from the cookie to the Login to the rule, of
// somebody whose session is known here.
func BenchmarkDecideCookie(b *testing.B) {
	for _, store := range []string{"bolt", "redis"} {
		b.Run(store, func(b *testing.B) {
			g, r := askedOver(b, store)
			gate := g.current.Load().gate
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
