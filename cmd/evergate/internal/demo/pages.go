package demo

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"sync"
)

//go:embed files
var files embed.FS

// pages are parsed once somebody looks at the demo; the files are part of the program, and
// a test renders each of them.
var pages = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{"clock": clock}).ParseFS(files, "files/*.html"))
})

func render(w http.ResponseWriter, status int, page string, data any) {
	var body bytes.Buffer
	if err := pages().ExecuteTemplate(&body, page, data); err != nil {
		http.Error(w, "The demo app could not show this page.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// asset serves one of the page's own files.
func asset(name, contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := files.ReadFile("files/" + name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}
}
