//go:build unix

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReloadTakesEveryPart: pages of the operator's own, their stylesheet, fixed answers,
// secrets for an app and hosts of apps come and change with a reload, and a page that
// cannot be made refuses it.
func TestReloadTakesEveryPart(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Key", r.Header.Get("X-Api-Key"))
	}))
	defer app.Close()
	p := newProcess(t, app.URL)
	dir := filepath.Dir(p.file)
	file := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file("pages/error.html", "<!doctype html><title>{{.Title}}</title><p>first {{.Status}}")
	file("key", "first\n")
	p.start()
	defer p.kill()
	ask := func(path, host string) (int, http.Header, string) {
		t.Helper()
		req, err := http.NewRequest(http.MethodGet, p.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "text/html")
		if host != "" {
			req.Host = host
		}
		client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header, string(body)
	}
	says := func(path, want string) func() bool {
		return func() bool { _, _, body := ask(path, ""); return strings.Contains(body, want) }
	}

	p.edit("routes:\n", `pages: { templates: pages }
routes:
  - { public: true, match: { path: /fixed }, respond: { body: first } }
  - { public: true, match: { path: /keyed }, upstream: "`+app.URL+`", upstream_auth: { api_key: { header: X-Api-Key, file: key } } }
  - { match: { host: wiki.localhost }, upstream: "`+app.URL+`" }
`)
	p.within("the page", says("/.evergate/nothing", "first 404"))
	p.within("the fixed answer", says("/fixed", "first"))
	p.within("the key", func() bool { _, h, _ := ask("/keyed", ""); return h.Get("X-Key") == "first" })
	p.within("the host of an app", func() bool {
		_, h, _ := ask("/.evergate/login", "wiki.localhost")
		return strings.HasPrefix(h.Get("Location"), p.base+"/.evergate/login?to=")
	})

	file("pages/error.html", "<!doctype html><title>{{.Title}}</title><p>second {{.Status}}")
	p.within("the page that changed", says("/.evergate/nothing", "second 404"))
	file("pages/error-404.html", "<!doctype html><title>{{.Title}}</title><p>third {{.Status}}")
	p.within("a page more", says("/.evergate/nothing", "third 404"))
	file("key", "second\n")
	p.within("the key that changed", func() bool { _, h, _ := ask("/keyed", ""); return h.Get("X-Key") == "second" })

	file("pages/error.html", "<!doctype html>{{.Nonsense}}")
	p.within("the word that the page is bad", func() bool {
		code, ready := p.admin("/readyz")
		return code == 200 && strings.Contains(ready, "pages.templates") && strings.Contains(ready, "Nonsense")
	})
	if !says("/.evergate/nothing", "third 404")() {
		t.Error("the page of before is not there any more")
	}
}
