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
	rd := ReturnTo(one(query, "rd"))
	login, err := h.who(w, r)
	if isAnonymous(err) {
		if back, ok := h.backFromProvider(one(query, "state")); ok && back != "/" {
			return redirect(w, http.StatusSeeOther, back)
		}
		still := ""
		if p := h.provider(one(query, "at")); p != nil {
			still = p.label()
		}
		return h.showSignedOut(w, r, "", still, rd)
	}
	if err != nil {
		return err
	}
	id := &login.Identity
	return h.pages["logout"].Write(w, r, http.StatusOK, web.Page{Title: "Sign out?", Data: logoutView{
		User: id.User, Name: id.Name, Host: r.Host, RD: rd, Provider: h.signsOutAt(login),
	}, Header: http.Header{"Content-Security-Policy": {h.logoutPolicy()}}})
}

// signOut does it, and goes to rd if one was given.
func (h *Handler) signOut(w http.ResponseWriter, r *http.Request) error {
	rd := ""
	if r.ContentLength != 0 {
		values, err := readForm(w, r)
		if err != nil {
			return err
		}
		rd = one(values, "rd")
	}
	if rd == "" {
		rd = one(r.URL.Query(), "rd")
	}
	login, err := h.endSession(w, r, rd)
	if err != nil {
		return err
	}
	user := ""
	if login != nil {
		user = login.Identity.User
	}
	rd = ReturnTo(rd)
	there, still := h.signOutThere(r, login, rd)
	switch {
	case there != "":
		return redirect(w, http.StatusSeeOther, there)
	case rd != "/":
		return redirect(w, http.StatusSeeOther, rd)
	}
	return h.showSignedOut(w, r, user, still, rd)
}

// endSession ends the session that r brings, and has the answer say to the browser what
// follows from that. Login is nil if there was none.
func (h *Handler) endSession(w http.ResponseWriter, r *http.Request, rd string) (*Login, error) {
	login, err := h.cfg.Sessions.End(w.Header(), r)
	if u, ok := errors.AsType[*Unavailable](err); ok {
		e := unavailable(u, "You are NOT signed out.")
		e.Title, e.Links = "Error: You are still signed in", []web.Link{{Text: "Try to sign out again", URL: own("logout", "rd", rd)}}
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
	login, err := h.endSession(headerWriter{header}, r, "")
	if err != nil {
		return "", err
	}
	there, still := h.signOutThere(r, login, "/")
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
func (h *Handler) showSignedOut(w http.ResponseWriter, r *http.Request, user, still, rd string) error {
	// The script tells the other tabs.
	return h.pages["signedout"].Write(w, r, http.StatusOK, web.Page{Title: "Signed out", Script: own("session.js"), Data: signedOutView{
		User: user, Host: r.Host, Still: still, LoginURL: own("login", "rd", rd),
	}})
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
func (h *Handler) signOutThere(r *http.Request, login *Login, rd string) (to, still string) {
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
	state, err := h.cfg.Sealer.Seal(logoutPurpose, h.publicHost(), []byte(shorter(rd, maxStateRD)), logoutTTL)
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
func (h *Handler) backFromProvider(state string) (rd string, ok bool) {
	if state == "" {
		return "", false
	}
	plain, err := h.cfg.Sealer.Open(logoutPurpose, h.publicHost(), state)
	if err != nil {
		return "", false
	}
	return ReturnTo(string(plain)), true
}

// logoutPolicy is web.ContentPolicy for a form that may end at a provider:
// browsers check each address that a form leads on to, and a provider may send
// them on to others of its own.
func (h *Handler) logoutPolicy() string {
	if len(h.cfg.Providers) == 0 {
		return web.ContentPolicy
	}
	allowed := "form-action 'self' https:"
	if h.cfg.PublicURL.Scheme == "http" { // on a loopback name alone
		allowed += " http:"
	}
	return strings.Replace(web.ContentPolicy, "form-action 'self'", allowed, 1)
}
