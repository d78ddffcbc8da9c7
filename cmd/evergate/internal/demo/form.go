package demo

import (
	"crypto/sha256"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// maxForm bounds what a form may post here.
const maxForm = 8 << 20

// received is a posted form as it arrived.
type received struct {
	Method, ContentType string
	// Count is of all forms that the app has received since it started.
	Count int64
	// Bytes and Digest are of the body, so that two of them can be compared.
	Bytes  int
	Digest string
	// Body is the body itself; Quoted says it is written as a Go string,
	// because not every byte of it can be shown.
	Body   string
	Quoted bool
	// Title and Note are the fields of the app's own form.
	Title, Note string
}

// showForm is the form, with nothing received.
func (a *App) showForm(w http.ResponseWriter, r *http.Request) {
	a.look(r)
	render(w, http.StatusOK, "form", (*received)(nil))
}

// postForm shows what arrived, byte for byte.
func (a *App) postForm(w http.ResponseWriter, r *http.Request) {
	a.look(r)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if err != nil {
		http.Error(w, fmt.Sprintf("The form did not arrive whole, or it is longer than %d MiB.", maxForm>>20), http.StatusRequestEntityTooLarge)
		return
	}
	got := &received{Method: r.Method, ContentType: r.Header.Get("Content-Type"), Count: a.forms.Add(1),
		Bytes: len(body), Digest: fmt.Sprintf("%x", sha256.Sum256(body))}
	got.Body, got.Quoted = printable(body)
	if kind, _, err := mime.ParseMediaType(got.ContentType); err == nil && kind == "application/x-www-form-urlencoded" {
		if fields, err := url.ParseQuery(string(body)); err == nil {
			got.Title, got.Note = fields.Get("title"), fields.Get("note")
		}
	}
	render(w, http.StatusOK, "form", got)
}

// printable returns body as text that a page shows unchanged. HTML turns CR LF
// into LF and drops control characters, so a body with any of them is quoted.
func printable(body []byte) (text string, quoted bool) {
	if !utf8.Valid(body) {
		return strconv.Quote(string(body)), true
	}
	for _, r := range string(body) {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return strconv.Quote(string(body)), true
		}
	}
	return string(body), false
}
