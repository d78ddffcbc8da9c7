package auth

import (
	"errors"
	"net/http"

	"github.com/evergate/evergate/internal/web"
)

// logoutPage asks. An image on another site can send a browser here, so it
// changes nothing.
func (h *Handler) logoutPage(w http.ResponseWriter, r *http.Request) error {
	rd := ReturnTo(one(r.URL.Query(), "rd"))
	login, err := h.who(w, r)
	if isAnonymous(err) {
		return h.showSignedOut(w, r, "", rd)
	}
	if err != nil {
		return err
	}
	id := &login.Identity
	return h.pages["logout"].Write(w, r, http.StatusOK, web.Page{Title: "Sign out?", Data: logoutView{
		User: id.User, Name: id.Name, Host: r.Host, RD: rd,
	}})
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
	login, err := h.cfg.Sessions.End(w.Header(), r)
	if u, ok := errors.AsType[*Unavailable](err); ok {
		e := unavailable(u, "You are NOT signed out.")
		e.Title, e.Links = "Error: You are still signed in", []web.Link{{Text: "Try to sign out again", URL: own("logout", "rd", rd)}}
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
	if rd = ReturnTo(rd); rd != "/" {
		return redirect(w, http.StatusSeeOther, rd)
	}
	return h.showSignedOut(w, r, user, rd)
}

func (h *Handler) showSignedOut(w http.ResponseWriter, r *http.Request, user, rd string) error {
	return h.pages["signedout"].Write(w, r, http.StatusOK, web.Page{Title: "Signed out", Data: signedOutView{
		User: user, Host: r.Host, LoginURL: own("login", "rd", rd),
	}})
}
