package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLookIsServedEverywhere: what a page is made with is there on every host that shows
// one, for people who are signed in and who are not.
func TestLookIsServedEverywhere(t *testing.T) {
	server := gatewayOf(t, map[string]string{"logo.svg": `<svg xmlns="http://www.w3.org/2000/svg"/>`, "pages/error.html": "x", "pages/style.css": "p {}"}, `
pages: { name: Acme, logo_file: logo.svg, logo_dark_file: logo.svg, templates: pages, colors: { accent_dark: "#9cc3ff" } }
routes:
  - { match: { host: wiki.localhost }, upstream: "http://127.0.0.1:9" }
  - { upstream: "http://127.0.0.1:9" }
`)
	for _, host := range []string{"localhost:8080", "wiki.localhost:8080"} {
		for path, kind := range map[string]string{"/.evergate/colors.css": "text/css; charset=utf-8", "/.evergate/logo": "image/svg+xml", "/.evergate/logo-dark": "image/svg+xml",
			"/.evergate/pages.css": "text/css; charset=utf-8", "/.evergate/style.css": "text/css; charset=utf-8"} {
			r, err := http.NewRequest("GET", server.URL+path+"?v=1", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 200 || res.Header.Get("Content-Type") != kind {
				t.Errorf("%s on %s: got %d %s, want %s", path, host, res.StatusCode, res.Header.Get("Content-Type"), kind)
			}
		}
	}
}

// TestLookIsReloaded: a new name, logo and text show once their files hold them, and a
// colour in which nobody could read leaves all of it as it was.
func TestLookIsReloaded(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(echo))
	defer app.Close()
	p := newProcess(t, app.URL)
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(filepath.Dir(p.file), name)
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		if err == nil {
			err = os.WriteFile(name, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("logo.svg", `<svg xmlns="http://www.w3.org/2000/svg"/>`)
	write("messages/de.json", `{"Sign in": "Herein"}`)
	p.edit("routes:", "pages: { name: Acme, logo_file: logo.svg, messages: messages, colors: { accent: \"#1f4f8f\" } }\nroutes:")
	p.start()
	defer p.kill()
	page := func() string {
		t.Helper()
		_, body := fetch(t, "GET", p.base+"/.evergate/login", "Accept", "text/html", "Accept-Language", "de")
		return body
	}
	logo := regexp.MustCompile(`/\.evergate/logo\?v=\w+`)
	before := page()
	if !strings.Contains(before, "<h1>Herein</h1>") || !strings.Contains(before, `alt="Acme"`) || !logo.MatchString(before) {
		t.Fatalf("got\n%s\nwant the operator's page", before)
	}
	write("messages/de.json", `{"Sign in": "Nur herein"}`)
	p.within("the new text", func() bool { return strings.Contains(page(), "<h1>Nur herein</h1>") })
	write("logo.svg", `<svg xmlns="http://www.w3.org/2000/svg" width="9"/>`)
	p.within("the new logo", func() bool { return logo.FindString(page()) != logo.FindString(before) })
	p.edit("Acme", "Emca")
	p.within("the new name", func() bool { return strings.Contains(page(), `alt="Emca"`) })
	p.edit(`name: Emca, logo_file: logo.svg, messages: messages, colors: { accent: "#1f4f8f"`, `name: Nope, logo_file: logo.svg, messages: messages, colors: { accent: "#eeeeee"`)
	p.within("the word that it is bad", func() bool {
		_, ready := p.admin("/readyz")
		return strings.Contains(ready, "pages.colors.accent: a link (#eeeeee)")
	})
	if got := page(); !strings.Contains(got, `alt="Emca"`) {
		t.Errorf("got\n%s\nwant the page of before", got)
	}
}
