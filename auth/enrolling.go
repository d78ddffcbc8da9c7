package auth

import (
	"net/http"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// enrolFresh is how long ago somebody may have signed in who changes what they prove who they are
// with: whoever finds a browser open makes no key to it.
const enrolFresh = 10 * time.Minute

// enrollee is who sets up or takes away what they prove who they are with.
type enrollee struct {
	// User is the subject.
	User string
	// Half is the sign-in under way that cannot be completed without, or nil for somebody who is
	// signed in and does it on their account page.
	Half *halfway
	// Login is the latter's.
	Login *Login
	// Enrolled is what they have.
	Enrolled Enrolled
}

// step is the id of the sign-in under way, for the forms of pages; "" is none.
func (e *enrollee) step() string {
	if e.Half == nil {
		return ""
	}
	return e.Half.ID
}

// event is one that is about them.
func (e *enrollee) event(name event.Name) event.Event {
	about := event.Event{Name: name, Provider: passwordProvider, Subject: e.User}
	if e.Half != nil {
		about.User = e.Half.User
		return about
	}
	about.User = e.Login.Identity.User
	if e.Login.Session != nil {
		about.Session = e.Login.Session.ID()
	}
	return about
}

// enrolling says who may set something up. With a step it is somebody halfway who has nothing yet:
// whoever has something proves it first. Without one it is somebody who signed in lately, by what
// they have: who came by a password alone, before there was more, is not to put something of their
// own in its place. Page is where they come back to after signing in once more. Where answered is true
// the answer is given.
func (h *Handler) enrolling(w http.ResponseWriter, r *http.Request, step, page string) (who *enrollee, answered bool, err error) {
	if step != "" {
		half, err := h.halfwayOf(r, step)
		if err != nil {
			return nil, false, err
		}
		if _, err := h.proven(w, r, half, Proof{}); err != nil { // what is set up outlives the password of then
			return nil, false, err
		}
		e, err := h.cfg.Factors.Credentials.Enrolled(r.Context(), half.Subject)
		if err != nil {
			return nil, false, err
		}
		if e.Any() { // in another tab
			return nil, true, redirect(w, http.StatusSeeOther, own(halfwayPath, "step", step))
		}
		web.NoteOf(r.Context()).Decision = "second-factor"
		return &enrollee{User: half.Subject, Half: half}, false, nil
	}
	authenticate := h.who
	if r.Method == http.MethodPost { // the answer may begin another session
		authenticate = h.asking
	}
	login, err := authenticate(w, r)
	if err != nil {
		return nil, true, h.toSignIn(w, r, page, err)
	}
	if login.Identity.Provider != passwordProvider {
		return nil, false, h.notEnrolledHere(login)
	}
	e, err := h.cfg.Factors.Credentials.Enrolled(r.Context(), login.Identity.Subject)
	if err != nil {
		return nil, false, err
	}
	if answered, err := h.provingAnew(w, r, login, e, page); answered || err != nil {
		return nil, answered, err
	}
	web.NoteOf(r.Context()).Decision = "account"
	return &enrollee{User: login.Identity.Subject, Login: login, Enrolled: e}, false, nil
}

// provingAnew sends the person of login to sign in once more for a page, unless they did of late, and
// by what they have besides a password. Where answered is true the answer is given.
func (h *Handler) provingAnew(w http.ResponseWriter, r *http.Request, login *Login, e Enrolled, page string) (answered bool, err error) {
	demand := Demand{Fresh: true, MaxAge: enrolFresh}
	if e.Any() {
		demand.ACR = []string{ACRMulti}
	}
	if demand.MetBy(login, h.cfg.Now()) {
		return false, nil
	}
	web.NoteOf(r.Context()).Decision = "login"
	return true, redirect(w, http.StatusSeeOther, own("login", append([]string{"rd", own(page)}, demand.params()...)...))
}

// notEnrolledHere is the page of those who sign in elsewhere.
func (h *Handler) notEnrolledHere(login *Login) error {
	e := &web.Error{Status: http.StatusNotFound, Code: "no_second_factor_here", Title: "There is nothing to set up here",
		Detail: "How you prove who you are is settled where you sign in.",
		Links:  []web.Link{{Text: "Back to your account", URL: own(accountPath)}}}
	if p := h.provider(login.Identity.Provider); p != nil {
		e.Detail, e.Args = "You sign in at {provider}. How you prove there who you are is settled there.", web.Args{"provider": p.label()}
	}
	return e
}

// enrolled goes on after something was set up that who has just shown to work, as p says: to where
// they were signing in to, or back to the account page, which says what was done. Whoever has no
// recovery codes is shown some on the way.
func (h *Handler) enrolled(w http.ResponseWriter, r *http.Request, who *enrollee, p Proof, done string) error {
	codes, next := h.firstCodes(r, who), own(accountPath, "done", done)
	switch {
	case who.Half != nil && codes == nil:
		return h.complete(w, r, who.Half, p)
	case who.Half != nil:
		if _, err := h.finish(w, r, who.Half, p); err != nil {
			return err
		}
		next = who.Half.Goal.at("landed")
	default:
		h.strengthen(w, r, who.Login, p)
	}
	if codes == nil {
		return redirect(w, http.StatusSeeOther, next)
	}
	return h.showCodes(w, r, codes, next)
}

// strengthen puts a session in the place of that of login which says what was proven besides, or
// its person would be asked for it at the next page that wants it. Where that does not work they are.
func (h *Handler) strengthen(w http.ResponseWriter, r *http.Request, login *Login, p Proof) {
	fresh, err := h.cfg.Factors.Users.Proven(r.Context(), login.Identity.Subject, login.Stamp, login.AuthTime, p.with(login.AMR))
	if err == nil {
		err = h.cfg.Sessions.Begin(w.Header(), r, fresh, login.Session != nil && login.Session.Times().Remembered)
	}
	if err != nil {
		h.cfg.Log.WarnContext(r.Context(), "a second factor was set up, and the session at hand does not say so", "subject", login.Identity.User, "err", err)
	}
}
