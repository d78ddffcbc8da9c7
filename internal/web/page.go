package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

//go:embed pages
var pageFiles embed.FS

// Page is what the frame of every page knows.
type Page struct {
	// Title says the state first: "Sign in", "Signed out". Args are its parts.
	Title Message
	Args  Args
	// RequestID is set by Write.
	RequestID string
	// Host is where the browser believes to be; Write sets it.
	Host string
	// Script is the address of a script of our own, or "": a page has to work
	// without one.
	Script string
	// Data is for the template of the page itself.
	Data any
	// Header overrides what SecurityHeaders sets; a nil value deletes a name.
	Header http.Header
}

// Pages renders a page inside the common frame. The zero value is not usable;
// make one with NewPages.
type Pages struct {
	name string
	t    *template.Template
}

// NewPages parses the text of each named page, which defines "main", next to
// the common frame. What a page says it says by "t":
//
//	{{t "Sign in to continue to {host}." "host" (strong .Host)}}
func NewPages(texts map[string]string) (map[string]*Pages, error) {
	base, err := template.New("frame.html").Funcs(english.funcs()).ParseFS(pageFiles, "pages/frame.html")
	if err != nil {
		return nil, fmt.Errorf("parse the frame of the pages: %w", err)
	}
	out := map[string]*Pages{}
	for name, text := range texts {
		t, err := base.Clone()
		if err == nil {
			t, err = t.New(name).Parse(text)
		}
		if err != nil {
			return nil, fmt.Errorf("parse page %s: %w", name, err)
		}
		out[name] = &Pages{name, t}
	}
	return out, nil
}

// ContentPolicy is the Content-Security-Policy of the pages: their own
// stylesheet, forms to their own origin, no script but the one a Page names.
const ContentPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ScriptPolicy is what a page with a script of our own adds to it. No text becomes markup
// or code there.
const ScriptPolicy = "; script-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"

// SecurityHeaders are set on every page of the gateway's own.
func SecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", ContentPolicy)
	h.Set("Cache-Control", "no-store")
	// Not no-referrer: under it browsers send "Origin: null" with a form (Fetch
	// section 3.1), and where they send no Sec-Fetch-Site (Safari on
	// http://localhost) a person's own sign-in would look like a stranger's.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// Write renders the page and answers with status. Nothing is written if it
// returns an error.
func (p *Pages) Write(w http.ResponseWriter, r *http.Request, status int, page Page) error {
	note := NoteOf(r.Context())
	page.RequestID, page.Host = note.ID, r.Host
	look := note.lookOf()
	in := look.tongue(r)
	body, err := p.render(framed{page, in, look}, note)
	if err != nil {
		return err
	}
	h := w.Header()
	SecurityHeaders(h)
	in.announce(h)
	if page.Script != "" {
		h.Set("Content-Security-Policy", ContentPolicy+ScriptPolicy)
	}
	for name, values := range page.Header {
		if h[name] = values; values == nil {
			delete(h, name)
		}
	}
	writeHTML(w, r, status, body)
	return nil
}

// render makes the page: the operator's, or the gateway's own where there is none or it
// cannot be made.
func (p *Pages) render(f framed, note *Note) ([]byte, error) {
	body, err := f.look.cfg.Templates.page(f.look, p.name, f)
	if err == nil && body != nil {
		return body, nil
	}
	if err != nil {
		note.Err = errors.Join(note.Err, fmt.Errorf("the template of this page: %w", err))
	}
	t, err := f.look.template(p.t, f.in)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "frame", f); err != nil {
		return nil, fmt.Errorf("render the page %q: %w", f.Title, err)
	}
	return b.Bytes(), nil
}

// Stylesheet is the address of the operator's style.css, or of the gateway's own.
func (f framed) Stylesheet() string { return f.look.cfg.Templates.stylesheet() }

// announce tells caches and programs of the language.
func (l *tongue) announce(h http.Header) {
	h.Set("Content-Language", l.tag.String())
	h.Add("Vary", "Accept-Language")
}

func writeHTML(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
}

var errorPage = mustErrorPage()

// mustErrorPage parses what is compiled in: it fails in every test or never.
func mustErrorPage() *Pages {
	pages, err := NewPages(map[string]string{"error": string(mustRead("pages/error.html"))})
	if err != nil {
		panic(err)
	}
	return pages["error"]
}

func mustRead(name string) []byte {
	b, err := pageFiles.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return b
}

// errorView is what the error page shows.
type errorView struct {
	*Error
	Code int
}

// waits are long enough to be told: who comes back at once may do so.
const waits = 10 * time.Second

// Wait is when to come back, or nil where the page does not say: it comes by itself, or
// it is soon.
func (v errorView) Wait() any {
	switch s := seconds(v.RetryAfter); {
	case v.Header.Get("Refresh") != "" || v.RetryAfter < waits:
		return nil
	case s < 120:
		return T("{count} seconds", "count", s)
	default:
		return T("{count} minutes", "count", (s+59)/60)
	}
}

// writePage answers with a page: the operator's, or the gateway's own where there
// is none or it cannot be made.
func writePage(w http.ResponseWriter, r *http.Request, e *Error, note *Note) {
	look := note.lookOf()
	if t := look.cfg.Templates.of(e.status()); t != nil {
		in := look.tongue(r)
		body, err := look.cfg.Templates.render(look, t, e, in, note.ID, r.Host)
		if err == nil {
			SecurityHeaders(w.Header())
			in.announce(w.Header())
			writeHTML(w, r, e.status(), body)
			return
		}
		note.Err = errors.Join(note.Err, fmt.Errorf("the template of this page: %w", err))
	}
	err := errorPage.Write(w, r, e.status(), Page{Title: e.title(), Args: e.Args, Data: errorView{e, e.status()}})
	if err != nil {
		note.Err = errors.Join(note.Err, err)
		http.Error(w, e.say(e.title()), e.status())
	}
}

var (
	style = newAsset("text/css; charset=utf-8", mustRead("pages/style.css"))
	icon  = newAsset("image/svg+xml", mustRead("pages/icon.svg"))
)

// stylesheet is the address of the stylesheet.
func stylesheet() string { return style.at(stylePath) }

// Assets serves the stylesheet of the pages, under the path that the frame names.
func Assets() http.Handler { return style }

// Icon serves the icon of the pages.
func Icon() http.Handler { return icon }
