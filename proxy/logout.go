package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

// prepareLogout checks the paths that end the session.
func (r *Route) prepareLogout(fault func(key, format string, args ...any)) {
	r.logout = map[string]bool{}
	for i, p := range r.LogoutPaths {
		if why := checkPattern(p); why != "" {
			fault(fmt.Sprintf("logout_paths[%d]", i), "%q %s", p, why)
			continue
		}
		if strings.Contains(p, "*") {
			fault(fmt.Sprintf("logout_paths[%d]", i), "%q holds a *; name one path", p)
			continue
		}
		c, _ := canonicalPath(p)
		r.logout[c] = true
	}
}

// checkLogout finds paths that end nothing, for no request for them comes to the route.
func (rt *Router) checkLogout(r *Route, i int) (faults []error) {
	host := strings.ToLower(r.Host)
	if strings.HasPrefix(host, "*") {
		host = "any" + host[1:]
	}
	methods := r.Methods
	if len(methods) == 0 {
		methods = []string{http.MethodGet, http.MethodPost}
	}
	for j, p := range r.LogoutPaths {
		c, _ := canonicalPath(p)
		comes := false
		for _, m := range methods {
			if found, err := rt.Match(host, c, m); err == nil && found == r {
				comes = true
			}
		}
		if !comes {
			faults = append(faults, fmt.Errorf("routes[%d].logout_paths[%d]: no request for %q comes to this route; write it at the route that has it", i, j, p))
		}
	}
	return faults
}

// signsOut reports whether a request that was let through asks the app to sign its
// person out, and means it.
func (g *Gate) signsOut(r *http.Request, d *Decision) bool {
	return g.SignOut != nil && d.Login != nil && d.Login.Session != nil && d.Route.logout[d.Target.Path] && meansIt(r)
}

// meansIt tells a person who signs out from whatever else makes a browser ask for an
// address: an image or a link of another site, or one that somebody put into a page of
// the app; a link that is fetched before anybody clicks it; a tab that is opened again.
// What is safe to ask for (RFC 9110 section 9.2.1) has to be the whole window going
// there from a page of the same origin, anything else has to come from one. Who does not
// say where it comes from is not believed.
func meansIt(r *http.Request) bool {
	h := r.Header
	if h["Sec-Purpose"] != nil || h["Purpose"] != nil || h["X-Moz"] != nil || web.IsUpgrade(r) || !fromSameOrigin(r) {
		return false
	}
	switch r.Method {
	case http.MethodGet:
		return web.IsNavigation(r) && !web.IsFramed(r)
	case http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}

// fromSameOrigin reports whether a page of the origin that is asked made the request,
// by the best that the browser says.
func fromSameOrigin(r *http.Request) bool {
	h := r.Header
	if site := h["Sec-Fetch-Site"]; site != nil {
		return len(site) == 1 && site[0] == "same-origin"
	}
	scheme := schemeOf(r)
	own := scheme + "://" + withoutDefaultPort(scheme, canonicalHost(r.Host))
	if origins := h["Origin"]; origins != nil {
		return len(origins) == 1 && strings.ToLower(origins[0]) == own
	}
	from, err := url.Parse(h.Get("Referer"))
	return err == nil && from.Host != "" && from.Scheme+"://"+withoutDefaultPort(from.Scheme, canonicalHost(from.Host)) == own
}

// isOver reports whether somebody asks to be signed out who is not signed in any more: the
// sign-in page would be a strange answer, and what was asked for would be done after it.
func (g *Gate) isOver(r *http.Request, d *Decision) bool {
	return g.SignOut != nil && d.Route != nil && d.Route.logout[d.Target.Path] && web.IsNavigation(r) && !web.IsFramed(r)
}

// endSession ends the session of the request, once. The address is where a person goes
// to be signed out elsewhere too, or is told that they are.
func (c *carriage) endSession(h http.Header) (address string, err error) {
	signOut := c.signOut
	c.signOut, c.delivered = nil, true
	address, err = signOut(h, c.in)
	if err != nil {
		c.delivered = false // it lives on
		return "", err
	}
	c.note.Decision = "signed-out"
	return address, nil
}

// endAnyway ends the session where nothing was answered: the client has gone, and meant
// it.
func (c *carriage) endAnyway() {
	if c.signOut == nil {
		return
	}
	if _, err := c.endSession(http.Header{}); err != nil {
		c.log.Error("somebody signed out of an app, and the session could not be ended", "event", "session.signout_failed",
			"request_id", c.note.ID, "route", c.route.label, "err", err)
	}
}

// farewell makes the app's answer to a sign-out the end of the session as well. A person
// is sent on, with what the app does to its own cookies; a script gets its answer.
func (c *carriage) farewell(res *http.Response) error {
	goodbye := http.Header{}
	address, err := c.endSession(goodbye)
	if err != nil {
		c.kept = res.Header["Set-Cookie"]
		return err
	}
	h := res.Header
	if web.IsNavigation(c.in) {
		_, _ = io.CopyN(io.Discard, res.Body, 4<<10) // a little, so that the connection can be used again
		_ = res.Body.Close()
		res.Body, res.ContentLength, res.TransferEncoding, res.Trailer = http.NoBody, 0, nil, nil
		res.StatusCode, res.Status = http.StatusSeeOther, ""
		h = http.Header{"Location": {address}, "Content-Length": {"0"}}
		for _, name := range []string{"Set-Cookie", "Clear-Site-Data"} {
			if lines := res.Header[name]; lines != nil {
				h[name] = lines
			}
		}
		res.Header = h
	} else {
		stripTrailers(res.Trailer, nil, nil)
		res.Body = &download{ReadCloser: res.Body, res: res}
	}
	addCookies(h, goodbye)
	keepNowhere(h)
	c.show(h)
	h["X-Request-Id"] = []string{c.note.ID}
	return nil
}

// farewellWithout answers a sign-out to which the app had nothing to say. It reports
// false where that has to be told instead, by err.
func (c *carriage) farewellWithout(w http.ResponseWriter, err error) (bool, error) {
	address, failed := c.endSession(w.Header())
	if failed != nil {
		return false, errors.Join(failed, err)
	}
	c.log.Warn("somebody signed out of an app that did not answer; the session has ended here all the same", "event", "session.signout_unanswered",
		"request_id", c.note.ID, "route", c.route.label, "err", err)
	if !web.IsNavigation(c.in) {
		return false, err
	}
	h := w.Header()
	keepNowhere(h)
	h["Location"], h["Content-Length"], h["X-Request-Id"] = []string{address}, []string{"0"}, []string{c.note.ID}
	w.WriteHeader(http.StatusSeeOther)
	return true, nil
}
