package auth

import (
	"errors"
	"net/http"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

// endpoint is what a path answers. A nil field is a method it does not have.
type endpoint struct {
	get, post  web.Handler
	all        http.Handler // answers every method
	everywhere bool         // on the hosts of apps too
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	// Exactly as written: an escaped spelling is another address, and nothing.
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), ownFolder+"/")
	if ok && h.isAppHost(r) {
		return h.serveApart(w, r, path)
	}
	ep, known := h.endpoints[path]
	if !ok || !known {
		return &web.Error{Status: http.StatusNotFound, Code: "not_found", Title: "There is no such page",
			Detail: "The gateway has nothing at this address.", Links: []web.Link{{Text: "Go to the start page", URL: "/"}}}
	}
	return h.serveEndpoint(w, r, ep)
}

// serveApart serves an app's own host: what is about the session there, and the ways to
// the pages of the public host.
func (h *Handler) serveApart(w http.ResponseWriter, r *http.Request, path string) error {
	ep, known := h.endpoints[path]
	switch {
	case path == "arrive":
		ep = endpoint{get: h.arrive}
	case path == "logout":
		ep.get = h.leaveToSignOut
	case path == accountPath || path == invitePath && known || known && ep.get != nil && strings.HasPrefix(path, accountPath+"/"):
		ep = endpoint{get: h.leaveToAccount(path)}
	case path == "login" || known && strings.HasPrefix(path, "login/"):
		ep = endpoint{get: h.leave, post: h.leave}
	case !ep.everywhere:
		return h.elsewhere()
	}
	return h.serveEndpoint(w, r, ep)
}

func (h *Handler) serveEndpoint(w http.ResponseWriter, r *http.Request, ep endpoint) error {
	if ep.all != nil {
		ep.all.ServeHTTP(w, r)
		return nil
	}
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && ep.get != nil:
		return ep.get(w, r)
	case r.Method == http.MethodPost && ep.post != nil:
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin") // what is refused too is nobody else's to look at
		if err := h.fromHere(r); err != nil {
			return foreign(err)
		}
		return ep.post(w, r)
	}
	return &web.Error{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Title: "That is not how this page is used",
		Detail: "It answers {methods}.", Args: web.Args{"methods": ep.allow()}, Header: http.Header{"Allow": {ep.allow()}}}
}

// fromHere refuses what a page of another origin sends.
func (h *Handler) fromHere(r *http.Request) error {
	if err := h.cross.Check(r); err != nil {
		return err
	}
	if web.IsFromPlainPage(r, h.cfg.PublicURL.Scheme == "https") {
		return errors.New("it comes from a page at http, and the gateway is at https")
	}
	if web.IsReferredElsewhere(r, h.cfg.PublicURL.Scheme == "https") {
		return errors.New("it has no Origin, and its Referer is a page of another origin")
	}
	return nil
}

func (e endpoint) allow() string {
	var allow []string
	if e.get != nil {
		allow = append(allow, "GET, HEAD")
	}
	if e.post != nil {
		allow = append(allow, "POST")
	}
	return strings.Join(allow, ", ")
}

func foreign(err error) error {
	return &web.Error{Status: http.StatusForbidden, Code: "cross_origin", Title: "This did not come from our own page",
		Detail: "Another site sent your browser here, so nothing was done. Open the page yourself and try again.",
		Links:  []web.Link{{Text: "Go to the start page", URL: "/"}}, Err: err}
}
