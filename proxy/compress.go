package proxy

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

// compressFrom is the least announced length that is worth it.
const compressFrom = 1 << 10

// withCompression has next answer, and compresses what it writes where the route
// says so, the client takes it and it can be done. An answer to somebody who is signed in
// may hold secrets of theirs, also on a public route: the app was told who they are.
func withCompression(w http.ResponseWriter, r *http.Request, d *Decision, next func(http.ResponseWriter) error) error {
	route := d.Route
	if len(route.Compress) == 0 || web.IsUpgrade(r) {
		return next(w)
	}
	cw := &compressor{ResponseWriter: w, asked: r.Header, head: r.Method == http.MethodHead}
	if !isPersonal(route, d.Login) || !causedElsewhere(r) {
		cw.coding, cw.insists = negotiate(r.Header["Accept-Encoding"], route.Compress)
	}
	defer cw.release() // an answer that is cut short must not end like a whole one
	if err := next(cw); err != nil {
		return err
	}
	cw.finish()
	return nil
}

// causedElsewhere reports whether a page of another origin made the browser ask. Such
// a page could ask again and again, each time with another guess at a secret of the
// answer, and its length would tell how good the guess is (BREACH).
func causedElsewhere(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

// compressor compresses an answer as it goes out.
type compressor struct {
	http.ResponseWriter
	asked   http.Header // of the request
	coding  *coding     // what the client likes best of what the route has; nil is none
	insists bool        // it takes nothing that is not compressed
	head    bool
	wrote   bool
	enc     encoder // nil: the answer goes out as it comes
}

// Unwrap is for http.ResponseController.
func (w *compressor) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *compressor) WriteHeader(status int) {
	if !w.wrote && status >= 200 {
		w.wrote = true
		w.decide(status, w.Header())
	}
	w.ResponseWriter.WriteHeader(status)
}

// decide says whether this answer is compressed, and changes its header.
func (w *compressor) decide(status int, h http.Header) {
	if status == http.StatusNotModified {
		// What the client has was compressed here if it asks by a weak validator where
		// the answer has a strong one.
		if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) && hasToken(w.asked, "If-None-Match", "W/"+tag) {
			weaken(h)
			addVary(h, "Accept-Encoding")
		}
		return
	}
	if !w.suits(status, h) {
		return
	}
	addVary(h, "Accept-Encoding") // who accepts less gets another answer
	if w.coding == nil {
		return
	}
	if !w.head {
		if w.enc = w.coding.encoder(w.ResponseWriter); w.enc == nil {
			return
		}
	}
	weaken(h)
	h["Content-Encoding"] = []string{w.coding.name}
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges") // ranges would be of something else than this
}

// suits reports whether an answer can be compressed and is worth it.
func (w *compressor) suits(status int, h http.Header) bool {
	switch {
	case status == http.StatusNoContent, status == http.StatusResetContent, status == http.StatusPartialContent, status < 200:
		return false
	case len(h["Content-Encoding"]) > 0, len(h["Content-Range"]) > 0:
		return false
	case hasToken(h, "Cache-Control", "no-transform"):
		return false
	}
	for _, name := range []string{"Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		if len(h[name]) > 0 {
			return false // it is of these very bytes
		}
	}
	if length := h.Get("Content-Length"); length != "" && !w.insists {
		if n, err := strconv.ParseInt(length, 10, 64); err != nil || n < compressFrom {
			return false
		}
	}
	return isText(h.Get("Content-Type"))
}

// Write implements http.ResponseWriter.
func (w *compressor) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if w.enc == nil {
		return w.ResponseWriter.Write(p)
	}
	return w.enc.Write(p)
}

// FlushError is what http.ResponseController calls: what was written so far can be
// read when it returns.
func (w *compressor) FlushError() error {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	if w.enc != nil {
		if err := w.enc.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// finish writes what an encoder has at its end.
func (w *compressor) finish() {
	if w.enc != nil {
		_ = w.enc.Close() // a client that is gone shows in the access line
	}
}

// release gives the encoder back.
func (w *compressor) release() {
	if w.enc != nil {
		w.coding.giveBack(w.enc)
		w.enc = nil
	}
}

// isText reports whether a media type holds text, or what gets as much shorter as
// text. Event streams are left alone: they are flushed at every event, and read by
// programs that know no coding.
func isText(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil && kind == "" {
		return false
	}
	switch {
	case kind == "text/event-stream", strings.HasPrefix(kind, "application/grpc"):
		return false
	}
	switch kind {
	case "application/json", "application/javascript", "application/xml", "application/x-ndjson", "application/graphql-response+json",
		"application/manifest+json", "application/wasm", "application/x-javascript", "application/yaml", "application/ld+json",
		"application/sql", "application/toml", "application/x-yaml", "image/svg+xml", "application/rtf", "application/x-sh",
		"font/ttf", "font/otf", "application/vnd.ms-fontobject", "image/bmp", "image/vnd.microsoft.icon", "image/x-icon":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml") || strings.HasSuffix(kind, "+text")
}

// weaken makes a strong ETag weak: it names bytes that are not sent.
func weaken(h http.Header) {
	if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
		h["Etag"] = []string{"W/" + tag}
	}
}
