package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// logoutPage asks. An image on another site can send a browser here, so it
// changes nothing.
func (h *Handler) logoutPage(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	to := one(query, "to")
	back, e := h.placeOf(r, one(query, "rd"), to)
	login, err := h.who(w, r)
	marked := e != nil && e.Mark != ""
	absent, _ := errors.AsType[*Absent](err)
	suspected := absent != nil && absent.Reason == Suspected // who it is nobody is told; they can sign out all the same
	if isAnonymous(err) && !marked && !suspected {
		if b, ok := h.backFromProvider(one(query, "state")); ok {
			if back = b; !back.start() {
				return redirect(w, http.StatusSeeOther, h.address(back))
			}
		}
		still := ""
		if p := h.provider(one(query, "at")); p != nil {
			still = p.label()
		}
		return h.showSignedOut(w, r, "", still, back)
	}
	if err != nil && !isAnonymous(err) {
		return err
	}
	v := logoutView{Host: r.Host, RD: back.RD, To: to, Back: h.address(back)}
	if login != nil {
		v.User, v.Name, v.Provider = login.Identity.User, login.Identity.Name, h.signsOutAt(login)
	}
	if suspected {
		v.Why = endings[Suspected]
	}
	if marked && v.User != e.User {
		v.User, v.Name, v.Host = e.User, "", e.Host
	}
	return h.pages["logout"].Write(w, r, http.StatusOK, web.Page{Title: "Sign out?", Data: v, Header: http.Header{"Content-Security-Policy": {h.formPolicy()}}})
}

// place is where to go after signing out: RD on Host, where "" is the host at hand.
type place struct {
	Host string `json:"h,omitempty"`
	RD   string `json:"r"`
}

// start reports whether it is a start page, which nobody asked for by name.
func (p place) start() bool { return p.RD == "/" }

// placeOf is the place that a request names, by a path of its own or by an errand.
func (h *Handler) placeOf(r *http.Request, rd, to string) (place, *errand) {
	if e := h.asked(r, to); e != nil {
		return place{e.Host, e.RD}, e
	}
	return place{RD: ReturnTo(rd)}, nil
}

// address is where p is, for a link or a Location on the host at hand.
func (h *Handler) address(p place) string {
	if p.Host == "" {
		return p.RD
	}
	return h.origin(p.Host) + p.RD
}

// signOut does it, and goes to where the request names, if it does.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) error {
	rd, to := "", one(r.URL.Query(), "to")
	if r.ContentLength != 0 {
		values, err := readForm(w, r)
		if err != nil {
			return err
		}
		rd = one(values, "rd")
		if t := one(values, "to"); t != "" {
			to = t
		}
	}
	if rd == "" {
		rd = one(r.URL.Query(), "rd")
	}
	back, e := h.placeOf(r, rd, to)
	return h.finishSignOut(w, r, back, e, own("logout", "rd", rd, "to", to))
}

// finishSignOut ends the session that r brings, and that which an errand names, and goes to
// back by way of the provider. Again is where to try again.
func (h *Handler) finishSignOut(w http.ResponseWriter, r *http.Request, back place, e *errand, again string) error {
	login, err := h.endSession(w, r, e, again)
	if err != nil {
		return err
	}
	user := ""
	if login != nil {
		user = login.Identity.User
	}
	there, still := h.signOutThere(r, login, back)
	switch {
	case there != "":
		return redirect(w, http.StatusSeeOther, there)
	case !back.start():
		return redirect(w, http.StatusSeeOther, h.address(back))
	}
	return h.showSignedOut(w, r, user, still, back)
}

