package auth_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// TestEveryPageInEveryLanguage: nothing is left in English or unfilled, as the gateway's
// own page, with an operator's name and colours, and as an operator's template.
func TestEveryPageInEveryLanguage(t *testing.T) {
	b, err := os.ReadFile("../internal/web/messages/en.json")
	if err != nil {
		t.Fatal(err)
	}
	var english map[string]any
	if err := json.Unmarshal(b, &english); err != nil {
		t.Fatal(err)
	}
	pages, err := auth.ParsePages()
	if err != nil {
		t.Fatal(err)
	}
	samples := auth.PageSamples()
	for name := range pages {
		if len(samples[name]) == 0 {
			t.Errorf("%s.html has no sample: put what it may show into auth/samples.go", name)
		}
	}
	dir := t.TempDir()
	for name := range samples {
		text := `<!doctype html><html lang="{{.Lang}}" dir="{{.Dir}}"><title>OURS {{.Name}} – {{.Site}}</title><main><h1>{{t .Title .Args}}</h1>{{t "Request {id}" "id" (code .RequestID)}}`
		if err := os.WriteFile(filepath.Join(dir, name+".html"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	untried := map[string][]web.Sample{}
	for name := range samples {
		untried[name] = []web.Sample{}
	}
	own, err := web.LoadTemplates(dir, untried)
	if err != nil {
		t.Fatal(err)
	}
	looks := map[string]web.LookConfig{
		"own": {}, "operator's": {Name: "Acme", Help: "/help", Colors: web.Colors{Accent: "#1f4f8f"}, Links: []web.FooterLink{{Text: map[string]string{"": "Imprint"}, URL: "/imprint"}}},
		"template": {Templates: own},
	}
	unfilled := regexp.MustCompile(`\{[a-z]+\}|%!|<nil>|ZgotmplZ`)
	for kind, cfg := range looks {
		look, err := web.NewLook(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for lang, dir := range map[string]string{"en": "ltr", "de": "ltr", "ar": "rtl"} {
			for name, all := range samples {
				for i, sample := range all {
					body := shownTo(t, look, pages[name], sample.Page, lang)
					at := kind + " " + lang + " " + name
					if !strings.Contains(body, `<html lang="`+lang+`" dir="`+dir+`">`) || strings.Contains(body, "OURS") != (kind == "template") {
						t.Errorf("%s %d: got\n%s", at, i, body)
					}
					if bad := unfilled.FindString(body); bad != "" {
						t.Errorf("%s %d: %q is left in\n%s", at, i, bad, body)
					}
					if len(body) > 10_000 {
						t.Errorf("%s %d: got a page of %d bytes", at, i, len(body))
					}
					for text := range english {
						if lang != "en" && len(text) > 8 && !strings.Contains(text, "{") && strings.Contains(body, text) {
							t.Errorf("%s %d: %q is in English in\n%s", at, i, text, body)
						}
					}
					if kind == "template" {
						continue
					}
					for _, must := range sample.Must {
						if !strings.Contains(body, must) {
							t.Errorf("%s %d: the page lacks %q, which it asks of an operator's", at, i, must)
						}
					}
				}
			}
		}
	}
}

// shownTo is a page as somebody gets it who reads a language.
func shownTo(t *testing.T, look *web.Look, page *web.Pages, p web.Page, lang string) string {
	t.Helper()
	var failed bytes.Buffer
	handler := web.Serve(web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		err := page.Write(w, r, http.StatusOK, p)
		if n := web.NoteOf(r.Context()); n.Err != nil {
			failed.WriteString(n.Err.Error())
		}
		return err
	}), web.Options{Look: look})
	r := httptest.NewRequest("GET", "/.evergate/page", nil)
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Accept-Language", lang)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK || failed.Len() > 0 {
		t.Errorf("got %d, %s:\n%s", w.Code, failed.String(), w.Body)
	}
	return w.Body.String()
}

// TestTemplatesOfPages: a template that would make a page that does not work is refused
// before anybody sees it.
func TestTemplatesOfPages(t *testing.T) {
	const login = `<form action="/.evergate/login"><input name="username"><input name="password"><input name="rd" value="{{.Data.RD}}">{{.Data.Form}}{{.Data.To}}{{range .Data.Providers}}<a href="{{.URL}}">{{.Label}}</a>{{end}}`
	for name, tt := range map[string]struct{ file, text, want string }{
		"one that works":                 {"login.html", login, ""},
		"one without the target":         {"login.html", strings.Replace(login, "{{.Data.RD}}", "", 1), "login.html: the page does not work without /sample?a=b"},
		"one without the kept form":      {"login.html", strings.Replace(login, "{{.Data.Form}}", "", 1), "login.html: the page does not work without SAMPLE-FORM"},
		"one without the providers":      {"login.html", strings.Replace(login, "{{.Label}}", "", 1), "login.html: the page does not work without Corp"},
		"one that names nothing":         {"login.html", login + "\n{{.Data.Nope}}", "login.html:2:"},
		"a sign-out that does nothing":   {"logout.html", "<h1>Bye</h1>", "logout.html: the page does not work without /.evergate/logout"},
		"a page that there is none of":   {"signin.html", "x", "signin.html: no page has this name: want error.html"},
		"a text with a part too few":     {"logout.html", `{{t "Sign out?" "x"}}`, "want a name before each part"},
		"something that is no text":      {"logout.html", `{{t 7}}`, "t: int is no text"},
		"parts where there are some":     {"landed.html", `{{range .Data.Causes}}{{t . "a" "b"}}{{end}}`, "t: a Text has its parts already"},
		"a part whose name is no string": {"logout.html", `{{t "Sign out?" 7 8}}`, "want a name before each part, got 7"},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		own, err := web.LoadTemplates(dir, auth.PageSamples())
		if err == nil {
			_, err = web.NewLook(web.LookConfig{Templates: own})
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
}
