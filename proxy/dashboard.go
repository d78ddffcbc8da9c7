package proxy

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// Dashboard is the Answer of a route that shows the operator's pages: Gate.Dashboard
// makes them. The path of the route ends in "/".
type Dashboard struct{}

func (Dashboard) prepare(r *Route, fault func(key, format string, args ...any)) {
	switch p := r.pattern(); {
	case !strings.HasSuffix(p, "/"):
		fault("match.path", "%q does not end in a slash, and the dashboard has several pages", p)
	case strings.Contains(p, "*"):
		fault("match.path", "%q has a *, and the dashboard is in one place", p)
	case r.Policy.Public:
		fault("public", "nobody knows who would end sessions")
	}
}

// answer implements Answer for a Gate that has no dashboard; others never ask.
func (Dashboard) answer(http.ResponseWriter, *http.Request, *Decision) error {
	return routeError(ErrNoPath)
}

// shows reports whether the dashboard answers on this route.
func (r *Route) shows() bool {
	_, ok := r.Answer.(Dashboard)
	return ok
}

// dashboard has Gate.Dashboard answer, which finds who asks by auth.FromContext and the path below the
// route's in the URL. An event stream is held to session and rules like one of an upstream.
func (g *Gate) dashboard(w http.ResponseWriter, r *http.Request, d *Decision, note *web.Note) {
	ctx, cancel := context.WithCancel(auth.NewContext(r.Context(), d.Login))
	c := &carriage{in: r, route: d.Route, login: d.Login, target: &d.Target, up: &d.Up, note: note, log: orDiscard(g.Log), shown: d.shown,
		gate: g, streams: g.Streams, cancel: cancel}
	c.writer = &writer{ResponseWriter: w, c: c}
	defer cancel()
	defer c.end()
	c.down.most, c.down.cut = g.StallTimeout, cutDown{c}
	inner := r.Clone(ctx)
	below, _ := canonicalPath(d.Route.pattern())
	inner.URL = &url.URL{Path: "/" + strings.TrimPrefix(d.Target.Path, below), RawQuery: r.URL.RawQuery}
	g.Dashboard.ServeHTTP(&handledWriter{answerWriter{writer: c.writer}}, inner)
}

// handledWriter is an answerWriter that notices a stream.
type handledWriter struct{ answerWriter }

// WriteHeader implements http.ResponseWriter.
func (w *handledWriter) WriteHeader(status int) {
	first := !w.wrote
	w.answerWriter.WriteHeader(status)
	if kind, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type")); first && kind == "text/event-stream" {
		w.c.endless = true
		w.c.attend()
	}
}

// Write implements http.ResponseWriter.
func (w *handledWriter) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.writer.Write(p)
}
