package door

import (
	"net/http"
	"strings"
)

// redirector sends plain http on to https at the same host and path. It does so
// for hosts that are served here and no others: for a stranger's it would be a
// way of having this machine vouch for an address.
type redirector struct {
	known func(host string) bool
	port  string // of https, "443" is left out
}

// ServeHTTP implements http.Handler.
func (rd *redirector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host := hostname(r.Host)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// A redirect that is permanent is kept for ever otherwise, mistakes included.
	w.Header().Set("Cache-Control", "no-store")
	if host == "" || !rd.known(host) {
		http.Error(w, "This gateway does not serve that host.", http.StatusMisdirectedRequest)
		return
	}
	if rd.port != "443" {
		host += ":" + rd.port
	}
	path := r.URL.RequestURI()
	if !strings.HasPrefix(path, "/") { // OPTIONS *, CONNECT: would become a part of the host
		path = "/"
	}
	// 308 keeps method and body, so that a form that was posted arrives.
	w.Header().Set("Location", "https://"+host+path)
	w.WriteHeader(http.StatusPermanentRedirect)
}

// hostname is the name in a Host header, in lower case and without port. Whether
// it is one at all is for known to say.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
