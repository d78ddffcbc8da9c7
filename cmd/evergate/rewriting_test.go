package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
)

// wired builds a gateway with these routes, as a config file has them.
func wired(t *testing.T, routes string) *gateway {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "evergate.yaml")
	text := "public_url: http://localhost:8080\nidentity: [ local: { users_file: users.yaml } ]\nroutes:\n" + routes
	for name, text := range map[string]string{file: text, filepath.Join(dir, "users.yaml"): "users: {}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	g, err := build(cfg, slog.New(slog.DiscardHandler), parts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// served is a gateway with these routes, on a listener.
func served(t *testing.T, routes string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(wired(t, routes).Public)
	t.Cleanup(server.Close)
	return server
}

// ask gets a page without following redirects.
func ask(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// TestRewritingIsWired: what the file says about paths and hosts is what happens, on
// routes that share all else.
func TestRewritingIsWired(t *testing.T) {
	var checked atomic.Pointer[string]
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			checked.Store(&r.Host)
			return
		}
		w.Header().Set("Location", "http://"+r.Host+"/app/login")
		fmt.Fprintf(w, "%s %s", r.Host, r.RequestURI)
	}))
	defer app.Close()
	addr := strings.TrimPrefix(app.URL, "http://")
	server := served(t, fmt.Sprintf(`
  - { public: true, match: { path: /w/ }, strip_prefix: /w, add_prefix: /app, upstream: %[1]q }
  - { public: true, match: { path: /u/ }, strip_prefix: /u, add_prefix: /app, host: upstream, upstream: %[1]q }
  - { public: true, match: { path: /r/ }, rewrite: { path: "^/r/(?P<page>.*)$", to: "/app/$${page}/$1" }, upstream: %[1]q }
  - { public: true, match: { path: /n/ }, strip_prefix: /n, add_prefix: /app, host: wiki.internal,
      upstream: { targets: [%[1]q], health: { path: /healthz } } }
`, app.URL))
	self := strings.TrimPrefix(server.URL, "http://")
	for path, want := range map[string][2]string{
		"/w/a?b": {self + " /app/a?b", server.URL + "/w/login"},
		"/r/a?b": {self + " /app/a/a?b", server.URL + "/app/login"},
		"/u/a":   {addr + " /app/a", server.URL + "/u/login"},
		"/n/a":   {"wiki.internal /app/a", server.URL + "/n/login"},
	} {
		res, body := ask(t, server.URL+path)
		if got := res.Header.Get("Location"); body != want[0] || got != want[1] {
			t.Errorf("%s: got %q and Location %q, want %q", path, body, got, want)
		}
	}
	for range 500 {
		if checked.Load() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if host := checked.Load(); host == nil || *host != "wiki.internal" {
		t.Errorf("health checks ask %v, want wiki.internal", host)
	}
}

// TestHeadersAreWired: what the file says about headers is what happens.
func TestHeadersAreWired(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "old")
		w.Header().Set("X-Kind", "app")
		fmt.Fprintf(w, "%s|%s|%s|%s", r.Header["X-Route"], r.Header["X-User"], r.Header["User-Agent"], r.Header["X-Many"])
	}))
	defer app.Close()
	server := served(t, fmt.Sprintf(`
  - public: true
    name: first
    request_headers: { set: { X-Route: "{route.name}", X-User: "{user}" }, add: { X-Many: a }, remove: [User-Agent] }
    response_headers: { set: { X-Kind: "{{gateway}}" }, add: { X-Id: "{request.id}" }, remove: [Server] }
    upstream: %q
`, app.URL))
	res, body := ask(t, server.URL)
	if want := "[first]|[]|[]|[a]"; body != want {
		t.Errorf("the app got %s, want %s", body, want)
	}
	if h := res.Header; h.Get("Server") != "" || h.Get("X-Kind") != "{gateway}" || h.Get("X-Id") == "" || h.Get("X-Id") != h.Get("X-Request-Id") {
		t.Errorf("the browser got %v", h)
	}
}
