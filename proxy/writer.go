package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"
)

// writer is the way back to the client. It looks over informational answers,
// which no ModifyResponse sees, sends headers that carry a cookie at once, and
// keeps hold of a connection that changes its protocol.
type writer struct {
	http.ResponseWriter
	c     *carriage
	flush bool
	held  int  // how much was written, up to buffered
	slow  bool // the last part of a long body was taken slowly
}

// buffered is how much of an answer net/http holds before any of it goes out, in HTTP/1.1
// and HTTP/2: writing as much as that waits for nobody.
const buffered = 2 << 10

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		h := w.Header()
		scrub(h, w.c.own)
		h.Del("Set-Cookie") // an early hint has no business with cookies
		h.Del("Clear-Site-Data")
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.c.keepLimits(w.Header())
	w.ResponseWriter.WriteHeader(status)
	if w.flush {
		// Whether the old cookie is still good is decided by when the new one goes
		// out, so it must not wait in a buffer for a slow body.
		_ = w.FlushError()
	}
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.held += len(p); w.held <= buffered {
		return w.ResponseWriter.Write(p)
	}
	w.held = buffered + 1
	if w.c.long {
		return w.writeLong(p)
	}
	return w.send(p)
}

// writeLong sends what came by a large buffer: by less at a time while the client takes it slowly,
// for each is waited for as long as that may stand still.
func (w *writer) writeLong(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		part := p[n:]
		if w.slow {
			part = part[:min(len(part), bufferSize)]
		}
		var more int
		began := time.Now()
		more, err = w.send(part)
		w.slow = isSlow(began)
		if n += more; more < len(part) && err == nil {
			err = io.ErrShortWrite
		}
	}
	return n, err
}

func (w *writer) send(p []byte) (int, error) {
	w.c.down.begin()
	defer w.c.down.end()
	return w.ResponseWriter.Write(p)
}

// FlushError is what http.ResponseController calls.
func (w *writer) FlushError() error {
	w.c.down.begin()
	defer w.c.down.end()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack implements http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return w.c.open(conn, buf), buf, nil
}
