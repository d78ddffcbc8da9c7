package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/redirect"
)

// Redirect sends browsers elsewhere. No request can choose the scheme or the host
// of where that is.
type Redirect struct {
	// To is a path, or http:// or https:// with a host; {path} and {rest} stand for
	// parts of the path that was asked for. See redirect.Parse.
	To string
	// Status is 301, 302, 303, 307 or 308. Zero means 307: it keeps the method, so
	// that a form is not lost, and no browser remembers it for good.
	Status int
	// KeepQuery takes the query along.
	KeepQuery bool

	target *redirect.Target
}

const anyChars = EncodedSlash | Semicolon | DoubleSlash

func (a *Redirect) prepare(r *Route, fault func(key, format string, args ...any)) {
	if a.Status == 0 {
		a.Status = http.StatusTemporaryRedirect
	}
	if !slices.Contains([]int{301, 302, 303, 307, 308}, a.Status) {
		fault("redirect.status", "want 301, 302, 303, 307 or 308, got %d", a.Status)
	}
	target, err := redirect.Parse(a.To)
	if err != nil {
		fault("redirect.to", "%s", err)
		return
	}
	a.target = target
	if _, err := a.location(r, sample(r), ""); err != nil {
		fault("redirect.to", "%q leads nowhere: %s", a.To, err)
	}
}

// sample is a path that the route may have been asked for.
func sample(r *Route) string {
	path, ok := canonicalPath(r.pattern())
	if !ok {
		return "/"
	}
	path = strings.ReplaceAll(path, "/*", "/x")
	if strings.HasSuffix(path, "/") {
		path += "x"
	}
	return path
}

// rest is what a path has behind that of the route.
func (r *Route) rest(path string) string {
	if !strings.HasSuffix(r.pattern(), "/") {
		return ""
	}
	for range strings.Count(r.pattern(), "/") { // it matched segment by segment
		_, path, _ = strings.Cut(path, "/")
	}
	return path
}

// location is where a request for path is sent. The path of it is examined as a
// client's own would be: what is put together from parts must not name a host, nor
// hold a dot segment, nor be one of the gateway's own pages that nobody wrote there.
func (a *Redirect) location(r *Route, path, query string) (string, error) {
	rest := r.rest(path)
	t, bad := Clean(a.target.Path(path, rest), anyChars)
	if bad != nil {
		return "", bad
	}
	if a.target.Origin == "" {
		for _, reading := range append(t.Readings, t.Path) {
			switch {
			case isReserved(reading) && !isReserved(a.target.Head()):
				return "", badTarget("it would be sent to one of the gateway's own")
			case strings.HasPrefix(reading, "//"): // a host to some parsers
				return "", badTarget("what it is sent to starts with two slashes once decoded")
			}
		}
	}
	if !a.KeepQuery {
		query = ""
	}
	return a.target.Origin + t.Path + a.target.Tail(path, rest, query), nil
}

func (a *Redirect) answer(w http.ResponseWriter, _ *http.Request, d *Decision) error {
	location, err := a.location(d.Route, d.Target.Path, d.Target.RawQuery)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Location", location)
	h.Set("Content-Length", "0")
	w.WriteHeader(a.Status)
	return nil
}

// checkLoops finds redirects that lead back to their own route.
func (rt *Router) checkLoops(routes []*Route) (faults []error) {
	for i, r := range routes {
		a, ok := r.Answer.(*Redirect)
		if !ok || a.target == nil {
			continue
		}
		host := strings.Replace(r.Host, "*", "x", 1)
		if _, there, elsewhere := strings.Cut(a.target.Origin, "://"); elsewhere {
			if r.Host == "" || there != host {
				continue // it may be served by somebody else
			}
		}
		location, err := a.location(r, sample(r), "")
		if err != nil {
			continue
		}
		path, _, _ := strings.Cut(strings.TrimPrefix(location, a.target.Origin), "?")
		path, _, _ = strings.Cut(path, "#")
		method := http.MethodGet
		if len(r.Methods) > 0 && a.Status >= 307 {
			method = r.Methods[0] // it is kept
		}
		if other, err := rt.Match(host, path, method); err == nil && other == r {
			faults = append(faults, fmt.Errorf("routes[%d].redirect: it leads back to this very route, for ever: %s is sent to %s", i, sample(r), location))
		}
	}
	return faults
}
