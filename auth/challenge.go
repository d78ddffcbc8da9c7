package auth

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/evergate/evergate/internal/web"
)

// Challenge answers a request to a protected route where nobody is signed in. A
// person is sent to sign in and comes back to the same address; inside a frame,
// where the sign-in page would not be shown, a small page links to the top. A
// program gets 401 with problem+json that names the sign-in page: a redirect
// would have a script take that page for its data.
//
// A form that was being posted is kept, if it may be; see Restore.
func (h *Handler) Challenge(w http.ResponseWriter, r *http.Request, absent *Absent) error {
	web.NoteOf(r.Context()).Decision = "login"
	if absent == nil {
		absent = &Absent{Reason: NoCookie}
	}
	for _, c := range absent.Clear {
		http.SetCookie(w, c)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept, Cookie, Sec-Fetch-Dest, Sec-Fetch-Mode, X-Requested-With")
	switch {
	case !web.IsNavigation(r):
		return h.unauthorized(r, absent)
	case web.IsFramed(r):
		return h.framed(w, r, absent)
	case r.Method == http.MethodGet && h.provider(absent.Silent) != nil:
		return redirect(w, http.StatusFound, h.wayIn(absent, "login/"+absent.Silent, "rd", here(r), "prompt", promptNone))
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return redirect(w, http.StatusFound, h.wayIn(absent, "login", "rd", here(r), "why", why(absent)))
	}
	rd := fromReferer(r)
	if rd == "/" {
		rd = here(r)
	}
	id, lost := h.keepForm(w, r, absent.Login)
	return redirect(w, http.StatusSeeOther, h.wayIn(absent, "login", "rd", rd, "form", id, "lost", lost, "why", why(absent)))
}

// wayIn is the address of a page to sign in at, as the page that is wanted demands it.
func (h *Handler) wayIn(absent *Absent, page string, params ...string) string {
	if absent.Demand != nil {
		params = append(params, absent.Demand.params()...)
	}
	return own(page, params...)
}

// unauthorized is the answer to a program. Without a token it carries no error
// code (RFC 6750 section 3.1).
func (h *Handler) unauthorized(r *http.Request, absent *Absent) error {
	challenge := `Bearer realm="evergate"`
	if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		challenge += `, error="invalid_token", error_description="the gateway takes no tokens from clients on this route"`
	}
	e := &web.Error{
		Status: http.StatusUnauthorized, Code: "login_required", Title: "Nobody is signed in",
		Detail: "Sign in at login_url in the browser, then repeat the request.", Err: absent,
	}
	if absent.further() {
		e.Code, e.Title, challenge = "insufficient_user_authentication", "A further sign-in is needed", absent.Demand.Challenge()
	}
	login := url.URL{Scheme: h.scheme(r), Host: r.Host}
	if r.Host == "" { // HTTP/1.0 knows requests without
		login = *h.cfg.PublicURL
	}
	e.Header = http.Header{"Www-Authenticate": {challenge}}
	e.Extra = map[string]any{"login_url": login.String() + h.wayIn(absent, "login", "rd", fromReferer(r)), "reason": absent.Reason}
	return e
}

// framed is the page inside a frame. Any site may frame it, or nobody would see
// it; it does nothing but link to the sign-in page, which no site may frame.
func (h *Handler) framed(w http.ResponseWriter, r *http.Request, absent *Absent) error {
	rd := fromReferer(r)
	if rd == "/" {
		rd = here(r)
	}
	challenge := `Bearer realm="evergate"`
	if absent.further() {
		challenge = absent.Demand.Challenge()
	}
	w.Header().Set("Www-Authenticate", challenge)
	return h.pages["framed"].Write(w, r, http.StatusUnauthorized, web.Page{
		Title: "Sign in to see this", Data: framedView{Again: absent.further(), LoginURL: h.wayIn(absent, "login", "rd", rd)},
		Header: http.Header{
			"Content-Security-Policy": {strings.Replace(web.ContentPolicy, "; frame-ancestors 'none'", "", 1)},
			"X-Frame-Options":         nil,
		},
	})
}

// scheme is that of the browser.
func (h *Handler) scheme(r *http.Request) string {
	if s := web.NoteOf(r.Context()).Scheme; s != "" {
		return s
	}
	return h.cfg.PublicURL.Scheme
}

// here is the address of r as a return target. Browsers leave some bytes bare in
// a query that ReturnTo refuses; escaped they mean the same.
func here(r *http.Request) string {
	at := r.URL.EscapedPath()
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		at += "?" + escapeOdd(r.URL.RawQuery)
	}
	return ReturnTo(at)
}

func escapeOdd(query string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// fromReferer is the page on this origin that r came from, or "/".
func fromReferer(r *http.Request) string {
	u, err := url.Parse(r.Header.Get("Referer"))
	if err != nil || !strings.EqualFold(u.Host, r.Host) || u.Scheme != "https" && u.Scheme != "http" {
		return "/"
	}
	return here(&http.Request{URL: u})
}

// why is what the sign-in page should say about the end of a session; it says
// nothing to somebody who had none.
func why(absent *Absent) string {
	if _, ok := endings[absent.Reason]; ok {
		return absent.Reason
	}
	return ""
}

// endings say how a session ended, in words for its owner.
var endings = map[string]web.Message{
	Ended:       "You are signed out.",
	Idle:        "You were signed out because nothing happened for a long time.",
	Over:        "Your sign-in has reached the end of its lifetime.",
	Withdrawn:   "Your sign-in was withdrawn. That happens when a password changes or an account is switched off.",
	Theft:       "Your sign-in was ended because a copy of its cookie turned up elsewhere. If you see this often, tell whoever runs this gateway.",
	OtherDevice: "Your sign-in is bound to the device that you signed in on, and this browser could not prove to be on it. Sign in again here.",
	Elsewhere:   "You were signed out at the place where you sign in, or from another device.",
	Operator:    "You were signed out by whoever runs this gateway.",
	Suspected:   "To be safe, sign in again: your sign-in was used by another browser, or from somewhere else, than before. If that was not you, tell whoever runs this gateway.",

	ChangedBrowser: "Your sign-in was ended because another browser used it than the one you signed in with. If that was not you, tell whoever runs this gateway.",
	ParallelUse:    "Your sign-in was ended because two browsers in two places used it at the same time. If one of them was not yours, tell whoever runs this gateway.",

	Stale: "Your sign-in could not be renewed for too long.",
}

// isAnonymous reports whether err says that nobody is signed in.
func isAnonymous(err error) bool { return errors.Is(err, ErrAnonymous) }
