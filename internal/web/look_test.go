package web_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/evergate/evergate/internal/web"
)

func picture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewRGBA(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const svg = `<?xml version="1.0"?><!-- ours --><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`

// errorIn asks for a page of e by somebody who reads a language.
func errorIn(t *testing.T, look *web.Look, e *web.Error, accept string) *httptest.ResponseRecorder {
	t.Helper()
	handler := web.Serve(web.Handler(func(http.ResponseWriter, *http.Request) error { return e }), web.Options{Look: look})
	r := httptest.NewRequest("GET", "/x", nil)
	r.Host = "apps.test"
	r.Header.Set("Accept", person)
	if accept != "" {
		r.Header.Set("Accept-Language", accept)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// TestLook: what an operator says is on every page, in the language of whoever reads it.
func TestLook(t *testing.T) {
	look, err := web.NewLook(web.LookConfig{
		Name: "Example <Ltd>", Logo: []byte(svg), LogoDark: picture(t), Help: "mailto:help@example.com?subject=Request%20{request}",
		Colors: web.Colors{Accent: "#1f4f8f", GroundDark: "#14171c"},
		Links: []web.FooterLink{{Text: map[string]string{"": "Status"}, URL: "https://status.example.com"},
			{Text: map[string]string{"en": "Imprint", "de": "Impressum"}, URL: "/imprint"}},
		Messages: map[string][]byte{"fr.json": []byte(`{"You may not open this page": "Accès refusé", "Request {id}": "Requête {id}"}`),
			"en.json": []byte(`{"Help": "Help desk"}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	denied := &web.Error{Status: 403, Title: "You may not open this page", Detail: "You are signed in as {user}. This page needs {missing}.", Help: true,
		Args: web.Args{"user": "<i>alice", "missing": web.T("group {names}", "names", "staff")}, Links: []web.Link{{Text: "Use another account", URL: "/.evergate/logout"}}}
	for accept, wants := range map[string][]string{
		"": {`<html lang="en" dir="ltr">`, "<title>You may not open this page – Example &lt;Ltd&gt;</title>", `alt="Example &lt;Ltd&gt;"`, `href="https://status.example.com" dir="auto">Status<`,
			">Imprint<", ">Help desk<", "signed in as &lt;i&gt;alice. This page needs group staff.", `href="mailto:help@example.com?subject=Request%20ID">Ask for access`, "/.evergate/colors.css?v=", "/.evergate/logo?v=", "/.evergate/logo-dark?v="},
		"de-AT, en;q=0.5":          {`<html lang="de" dir="ltr">`, "<h1>Sie dürfen diese Seite nicht öffnen</h1>", "die Gruppe staff", ">Impressum<", "Anderes Konto verwenden", "Anfrage <code>ID</code>"},
		"ar":                       {`<html lang="ar" dir="rtl">`, "<bdi>&lt;i&gt;alice</bdi>", "المجموعة <bdi>staff</bdi>"},
		"fr;q=0.9, xx":             {`<html lang="fr" dir="ltr">`, "<h1>Accès refusé</h1>", "You are signed in as", "Requête <code>ID</code>"},
		"tlh, *;q=0.1":             {`<html lang="en"`},
		"de;q=0, \x00,,;;":         {`<html lang="en"`},
		strings.Repeat("de,", 999): {`<html lang="en"`},
	} {
		w := errorIn(t, look, denied, accept)
		for _, want := range wants {
			if want = strings.ReplaceAll(want, "ID", w.Header().Get("X-Request-Id")); !strings.Contains(w.Body.String(), want) {
				t.Errorf("%.40q: got\n%s\nwant in it %s", accept, w.Body, want)
			}
		}
		if lang := regexp.MustCompile(`lang="(\w+)"`).FindStringSubmatch(w.Body.String())[1]; w.Header().Get("Content-Language") != lang || w.Header().Get("Vary") != "Accept-Language" {
			t.Errorf("%.40q: got %v, want Content-Language: %s and Vary", accept, w.Header(), lang)
		}
	}
	assets := look.Assets()
	for _, path := range regexp.MustCompile(`/\.evergate/(?:colors\.css|logo(?:-dark)?)\b`).FindAllString(errorIn(t, look, denied, "").Body.String(), -1) {
		w := httptest.NewRecorder()
		assets[path].ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Body.Len() == 0 || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: got %d %v", path, w.Code, w.Header())
		}
		if policy := w.Header().Get("Content-Security-Policy"); strings.Contains(path, "logo") && (!strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "sandbox")) {
			t.Errorf("%s: got the policy %q, which may let an SVG run its script", path, policy)
		}
	}
	w := httptest.NewRecorder()
	assets["/.evergate/colors.css"].ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	for _, want := range []string{"--accent: #1f4f8f", "--on-accent: #ffffff", "--ground: #14171c"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("got\n%s\nwant in it %s", w.Body, want)
		}
	}
	if bare := errorIn(t, nil, denied, "").Body.String(); strings.Contains(bare, "<header>") || strings.Contains(bare, "Ask for access") || strings.Contains(bare, "colors.css") {
		t.Errorf("got\n%s\nwant nothing of an operator's", bare)
	}
}

// TestBrokenLook: what would make pages that do not work is refused, and it is said what
// was wrong and what would be right.
func TestBrokenLook(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg       web.LookConfig
		key, want string
	}{
		"a pale accent":                      {web.LookConfig{Colors: web.Colors{Accent: "#ffcc00"}}, "colors.accent", "a link (#ffcc00) on the light card (#ffffff) has a contrast of 1.5 to 1, and text needs 4.5 to 1 (WCAG 2.2, 1.4.3): take a darker colour"},
		"an accent that nearly would":        {web.LookConfig{Colors: web.Colors{Accent: "#777777"}}, "colors.accent", "4.4 to 1"},
		"a dark one on dark":                 {web.LookConfig{Colors: web.Colors{AccentDark: "#1f4f8f"}}, "colors.accent_dark", "take a lighter colour"},
		"a dark ground where it is light":    {web.LookConfig{Colors: web.Colors{Ground: "#333333"}}, "colors.ground", "the text of the page (#1d2320) on the ground (#333333)"},
		"a ground on which the foot is lost": {web.LookConfig{Colors: web.Colors{Ground: "#b0b0b0"}}, "colors.ground", "the text at the foot"},
		"no colour":                          {web.LookConfig{Colors: web.Colors{Accent: "red"}}, "colors.accent", `"red" is no colour as the pages take it: want # and six hexadecimal digits`},
		"a colour that says more":            {web.LookConfig{Colors: web.Colors{GroundDark: "#000000;}*{color:red"}}, "colors.ground_dark", "is no colour"},
		"a script for a link":                {web.LookConfig{Links: []web.FooterLink{{URL: "javascript:alert(1)"}}}, "links[0].url", "want https://…, mailto:… or a path"},
		"plain http":                         {web.LookConfig{Links: []web.FooterLink{{URL: "http://example.com"}}}, "links[0].url", "want https://"},
		"another host as a path":             {web.LookConfig{Links: []web.FooterLink{{URL: "//evil.test"}}}, "links[0].url", "want https://"},
		"one with a backslash":               {web.LookConfig{Links: []web.FooterLink{{URL: `/\evil.test`}}}, "links[0].url", "want https://"},
		"a language that is none":            {web.LookConfig{Links: []web.FooterLink{{URL: "/x", Text: map[string]string{"deutsch!": "x"}}}}, "links[0].text", `"deutsch!" is no language`},
		"help at nowhere":                    {web.LookConfig{Help: "ask Bob"}, "help", "want https://"},
		"a logo that is a page":              {web.LookConfig{Logo: []byte("<html><svg/></html>")}, "logo_file", "neither an SVG nor a PNG"},
		"a logo that is a JPEG":              {web.LookConfig{LogoDark: []byte("\xff\xd8\xff\xe0")}, "logo_dark_file", "neither an SVG nor a PNG"},
		"a logo that is too large":           {web.LookConfig{Logo: bytes.Repeat([]byte("x"), web.MaxLogo+1)}, "logo_file", "want 256 KiB at most"},
		"messages without a language":        {web.LookConfig{Messages: map[string][]byte{"texts!.json": []byte("{}")}}, "messages", "texts!.json: its name is no language"},
		"messages that are no JSON":          {web.LookConfig{Messages: map[string][]byte{"fr.json": []byte("{\n\n\"a\": }")}}, "messages", "fr.json:3:"},
		"a text that nobody says":            {web.LookConfig{Messages: map[string][]byte{"fr.json": []byte(`{"Sing in": "x"}`)}}, "messages", `fr.json: no page says "Sing in"`},
		"a part that is not there":           {web.LookConfig{Messages: map[string][]byte{"fr.json": []byte(`{"Request {id}": "{ident}"}`)}}, "messages", "{ident} is no part of it"},
		"a plural without others":            {web.LookConfig{Messages: map[string][]byte{"fr.json": []byte(`{"{count} days": {"one": "jour"}}`)}}, "messages", `no text for "other"`},
		"a plural of no language":            {web.LookConfig{Messages: map[string][]byte{"fr.json": []byte(`{"{count} days": {"other": "x", "dual": "y"}}`)}}, "messages", `"dual" is no plural category`},
	} {
		_, err := web.NewLook(tt.cfg)
		bad, ok := errors.AsType[*web.LookError](err)
		if !ok || bad.Key != tt.key || !strings.Contains(bad.Err.Error(), tt.want) {
			t.Errorf("%s: got %v, want of %s: %s", name, err, tt.key, tt.want)
		}
	}
}

// TestPlurals: a number chooses the form of its language, and a problem for a program
// stays in English.
func TestPlurals(t *testing.T) {
	say := func(n int, accept string) string {
		w := errorIn(t, nil, &web.Error{Status: 503, Detail: "This page tries again by itself in {wait}.", Args: web.Args{"wait": web.T("{count} minutes", "count", n)}}, accept)
		return w.Body.String()
	}
	for _, tt := range []struct {
		accept string
		n      int
		want   string
	}{
		{"en", 1, "1 minute."}, {"en", 2, "2 minutes."}, {"de", 1, "1 Minute."}, {"de", 7, "7 Minuten."},
		{"ar", 1, "دقيقة واحدة"}, {"ar", 2, "دقيقتين"}, {"ar", 3, "3 دقائق"}, {"ar", 11, "11 دقيقة"}, {"ar", 100, "100 دقيقة"},
	} {
		if got := say(tt.n, tt.accept); !strings.Contains(got, tt.want) {
			t.Errorf("%s %d: got\n%s\nwant in it %s", tt.accept, tt.n, got, tt.want)
		}
	}
	handler := web.Handler(func(http.ResponseWriter, *http.Request) error {
		return &web.Error{Status: 429, Detail: "Wait {wait}", Args: web.Args{"wait": web.T("{count} minutes", "count", 1)}}
	})
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept-Language", "de")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), `"detail":"Wait 1 minute"`) || !strings.Contains(w.Body.String(), `"title":"Too Many Requests"`) {
		t.Errorf("got %s, want English", w.Body)
	}
}

// TestPartsAreNoTemplates: what a part holds is shown as it is.
func TestPartsAreNoTemplates(t *testing.T) {
	e := &web.Error{Status: 403, Title: "{provider} did not sign you in", Args: web.Args{"provider": "{host}</title><script>", "host": "SECRET"}}
	for _, accept := range []string{"en", "de", "ar"} {
		if got := errorIn(t, nil, e, accept).Body.String(); strings.Contains(got, "SECRET") || strings.Contains(got, "<script>") || !strings.Contains(got, "{host}&lt;/title&gt;") {
			t.Errorf("%s: got\n%s\nwant the part as it is, escaped", accept, got)
		}
	}
}

func ExampleT() {
	fmt.Println(web.T("You sign in at {provider}. Your browser is on its way there.", "provider", "Corp"))
	// Output: You sign in at Corp. Your browser is on its way there.
}
