package web

import (
	"errors"
	"io"
	"net/http"
)

// LimitBody answers 413 where the body of a request is longer than most bytes:
// at once where its length is announced, otherwise as soon as more is read.
// Zero or less means no limit.
func LimitBody(next http.Handler, most int64) http.Handler {
	if most <= 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > most {
			w.Header().Set("Connection", "close") // reading what was announced is what the limit is against
			Respond(w, r, tooLarge(most, nil))
			return
		}
		if r.Body != nil && r.Body != http.NoBody {
			limited := *r
			limited.Body = &limitedBody{http.MaxBytesReader(bottom(w), r.Body, most), NoteOf(r.Context())}
			r = &limited
		}
		next.ServeHTTP(w, r)
	})
}

// limitedBody marks the Note when the limit is passed: whoever reads the body
// may wrap the error past recognition, and a transport reports it as a failure
// of the upstream.
type limitedBody struct {
	io.ReadCloser
	note *Note
}

func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if over, ok := errors.AsType[*http.MaxBytesError](err); ok {
		b.note.overLimit.Store(over.Limit)
	}
	return n, err
}

// bottom returns the writer of net/http itself, which MaxBytesReader tells to
// close the connection; it does not look through wrappers.
func bottom(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

func tooLarge(most int64, err error) *Error {
	return &Error{Status: http.StatusRequestEntityTooLarge, Code: "body_too_large", Title: "That is too much at once",
		Detail: "What was sent is longer than this gateway passes on ({size}). Nothing was stored.", Args: Args{"size": Size(most)}, Err: err}
}
