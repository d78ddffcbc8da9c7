package web_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/web"
)

func templates(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func lookOf(dir string) (*web.Look, error) {
	own, err := web.LoadTemplates(dir, nil)
	if err != nil {
		return nil, err
	}
	look, err := web.NewLook(web.LookConfig{Templates: own})
	if bad, ok := errors.AsType[*web.LookError](err); ok {
		return nil, bad.Err
	}
	return look, err
}

const person = "text/html"

// TestOwnErrorPages: the most specific template makes the page, whatever it is about,
// and a script gets what it always gets.
func TestOwnErrorPages(t *testing.T) {
	pages, err := lookOf(templates(t, map[string]string{
		"error.html": `<html><link rel=stylesheet href="{{.Stylesheet}}"><h1>{{.Title}}</h1><p>{{.Detail}}<p>{{.Status}} {{.StatusText}} {{.Code}} {{.Host}}
{{range .Links}}<a href="{{.URL}}">{{.Text}}</a>{{end}}{{with .RetryAfter}}in {{.}} s{{end}}{{template "_foot.html" .}}`,
		"error-404.html": `nothing here, {{.Code}}`,
		"error-5xx.html": `{{if eq .Host "bad.test"}}{{index .Links 7}}{{end}}ours, not yours {{.RequestID}}`,
		"_foot.html":     `<footer>{{.RequestID}}</footer>`, "style.css": "h1 { color: red }", "README": "{{",
	}))
	if err != nil {
		t.Fatal(err)
	}
	answer := map[string]error{
		"/403": &web.Error{Status: 403, Code: "not_allowed", Title: "No <b>", Detail: "Ask & see.", RetryAfter: 1500 * time.Millisecond,
			Links: []web.Link{{Text: "Other", URL: "/.evergate/logout?rd=%2F"}, {Text: "Evil", URL: "javascript:alert(1)"}}},
		"/404": &web.Error{Status: 404, Code: "no_route"}, "/502": &web.Error{Status: 502, Code: "down"}, "/500": io.ErrUnexpectedEOF,
	}
	book := &logBook{}
	handler := web.Serve(web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/panic" {
			panic("it broke")
		}
		return answer[r.URL.Path]
	}), web.Options{Look: pages, Log: slog.New(slog.NewJSONHandler(book, nil))})
	ask := func(path, accept, host string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		r.Host = host
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	for path, wants := range map[string][]string{
		"/403": {`<h1>No &lt;b&gt;</h1>`, `Ask &amp; see.`, `403 Forbidden not_allowed gw.test`, `<a href="/.evergate/logout?rd=%2F">Other</a>`,
			`href="#ZgotmplZ"`, "in 2 s", "/.evergate/pages.css?v=", "<footer>ID</footer>"},
		"/404": {"nothing here, no_route"}, "/502": {"ours, not yours ID"}, "/500": {"ours, not yours ID"}, "/panic": {"ours, not yours ID"},
	} {
		w := ask(path, person, "gw.test")
		for _, want := range wants {
			if want = strings.ReplaceAll(want, "ID", w.Header().Get("X-Request-Id")); !strings.Contains(w.Body.String(), want) {
				t.Errorf("%s: got\n%s\nwant in it %s", path, w.Body, want)
			}
		}
		if h := w.Header(); h.Get("Content-Security-Policy") != web.ContentPolicy || h.Get("Cache-Control") != "no-store" || h.Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: got %v, want the headers of every page", path, h)
		}
		if w := ask(path, "*/*", "gw.test"); w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s for a script: got %v", path, w.Header())
		}
	}
	w := ask("/502", person, "bad.test")
	if w.Code != 502 || !strings.Contains(w.Body.String(), "<h1>Bad Gateway</h1>") || strings.Contains(w.Body.String(), "ours") {
		t.Errorf("a template that fails: got %d\n%s\nwant the gateway's own page, and none of the other", w.Code, w.Body)
	}
	lines := book.lines(t)
	if last, _ := lines[len(lines)-1]["err"].(string); !strings.Contains(last, "error-5xx.html:1:") {
		t.Errorf("the access line says %q, want where the template failed", last)
	}
	w = httptest.NewRecorder()
	pages.Assets()[web.StylesheetPath].ServeHTTP(w, httptest.NewRequest("GET", "/.evergate/pages.css", nil))
	if w.Body.String() != "h1 { color: red }" || w.Header().Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("got %v %s", w.Header(), w.Body)
	}
}

// TestBrokenErrorPages: what cannot become a page is refused, with file and line.
func TestBrokenErrorPages(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a syntax error":                    {map[string]string{"error.html": "<p>\n{{.Title"}, "error.html:2: unclosed action"},
		"an unknown field":                  {map[string]string{"error.html": "<p>\n\n{{.Titel}}"}, "error.html:3:2: executing"},
		"an unknown field for one status":   {map[string]string{"error.html": "{{if eq .Status 418}}\n{{.Nope}}{{end}}"}, "error.html:2:"},
		"an unknown piece":                  {map[string]string{"error.html": "\n{{template \"_head.html\"}}"}, `error.html:2`},
		"a mistake in a piece":              {map[string]string{"error.html": "{{template \"_a.html\" .}}", "_a.html": "\n{{.X}}"}, "_a.html:2:"},
		"a link that is not always there":   {map[string]string{"error-404.html": "{{(index .Links 0).URL}}"}, "error-404.html:1:"},
		"a place that cannot be escaped":    {map[string]string{"error.html": "\n<a href={{.Title}}<b>"}, "error.html"},
		"a page without an end":             {map[string]string{"error.html": `{{define "a"}}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{{template "a"}}{{end}}{{template "a"}}`}, "error.html"},
		"a name that is none":               {map[string]string{"error.html": "x", "eror-404.html": "x"}, "eror-404.html: no page has this name"},
		"a status that is no error":         {map[string]string{"error-200.html": "x"}, "error-200.html: no page has this name"},
		"an empty folder":                   {map[string]string{"README": "x"}, "there is no error.html in"},
		"a function that is not there":      {map[string]string{"error.html": "{{env \"X\"}}"}, `error.html:1: function "env" not defined`},
		"a file that is longer than a page": {map[string]string{"error.html": strings.Repeat("x", 1<<20+1)}, "error.html: want a file of 1 MiB"},
	} {
		if _, err := lookOf(templates(t, tt.files)); err == nil || !strings.Contains(err.Error(), tt.want) || strings.HasPrefix(err.Error(), "template") {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	if _, err := lookOf(filepath.Join(t.TempDir(), "away")); !os.IsNotExist(err) {
		t.Errorf("got %v, want that the folder is not there", err)
	}
}
