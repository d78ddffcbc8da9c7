package auth

import (
	"context"
	"encoding/json"
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
	back := h.placeOf(one(query, "rd"), to)
	login, err := h.who(w, r)
	if err == nil || isAnonymous(err) {
		if there := h.askThere(to, login); there != "" {
			return redirect(w, http.StatusSeeOther, there)
		}
	}
	if isAnonymous(err) {
		if b, ok := h.backFromProvider(one(query, "state")); ok {
			if back = b; !back.start() {
				return redirect(w, http.StatusSeeOther, h.address(back))
			}
		}
		return h.showSignedOut(w, r, "", "", back)
	}
	if err != nil {
		return err
	}
	id := &login.Identity
	return h.pages["logout"].Write(w, r, http.StatusOK, web.Page{Title: "Sign out?", Data: logoutView{
		User: id.User, Name: id.Name, Host: r.Host, RD: back.RD, To: to, Ask: one(query, "ask"), Back: h.address(back), Provider: h.signsOutAt(login),
	}, Header: http.Header{"Content-Security-Policy": {h.formPolicy()}}})
}

// place is where to go after signing out: RD on Host, where "" is the host at hand.
type place struct {
	Host string `json:"h,omitempty"`
	RD   string `json:"r"`
}

// start reports whether it is a start page, which nobody asked for by name.
func (p place) start() bool { return p.RD == "/" }

// placeOf is the place that a request names, by a path of its own or by an errand.
func (h *Handler) placeOf(rd, to string) place {
	if e := h.openErrand(to); e != nil {
		return place{e.Host, e.RD}
	}
	return place{RD: ReturnTo(rd)}
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
	rd, to, ask := "", one(r.URL.Query(), "to"), ""
	if r.ContentLength != 0 {
		values, err := readForm(w, r)
		if err != nil {
			return err
		}
		rd, ask = one(values, "rd"), one(values, "ask")
		if t := one(values, "to"); t != "" {
			to = t
		}
	}
	if rd == "" {
		rd = one(r.URL.Query(), "rd")
	}
	login, err := h.cfg.Sessions.End(w.Header(), r)
	if u, ok := errors.AsType[*Unavailable](err); ok {
		e := unavailable(u, "You are NOT signed out.")
		e.Title, e.Links = "Error: You are still signed in", []web.Link{{Text: "Try to sign out again", URL: own("logout", "rd", rd, "to", to)}}
		return e
	}
	if err != nil {
		return err
	}
	h.clearForms(w, r)
	// What the app showed must not be shown again by the Back button or the cache.
	w.Header().Set("Clear-Site-Data", `"cache"`)
	n, user := web.NoteOf(r.Context()), ""
	n.Decision = "signed-out"
	if login != nil {
		note(r, login)
		user = login.Identity.User
	}
	back := h.placeOf(rd, to)
	there, still := h.signOutThere(r, login, back)
	switch {
	case there != "":
		return redirect(w, http.StatusSeeOther, there)
	case ask != "" && h.isAppHost(r): // the public host may know somebody too
		return h.askAtHome(w, r, rd, nil)
	case !back.start():
		return redirect(w, http.StatusSeeOther, h.address(back))
	}
	return h.showSignedOut(w, r, user, still, back)
}

// showSignedOut shows the page. Still is where the person may still be signed
// in, or "".
func (h *Handler) showSignedOut(w http.ResponseWriter, r *http.Request, user, still string, back place) error {
	return h.pages["signedout"].Write(w, r, http.StatusOK, web.Page{Title: "Signed out", Data: signedOutView{
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
	plain, err := packed(back)
	if err != nil {
		return "", p.label()
	}
	state, err := h.cfg.Sealer.Seal(logoutPurpose, h.publicHost(), plain, logoutTTL)
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
	plain, err := h.cfg.Sealer.Open(logoutPurpose, h.publicHost(), state)
	if err != nil || json.Unmarshal(plain, &back) != nil || back.Host != "" && (h.cfg.AppHost == nil || !h.cfg.AppHost(back.Host)) {
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
