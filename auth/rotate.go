package auth

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// turnKind is the helper cookie of a browser that was just sent round: whatever came of
// it, it is not sent round again for turnTTL, so nothing goes round for ever where a store
// does not write. One that keeps no cookie is remembered by whoever sends it round.
const (
	turnKind = "-turned"
	turnTTL  = time.Minute
)

// rotate hands the browser the cookie that is due, and sends it on to rd. Where a proxy in
// front of the gateway gives the answers, this is the one that can carry it. Whoever opens
// nothing but this, such as a script, gets 204.
func (h *Handler) rotate(w http.ResponseWriter, r *http.Request) error {
	r = r.WithContext(WithFetch(r.Context()))
	_, err := h.who(w, r)
	if !web.IsNavigation(r) {
		if isAnonymous(err) {
			err = nil // the next request says so
		}
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
		return err
	}
	if _, detour := err.(*Detour); detour {
		return err
	}
	// The page says what is wrong, if anything is: it was served a moment ago.
	h.Turn(w.Header())
	return redirect(w, http.StatusSeeOther, ReturnTo(one(r.URL.Query(), "rd")))
}

// Turned reports whether the browser behind r was sent round just now.
func (h *Handler) Turned(r *http.Request) bool {
	return len(r.CookiesNamed(h.cfg.CookiePrefix+turnKind)) > 0
}

// Turn has the browser that gets an answer with header say Turned for a minute.
func (h *Handler) Turn(header http.Header) {
	c := h.helperCookie(turnKind, "", "1")
	c.MaxAge = int(turnTTL / time.Second)
	if v := c.String(); v != "" {
		header.Add("Set-Cookie", v)
	}
}

type formlessKey struct{}

// WithoutForm returns a context for a request whose form cannot be put back later: what
// is sent after the sign-in does not come this way.
func WithoutForm(ctx context.Context) context.Context {
	return context.WithValue(ctx, formlessKey{}, true)
}

func isFormless(r *http.Request) bool { return r.Context().Value(formlessKey{}) != nil }

// RotateURL is the address of the page that hands out a cookie and leads to uri, a path
// with or without a query; "" where it would not lead back there.
func RotateURL(uri string) string {
	if at := escapeOdd(uri); strings.HasPrefix(uri, "/") && ReturnTo(at) == at {
		return own("rotate", "rd", at)
	}
	return ""
}
