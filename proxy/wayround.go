package proxy

import (
	"errors"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// wayRound is the address at which a person who opens a page fetches the cookie that is
// due to their browser, before they get the page; "" is none.
func (g *Gate) wayRound(r *http.Request, d *Decision) string {
	if d.Login == nil || d.Login.Session == nil || r.Method != http.MethodGet || !web.IsNavigation(r) || !d.Login.Session.Due() {
		return ""
	}
	if g.Turned == nil || g.Turned(r) {
		return ""
	}
	to := auth.RotateURL(d.Target.URI())
	if to == "" || !g.round.take(r, d, time.Now()) {
		return ""
	}
	return to
}

// notCarried answers a request that may pass and that a proxy in front should have
// carried. It handed it over since it was told no: a cookie was due, which can come with
// this answer, or things have changed in between. So the browser asks once more.
func (g *Gate) notCarried(w http.ResponseWriter, r *http.Request, d *Decision) error {
	addCookies(w.Header(), deliver(auth.WithFetch(r.Context()), d.Login))
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && !web.IsUpgrade(r) && g.Turned != nil && !g.Turned(r) && g.again.take(r, d, time.Now()) {
		g.Turn(w.Header())
		keepNowhere(w.Header())
		w.Header()["Location"] = []string{d.Target.URI()}
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	return &web.Error{Status: http.StatusServiceUnavailable, Code: "not_carried", Title: "This page is not served from here",
		Detail: "The proxy in front of the gateway serves it, and handed this request over instead. Try again; if that does not help, whoever runs it has to see to that proxy.",
		Links:  tryAgain(r, &d.Target), RetryAfter: time.Second, Err: errors.New("the route has no upstream: a proxy in front should have carried the request")}
}
