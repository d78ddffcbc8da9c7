package web

import (
	"net/http"
)

// LimitHeaders answers 431 where a request has more than most header lines: each
// costs work here and memory in the app, however short it is. Host is not counted;
// HTTP/2 gives the crumbs of a cookie as one line.
func LimitHeaders(next http.Handler, most int) http.Handler {
	if most <= 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines := 0
		for _, values := range r.Header {
			lines += len(values)
		}
		if lines <= most {
			next.ServeHTTP(w, r)
			return
		}
		Respond(w, r, &Error{Status: http.StatusRequestHeaderFieldsTooLarge, Code: "too_many_headers", Title: "That request has too many headers",
			Detail: "This gateway passes on requests of {count} header lines at most.", Args: Args{"count": most}})
	})
}
