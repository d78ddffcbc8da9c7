package proxy

import (
	"net/http"

	"github.com/evergate/evergate/internal/web"
)

// Answer is what a route says by itself, in the place of an Upstream: *Redirect,
// *Static, *Respond or Dashboard. The rule has let the request pass when it is asked.
type Answer interface {
	// answer writes the answer. What it returns as an error is answered as a page or
	// as problem+json; then it has written nothing.
	answer(w http.ResponseWriter, r *http.Request, d *Decision) error
	// prepare says what is wrong with it on its route.
	prepare(r *Route, fault func(key, format string, args ...any))
}

// answer has the route answer by itself. What the gateway says of any answer it
// says of this one too: cookies that are due, caches that may keep it, headers of
// the route.
func (g *Gate) answer(w http.ResponseWriter, r *http.Request, d *Decision, note *web.Note) error {
	c := &carriage{in: r, route: d.Route, login: d.Login, target: &d.Target, up: &d.Up, note: note, log: orDiscard(g.Log), shown: d.shown}
	c.writer = &writer{ResponseWriter: w, c: c}
	aw := &answerWriter{writer: c.writer}
	err := d.Route.Answer.answer(aw, r, d)
	if err != nil && !aw.wrote {
		c.deliver(w.Header())
		return err
	}
	return nil
}

// answerWriter finishes the header of an answer as modify does that of an
// upstream's.
type answerWriter struct {
	*writer
	wrote bool
}

// WriteHeader implements http.ResponseWriter.
func (w *answerWriter) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		h, c := w.Header(), w.c
		c.route.SecureHeaders.apply(h, status, schemeOf(c.in))
		c.route.down.apply(h, c)
		if isForOneAlone(c.route, c.login, h) || c.shown != nil {
			keepPrivate(h, nil)
		}
		c.deliver(h)
	}
	w.writer.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.writer.Write(p)
}

// onlyReads refuses methods other than GET and HEAD.
func onlyReads(r *http.Request) error {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	return methodError(&MethodError{Allow: "GET, HEAD"})
}
