package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
)

//go:embed pages
var pageFiles embed.FS

// Page is what the frame of every page knows.
type Page struct {
	// Title says the state first: "Sign in", "Signed out".
	Title string
	// Product is the name of what people sign in to, from the public URL.
	RequestID string
	// Data is for the template of the page itself.
	Data any
}

// Pages renders pages inside the common frame. The zero value is not usable;
// make one with NewPages.
type Pages struct{ t *template.Template }

// NewPages parses the named templates of fsys next to the common frame. Each
// defines "main" for itself, so every page is a set of its own.
func NewPages(patterns map[string]string) (map[string]*Pages, error) {
	base, err := template.ParseFS(pageFiles, "pages/frame.html")
	if err != nil {
		return nil, err
	}
	out := map[string]*Pages{}
	for name, text := range patterns {
		t, err := template.Must(base.Clone()).New(name).Parse(text)
		if err != nil {
			return nil, err
		}
		out[name] = &Pages{t}
	}
	return out, nil
}

// SecurityHeaders are set on every page of the gateway's own.
func SecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// Write renders the page and answers with status.
func (p *Pages) Write(w http.ResponseWriter, r *http.Request, status int, page Page) error {
	page.RequestID = NoteOf(r.Context()).ID
	var body bytes.Buffer
	if err := p.t.ExecuteTemplate(&body, "frame", page); err != nil {
		return err
	}
	h := w.Header()
	SecurityHeaders(h)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body.Bytes())
	}
	return nil
}

var errorPage = mustErrorPage()

func mustErrorPage() *Pages {
	text, err := pageFiles.ReadFile("pages/error.html")
	if err != nil {
		panic(err)
	}
	pages, err := NewPages(map[string]string{"error": string(text)})
	if err != nil {
		panic(err)
	}
	return pages["error"]
}

func writePage(w http.ResponseWriter, r *http.Request, e *Error, note *Note) {
	err := errorPage.Write(w, r, e.status(), Page{Title: e.title(), Data: e})
	if err != nil {
		note.Err = err
		http.Error(w, e.title(), e.status())
	}
}

// Assets serves the stylesheet of the pages, under the path that the frame names.
func Assets() http.Handler {
	css, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(css)
	})
}
