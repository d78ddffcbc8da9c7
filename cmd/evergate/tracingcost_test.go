package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
)

// tracingCost is a gateway of which BenchmarkRequest and docs/tracing.md tell what a
// request costs. More is what its config says besides.
func tracingCost(t testing.TB, more string) (ask func(path string)) {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(app.Close)
	g := gatewayWith(t, more+`
routes:
  - { name: open, match: { path: /open }, public: true, respond: { body: ok } }
  - { name: mine, match: { path: /mine }, respond: { body: ok } }
  - { name: app, match: { path: /app }, upstream: "`+app.URL+`" }
`, parts{Users: []local.User{{Name: "alice", Password: testHash}}})
	var cookie *http.Cookie
	send := func(method, path string, body url.Values) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		if body != nil {
			r = httptest.NewRequest(method, path, io.NopCloser(newForm(body)))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if cookie != nil {
			r.AddCookie(cookie)
		}
		r.Host = "localhost:8080"
		w := httptest.NewRecorder()
		g.Public.ServeHTTP(w, r)
		return w
	}
	for _, c := range send("POST", "/.evergate/login", url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/"}}).Result().Cookies() {
		if c.Name == g.cookie {
			cookie = c
		}
	}
	if cookie == nil {
		t.Fatal("nobody was signed in")
	}
	return func(path string) {
		if w := send("GET", path, nil); w.Code != http.StatusOK || w.Body.String() != "ok" {
			t.Fatalf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
}

// BenchmarkRequest is what a request costs within the gateway, the request and the recorder
// of its answer included.
func BenchmarkRequest(b *testing.B) {
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(collector.Close)
	for _, tracing := range []struct{ name, config string }{
		{"off", ""}, {"not-recorded", "tracing: { sample: 0, endpoint: \"" + collector.URL + "\" }"}, {"recorded", "tracing: { endpoint: \"" + collector.URL + "\" }"},
	} {
		for _, path := range []string{"/open", "/mine", "/app"} {
			b.Run(tracing.name+path, func(b *testing.B) {
				ask := tracingCost(b, tracing.config)
				ask(path)
				b.ReportAllocs()
				for b.Loop() {
					ask(path)
				}
			})
		}
	}
}

// gatewayWith builds a gateway on http://localhost:8080 with the rest of a config file.
func gatewayWith(t testing.TB, rest string, in parts) *gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "evergate.yaml")
	if err := os.WriteFile(file, []byte("public_url: http://localhost:8080\nidentity: [ local: { users_file: users.yaml } ]\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	g, err := build(cfg, slog.New(slog.DiscardHandler), in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return g
}

func newForm(values url.Values) io.Reader { return strings.NewReader(values.Encode()) }
