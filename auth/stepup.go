package auth

import (
	"errors"
	"net/http"
	"slices"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// signInFurther has somebody who is signed in sign in once more, where they did before:
// v.Further is who, and what v demands is not met.
func (h *Handler) signInFurther(w http.ResponseWriter, r *http.Request, v loginView) error {
	if p := h.provider(v.Further.Identity.Provider); p != nil {
		return h.straightOn(w, r, p, v)
	}
	if len(h.cfg.Providers) == 0 && (h.cfg.Password == nil || !h.cfg.Factors.localCanMeet(&v.Demand)) {
		return h.insufficient(r, nil, v.Further, &v.goal)
	}
	v.User = shown(v.Further.Identity.Subject)
	// Whoever asked to be kept signed in has not changed their mind by being asked again.
	v.Remember = v.Further.Session != nil && v.Further.Session.Times().Remembered
	return h.showLogin(w, r, http.StatusOK, v)
}

// passwordMeets reports whether a sign-in by password, made now, would be what d demands.
func passwordMeets(d *Demand) bool {
	return len(d.ACR) == 0 && (len(d.AMR) == 0 || slices.Contains(d.AMR, "pwd"))
}

// insufficient is the page of a sign-in that is good, and is not what was demanded. It
// ends what would go round for ever. P is nil for one by password.
func (h *Handler) insufficient(r *http.Request, p *Provider, login *Login, g *goal) error {
	n := web.NoteOf(r.Context())
	n.Decision, n.Subject = "insufficient", login.Identity.User
	h.notSignedIn(r, login.Identity.Provider, login, event.Insufficient, nil)
	e := &web.Error{
		Status: http.StatusForbidden, Code: "insufficient_user_authentication", Title: "A stronger sign-in is needed",
		Args:  web.Args{"account": accountName(login), "demand": g.Demand.inWords()},
		Links: []web.Link{{Text: "Use another account", URL: own("logout", "rd", g.RD, "to", g.To)}, {Text: "Go to the start page", URL: "/"}},
		Help:  true,
		Err:   errors.New("the address asked for " + g.Demand.quoted().String() + ", and this one is not"),
	}
	if f := h.cfg.Factors; p == nil && f != nil && f.Passkeys != nil && !slices.Contains(login.AMR, "pop") && f.afterPasswordMeets(&g.Demand) {
		e.Detail = "You are signed in as {account}. What you opened asks for {demand}, and this one is not. A sign-in by passkey is: make one on your account page, then open the address again."
		e.Links = slices.Insert(e.Links, 0, web.Link{Text: "Make a passkey", URL: own(passkeysPath)})
		return e
	}
	if p == nil {
		e.Detail = "You are signed in as {account}. What you opened asks for {demand}, and this one is not. Here nobody can sign in like that yet: ask whoever runs this gateway."
		return e
	}
	e.Args["provider"] = p.label()
	if g.Demand.Fresh && login.AuthTime.IsZero() {
		e.Detail = "You are signed in as {account}. What you opened asks for {demand}, and this one is not. {provider} does not tell when you last proved there who you are, so nobody knows how long ago that was. Ask whoever runs this gateway."
		return e
	}
	e.Detail = "You are signed in as {account}. What you opened asks for {demand}, and this one is not. If you can sign in like that at {provider}, try again; if not, ask whoever runs it."
	e.Links = slices.Insert(e.Links, 0, web.Link{Text: "Try again", URL: g.at("login/"+p.Name, "prompt", promptLogin)})
	return e
}
