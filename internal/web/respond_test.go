package web_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// headers makes a header of name, value, name, value.
func headers(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func TestWhoGetsAPage(t *testing.T) {
	const html = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, c := range []struct {
		name        string
		header      http.Header
		page, frame bool
	}{
		{"a browser that opens an address gets a page", headers("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Accept", html), true, false},
		{"an older browser is told by what it accepts", headers("Accept", html), true, false},
		{"upper case in Accept is the same", headers("Accept", "TEXT/HTML"), true, false},
		{"a second Accept line counts", headers("Accept", "image/png", "Accept", "text/html"), true, false},
		{"a frame is a navigation", headers("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"), true, true},
		{"an object is a frame", headers("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "object"), true, true},
		{"fetch() gets JSON whatever it accepts", headers("Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Accept", html), false, false},
		{"an image gets JSON", headers("Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image", "Accept", html), false, false},
		{"a worker that says navigate gets JSON", headers("Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "worker"), false, false},
		{"XMLHttpRequest of an older browser gets JSON", headers("Accept", html, "X-Requested-With", "xmlhttprequest"), false, false},
		{"curl gets JSON", headers("Accept", "*/*"), false, false},
		{"a client that accepts nothing in particular gets JSON", headers(), false, false},
		{"a WebSocket gets JSON", headers("Upgrade", "websocket", "Connection", "Upgrade", "Accept", html), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/x", nil)
			r.Header = c.header
			if got := web.IsNavigation(r); got != c.page {
				t.Errorf("IsNavigation: got %v, want %v", got, c.page)
			}
			if got := web.IsFramed(r); got != c.frame {
				t.Errorf("IsFramed: got %v, want %v", got, c.frame)
			}
			w := httptest.NewRecorder()
			web.Respond(w, r, &web.Error{Status: 404, Code: "no_route", Detail: "Nothing here."})
			want := "application/problem+json"
			if c.page {
				want = "text/html; charset=utf-8"
			}
			if got := w.Header().Get("Content-Type"); got != want || w.Code != 404 {
				t.Errorf("got %d %q, want 404 %q", w.Code, got, want)
			}
		})
	}
}

func TestProblemSaysWhatHappened(t *testing.T) {
	note := &web.Note{ID: "ID-1"}
	r := httptest.NewRequest("GET", "/x", nil)
	r = r.WithContext(web.WithNote(r.Context(), note))
	w := httptest.NewRecorder()
	w.Header().Set("Content-Length", "99999")
	w.Header().Set("Etag", `"of another answer"`)
	cause := errors.New("dial tcp 10.0.0.5: secret topology")
	web.Respond(w, r, fmt.Errorf("gate: %w", &web.Error{
		Status: 503, Code: "unavailable", Title: "Not now", Detail: "Come again.", RetryAfter: 1500 * time.Millisecond,
		Header: headers("WWW-Authenticate", "Bearer"), Extra: map[string]any{"login_url": "/l", "status": "spoofed"}, Err: cause,
	}))
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("got no JSON: %v in %q", err, w.Body)
	}
	for key, want := range map[string]any{"type": "about:blank", "title": "Not now", "status": 503.0, "detail": "Come again.",
		"code": "unavailable", "request_id": "ID-1", "login_url": "/l"} {
		if got[key] != want {
			t.Errorf("%s: got %v, want %v", key, got[key], want)
		}
	}
	for name, want := range map[string]string{"Retry-After": "2", "Cache-Control": "no-store", "X-Request-Id": "ID-1",
		"Www-Authenticate": "Bearer", "Etag": "", "Content-Length": fmt.Sprint(w.Body.Len())} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if strings.Contains(w.Body.String(), "topology") {
		t.Errorf("the cause shows: %s", w.Body)
	}
	if !errors.Is(note.Err, cause) {
		t.Errorf("the access line has %v, want the cause", note.Err)
	}
}

func TestProblemForAPersonToo(t *testing.T) {
	r := httptest.NewRequest("GET", "/x", nil)
	r.Header = headers("Accept", "text/html")
	w := httptest.NewRecorder()
	web.RespondProblem(w, r, &web.Error{Status: 401})
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("got %q, want problem+json", got)
	}
}

func TestUnexpectedErrorIsA500WithoutItsCause(t *testing.T) {
	for _, accept := range []string{"text/html", "application/json"} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		web.Handler(func(http.ResponseWriter, *http.Request) error { return errors.New("disk on fire") }).ServeHTTP(w, r)
		if w.Code != 500 || strings.Contains(w.Body.String(), "fire") || !strings.Contains(w.Body.String(), "Something went wrong here") {
			t.Errorf("%s: got %d %s", accept, w.Code, w.Body)
		}
	}
}

func TestExtraThatIsNoJSON(t *testing.T) {
	w := httptest.NewRecorder()
	web.Respond(w, httptest.NewRequest("GET", "/x", nil), &web.Error{Status: 403, Extra: map[string]any{"f": func() {}}})
	var got struct{ Status int }
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Status != 403 {
		t.Errorf("got %q (%v), want a problem with status 403", w.Body, err)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	for _, accept := range []string{"text/html", "application/json"} {
		r := httptest.NewRequest("HEAD", "/x", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		web.Respond(w, r, &web.Error{Status: 404})
		if w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" {
			t.Errorf("%s: got %d bytes and Content-Length %s, want none and the length of the page", accept, w.Body.Len(), w.Header().Get("Content-Length"))
		}
	}
}

func TestErrorPage(t *testing.T) {
	note := &web.Note{ID: "REQUEST-ID"}
	r := httptest.NewRequest("GET", "http://wiki.test/x", nil)
	r.Header.Set("Accept", "text/html")
	r = r.WithContext(web.WithNote(r.Context(), note))
	w := httptest.NewRecorder()
	web.Respond(w, r, &web.Error{Status: 502, Title: "The app <wiki> does not answer", Detail: `"Quoted" & <b>bold</b>`,
		Links: []web.Link{{"Try again", "/x?a=1&b=2"}, {"Elsewhere", "javascript:alert(1)"}}})
	body := w.Body.String()
	for _, want := range []string{"<!doctype html>", `<html lang="en" dir="ltr">`, "<title>The app &lt;wiki&gt; does not answer – wiki.test</title>",
		"<h1>", "&lt;b&gt;", `href="/x?a=1&amp;b=2"`, "REQUEST-ID", "Status 502"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
	if strings.Contains(body, "javascript:") || strings.Contains(body, "<b>") {
		t.Errorf("the page carries what it was given unescaped:\n%s", body)
	}
	h := w.Header()
	csp := h.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("Content-Security-Policy lacks %s: %q", want, csp)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "script-src") {
		t.Errorf("Content-Security-Policy allows script or inline style: %q", csp)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin"} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestPageThatDoesNotParseOrRender(t *testing.T) {
	if _, err := web.NewPages(map[string]string{"broken": "{{define"}); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v, want an error that names the page", err)
	}
	pages, err := web.NewPages(map[string]string{"p": `{{define "main"}}{{.Data.Missing}}{{end}}`})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := pages["p"].Write(w, httptest.NewRequest("GET", "/", nil), 200, web.Page{Data: struct{}{}}); err == nil {
		t.Error("got no error for a field that is not there")
	}
	if len(w.Header()) != 0 || w.Body.Len() != 0 {
		t.Errorf("got %v %q, want nothing written", w.Header(), w.Body)
	}
}

func TestStylesheet(t *testing.T) {
	r := httptest.NewRequest("GET", "/.evergate/style.css", nil)
	w := httptest.NewRecorder()
	web.Assets().ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); w.Code != 200 || got != "text/css; charset=utf-8" {
		t.Fatalf("got %d %q", w.Code, got)
	}
	css := w.Body.String()
	for _, want := range []string{"color-scheme: light dark", "prefers-color-scheme: dark", "forced-colors", "prefers-reduced-motion", ":focus-visible", "min-height: 2.75rem"} {
		if !strings.Contains(css, want) {
			t.Errorf("the stylesheet lacks %q", want)
		}
	}
	if strings.Contains(css, "url(") || strings.Contains(css, "@import") {
		t.Error("the stylesheet loads something: the policy of the pages forbids it")
	}
	r.Header.Set("If-None-Match", w.Header().Get("ETag"))
	again := httptest.NewRecorder()
	web.Assets().ServeHTTP(again, r)
	if again.Code != http.StatusNotModified {
		t.Errorf("got %d for the same ETag, want 304", again.Code)
	}
}
