package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/evergate/evergate/auth/local"
)

// tracingCost is a gateway of which BenchmarkRequest and docs/tracing.md tell what a
// request costs. More is what its config says besides.
func tracingCost(t testing.TB, more string) (ask func(path string), signedIn *http.Cookie) {
	t.Helper()
	hash, err := local.NewHasher(1).Hash(t.Context(), testPassword)
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	t.Cleanup(app.Close)
	g := gatewayWith(t, more+`
routes:
  - { name: open, match: { path: /open }, public: true, respond: { body: ok } }
  - { name: mine, match: { path: /mine }, respond: { body: ok } }
  - { name: app, match: { path: /app }, upstream: "`+app.URL+`" }
`, parts{Users: []local.User{{Name: "alice", Password: hash}}})
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
	}, cookie
}

// BenchmarkRequest is what a request costs within the gateway, the request and the recorder
// of its answer included.
func BenchmarkRequest(b *testing.B) {
	for _, path := range []string{"/open", "/mine", "/app"} {
		b.Run(path[1:], func(b *testing.B) {
			ask, _ := tracingCost(b, "")
			ask(path)
			b.ReportAllocs()
			for b.Loop() {
				ask(path)
			}
		})
	}
}
