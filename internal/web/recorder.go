package web

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// recorder is a ResponseWriter that knows what became of the answer.
type recorder struct {
	http.ResponseWriter
	ctx  context.Context
	note *Note
	head bool   // a HEAD request: its answer has no body
	hsts string // Strict-Transport-Security, or ""

	body    *incoming   // of the request, or nil
	closing func() bool // or nil
	trace   *trace      // or nil

	status   int
	bytes    int64
	wrote    bool // the headers are out
	late     bool // …but the client had gone before
	failed   bool // a write failed
	aborted  bool // the handler cut the answer short
	hijacked bool
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status) // an interim answer; the real one is yet to come
		return
	}
	if !w.wrote {
		w.wrote, w.status = true, status
		w.late = w.ctx.Err() != nil
		// An upstream may have answered with an id of its own; the one in our log counts.
		w.identify()
		if w.hsts != "" { // an upstream's own would stand beside it, and the first one counts
			w.Header().Set("Strict-Transport-Security", w.hsts)
		}
		w.trace.answering(w.Header(), status)
		if status != http.StatusSwitchingProtocols {
			w.body.answering(w.Header())
			if w.closing != nil && w.closing() {
				w.Header().Set("Connection", "close")
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// identify puts the request's id into the header of the answer, unless it is there.
func (w *recorder) identify() {
	if id := w.Header()["X-Request-Id"]; len(id) != 1 || id[0] != w.note.ID {
		w.Header()["X-Request-Id"] = w.note.idLine()
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	w.failed = w.failed || err != nil
	return n, err
}

// FlushError is what http.ResponseController calls.
func (w *recorder) FlushError() error {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher for those who do not know ResponseController.
func (w *recorder) Flush() { _ = w.FlushError() }

// Hijack implements http.Hijacker. What goes over the connection afterwards is
// not counted.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.hijacked = true
		w.trace.upgraded()
	}
	return conn, buf, err
}

// Unwrap lets http.ResponseController reach the rest.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// outcome says what the access line should, and whether the client went away
// before the answer was complete.
func (w *recorder) outcome() (status int, gone bool) {
	switch {
	case w.hijacked && !w.wrote:
		return http.StatusSwitchingProtocols, false
	case w.hijacked:
		return w.status, false
	case errors.Is(w.ctx.Err(), context.Canceled) && !w.complete():
		return StatusClientGone, true
	case !w.wrote:
		return http.StatusOK, false // what net/http answers for a handler that is silent
	}
	return w.status, false
}

// complete reports whether the client got what there was. A stream has no end
// of its own: that a client leaves it is how it ends.
func (w *recorder) complete() bool {
	switch {
	case w.wrote && w.status == http.StatusRequestTimeout:
		return true // net/http ends the context of a body that is too late as if the client had gone
	case !w.wrote || w.late:
		return false
	case w.isEventStream():
		return true
	case w.failed || w.aborted:
		return false
	case w.head || w.status == http.StatusNoContent || w.status == http.StatusNotModified:
		return true
	}
	length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	return err != nil || length == w.bytes
}

func (w *recorder) isEventStream() bool {
	return strings.HasPrefix(w.Header().Get("Content-Type"), "text/event-stream")
}

// isStream reports whether the answer has no end of its own.
func (w *recorder) isStream() bool { return w.hijacked || w.isEventStream() }