// endSession ends the session that r brings, and that which an errand names, and has the
// answer say to the browser what follows from that. Login is nil if there was none.
func (h *Handler) endSession(w http.ResponseWriter, r *http.Request, e *errand, again string) (*Login, error) {
	login, err := h.cfg.Sessions.End(w.Header(), r)
	if err == nil && e != nil && e.Mark != "" {
		var there *Login
		if there, err = h.cfg.Handovers.EndMarked(r.Context(), e.Mark); login == nil {
			login = there
		}
	}
	if u, ok := errors.AsType[*Unavailable](err); ok {
		e := unavailable(u, "{what} is out of order for the moment. You are NOT signed out. Try again shortly.")
		e.Title, e.Links = "Error: You are still signed in", []web.Link{{Text: "Try to sign out again", URL: again}}
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	h.clearForms(w, r)
	// What the app showed must not be shown again by the Back button or the cache.
	w.Header().Set("Clear-Site-Data", `"cache"`)
	web.NoteOf(r.Context()).Decision = "signed-out"
	if login != nil {
		note(r, login)
	}
	return login, nil
}

// SignOut ends the session that r brings, for an app whose own sign-out r asked for. What
// the browser must be told goes into header. Address is where a person goes next: to be
// signed out at their provider too, or to our page that says so. The error is a
// *web.Error for the answer; the session lives on then.
func (h *Handler) SignOut(header http.Header, r *http.Request) (address string, err error) {
	login, err := h.endSession(headerWriter{header}, r, nil, own("logout"))
	if err != nil {
		return "", err
	}
	there, still := h.signOutThere(r, login, place{RD: "/"})
	if there != "" {
		return there, nil
	}
	if still == "" {
		return own("logout"), nil
	}
	return own("logout", "at", login.Identity.Provider), nil
}

// headerWriter is a bare header, for what writes cookies.
type headerWriter struct{ h http.Header }

func (w headerWriter) Header() http.Header     { return w.h }
func (headerWriter) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (headerWriter) WriteHeader(int)           {}

// showSignedOut shows the page. Still is where the person may still be signed
// in, or "".
func (h *Handler) showSignedOut(w http.ResponseWriter, r *http.Request, user, still string, back place) error {
	// The script tells the other tabs.
	return h.pages["signedout"].Write(w, r, http.StatusOK, web.Page{Title: "Signed out", Script: own("session.js"), Data: signedOutView{
		User: user, Host: r.Host, Still: still, LoginURL: h.signInAgain(back),
	}})
}

// signInAgain is where somebody signs in who just signed out. On an app's own host any
// page of it leads there.
func (h *Handler) signInAgain(back place) string {
	if back.Host != "" {
		return h.address(back)
	}
	return own("login", "rd", back.RD)
}

const (
	logoutPurpose = "logout"
	logoutTTL     = time.Hour
	// logoutWait bounds how long signing out waits for what the provider offers.
	// It is done here already.
	logoutWait = 3 * time.Second
)

// signsOutAt is the label of the provider that signing out goes on to, or "".
func (h *Handler) signsOutAt(login *Login) string {
	if p := h.provider(login.Identity.Provider); p != nil {
		if _, ok := p.Method.(LogoutURLer); ok {
			return p.label()
		}
	}
	return ""
}

// signOutThere returns where to send the browser to be signed out at its
// provider too (OIDC RP-Initiated Logout 1.0), or where it still is signed in.
func (h *Handler) signOutThere(r *http.Request, login *Login, back place) (to, still string) {
	if login == nil {
		return "", ""
	}
	p := h.provider(login.Identity.Provider)
	if p == nil {
		return "", ""
	}
	method, ok := p.Method.(LogoutURLer)
	if !ok {
		return "", p.label()
	}
	ctx, cancel := context.WithTimeout(r.Context(), logoutWait)
	defer cancel()
	if back.RD = shorter(back.RD, maxStateRD); back.Host == "" && h.isAppHost(r) {
		back.Host = hostOf(r)
	}
	state, err := h.seal(logoutPurpose, h.publicHost(), back, logoutTTL)
	if err == nil {
		to, err = method.LogoutURL(ctx, login, h.absolute("logout"), state)
	}
	if err != nil {
		h.cfg.Log.WarnContext(r.Context(), "signed out here, and not at the provider", "event", "session.provider_logout_failed",
			"provider", p.Name, "request_id", web.NoteOf(r.Context()).ID, "err", err)
	}
	if to == "" {
		return "", p.label()
	}
	return to, ""
}

// backFromProvider is where a person wanted to go who comes back signed out.
func (h *Handler) backFromProvider(state string) (back place, ok bool) {
	if state == "" {
		return back, false
	}
	if h.open(logoutPurpose, h.publicHost(), state, &back) != nil || back.Host != "" && (h.cfg.AppHost == nil || !h.cfg.AppHost(back.Host)) {
		return place{}, false
	}
	back.RD = ReturnTo(back.RD)
	return back, true
}

// formPolicy is web.ContentPolicy for a form that may end at a provider or at an app's
// own host: browsers check each address that a form leads on to, and those may send
// them on to others of their own.
func (h *Handler) formPolicy() string {
	if len(h.cfg.Providers) == 0 && h.cfg.Handovers == nil {
		return web.ContentPolicy
	}
	allowed := "form-action 'self' https:"
	if h.cfg.PublicURL.Scheme == "http" { // on a loopback name alone
		allowed += " http:"
	}
	return strings.Replace(web.ContentPolicy, "form-action 'self'", allowed, 1)
}
