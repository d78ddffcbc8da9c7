package proxy

import (
	"net/http"
	"slices"
	"strings"

	"github.com/evergate/evergate/auth"
)

// isPersonal reports whether what a route answers to login, who may be nil, may be theirs alone. An
// app is told who somebody is, also on a public route; what a route answers by itself says the
// same to all there, but for headers that name them.
func isPersonal(route *Route, login *auth.Login) bool {
	return !route.Policy.Public || login != nil && (route.Answer == nil || route.down.namesSomebody())
}

// isForOneAlone reports whether shared caches must not keep an answer to login. On a public route
// what the app says of caches is its own word, for it knows which of its pages are for everybody;
// where it says nothing they might keep what it has for whoever is signed in (RFC 9111 section 4.2.2).
func isForOneAlone(route *Route, login *auth.Login, h http.Header) bool {
	return !route.Policy.Public || isPersonal(route, login) && !speaksOfCaches(h)
}

// speaksOfCaches reports whether an answer says how long it may be kept, to any cache.
func speaksOfCaches(h http.Header) bool {
	if len(h["Cache-Control"]) > 0 || len(h["Expires"]) > 0 || len(h["Pragma"]) > 0 {
		return true
	}
	for name := range h {
		if isForSharedCaches(name) {
			return true
		}
	}
	return false
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
		if isForSharedCaches(name) {
			delete(h, name)
		}
	}
}

func isForSharedCaches(name string) bool {
	return name == "Surrogate-Control" || name == "Edge-Control" || name == "X-Accel-Expires" || strings.HasSuffix(name, "Cdn-Cache-Control")
}

// addVary says that an answer also depends on a header of the request.
func addVary(h http.Header, name string) {
	if !hasToken(h, "Vary", strings.ToLower(name)) && !hasToken(h, "Vary", "*") {
		h["Vary"] = append(slices.Clone(h["Vary"]), name)
	}
}
