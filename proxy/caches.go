package proxy

import (
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/auth"
)

// isPersonal reports whether what a route answers to login, who may be nil, is theirs alone.
func isPersonal(route *Route, login *auth.Login) bool {
	return !route.Policy.Public || login != nil && route.knowsPeople()
}

// knowsPeople reports whether somebody who is signed in may get another answer than nobody in
// particular. An app is told who they are, also on a public route; what a route answers by itself says the
// same to all, but for headers that name them.
func (r *Route) knowsPeople() bool {
	return r.Answer == nil || r.down.namesSomebody()
}

// tellApart has caches keep what nobody in particular got at a public address from whoever
// brings a cookie, or a token where the route takes one: those get an answer of their own there
// (RFC 9110 section 12.5.5). It comes before what the route says of headers, which may take it away.
func (r *Route) tellApart(h http.Header) {
	if !r.Policy.Public || !r.knowsPeople() {
		return
	}
	addVary(h, "Cookie")
	if r.Bearer {
		addVary(h, "Authorization")
	}
}

// addVary says that an answer also depends on a header of the request.
func addVary(h http.Header, name string) {
	if !hasToken(h, "Vary", strings.ToLower(name)) && !hasToken(h, "Vary", "*") {
		h["Vary"] = append(slices.Clone(h["Vary"]), name)
	}
}

// keepPrivate makes the answer to one person one that no shared cache keeps.
func keepPrivate(h http.Header, v *values) {
	if len(h["Cache-Control"]) == 0 {
		v.set(h, "Cache-Control", "private")
		forgetSharedCaches(h)
		return
	}
	var kept []string
	private := false
	for _, item := range splitQuoted(strings.Join(h["Cache-Control"], ",")) {
		item = strings.TrimSpace(item)
		name, _, field := strings.Cut(item, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "", "public", "s-maxage":
			continue
		case "private":
			if field {
				continue // private="Set-Cookie" makes that field private and the rest public
			}
			private = true
		case "no-store":
			private = true
		}
		kept = append(kept, item)
	}
	if !private {
		kept = append([]string{"private"}, kept...)
	}
	h["Cache-Control"] = []string{strings.Join(kept, ", ")}
	forgetSharedCaches(h)
}

// keepNowhere is for an answer that carries the gateway's cookie.
func keepNowhere(h http.Header) {
	h["Cache-Control"] = []string{"private, no-store"}
	forgetSharedCaches(h)
}

// forgetSharedCaches removes what CDNs (RFC 9213) and nginx obey before Cache-Control.
func forgetSharedCaches(h http.Header) {
	for name := range h {
		switch {
		case name == "Surrogate-Control", name == "Edge-Control", name == "X-Accel-Expires", strings.HasSuffix(name, "Cdn-Cache-Control"):
			delete(h, name)
		}
	}
}
