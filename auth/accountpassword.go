package auth

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

const passwordPath = "account/password"

// passwordView is what the page shows where a password is changed.
type passwordView struct {
	User       string   // for the browser's own list of passwords
	Alert      web.Text // why the last attempt changed nothing, or nothing
	BadCurrent bool     // because of the current one
	BadNew     bool     // because of the new one
	Min        int
}

// passwordPage asks for the current and a new password.
func (h *Handler) passwordPage(w http.ResponseWriter, r *http.Request) error {
	login, err := h.who(w, r)
	if err != nil {
		return h.toSignIn(w, r, passwordPath, err)
	}
	if !h.canChange(login) {
		return h.noPasswordHere(login)
	}
	if _, answered, err := h.changing(w, r, login); answered || err != nil {
		return err
	}
	web.NoteOf(r.Context()).Decision = "account"
	return h.showPassword(w, r, http.StatusOK, passwordView{User: login.Identity.Subject})
}

// changing says by which login a password is changed. Somebody who has a second factor has signed in
// by it of late: or an old session and the password would make a new session, as strong as the old
// one was, and keep the owner out. Whose session is stronger without one has that no more, since
// nothing shows any longer by what it was. Where answered is true the answer is given.
func (h *Handler) changing(w http.ResponseWriter, r *http.Request, login *Login) (by *Login, answered bool, err error) {
	if h.cfg.Factors != nil {
		e, err := h.cfg.Factors.Credentials.Enrolled(r.Context(), login.Identity.Subject)
		if err != nil {
			return nil, false, err
		}
		if e.Any() {
			answered, err := h.provingAnew(w, r, login, e, passwordPath)
			return login, answered, err
		}
	}
	alone := *login
	alone.AMR, alone.ACR = nil, ""
	return &alone, false, nil
}

func (h *Handler) canChange(login *Login) bool {
	return h.cfg.Passwords != nil && h.cfg.Passwords.CanChange(login)
}

// noPasswordHere is the page for those whose password is not changed here.
func (h *Handler) noPasswordHere(login *Login) error {
	e := &web.Error{Status: http.StatusNotFound, Code: "no_password_here", Title: "Your password cannot be changed here",
		Detail: "This gateway cannot write down a new one. Ask whoever runs it to set it for you.",
		Links:  []web.Link{{Text: "Back to your account", URL: own(accountPath)}}}
	if p := h.provider(login.Identity.Provider); p != nil {
		e.Detail, e.Args = "You sign in at {provider}. If you have a password, it is changed there.", web.Args{"provider": p.label()}
	}
	return e
}

// changePassword takes the form. The other devices of the person are signed out with it:
// whoever had the old password may be signed in on one. This one goes on, with a new session.
func (h *Handler) changePassword(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(w, r)
	if err != nil {
		return err
	}
	login, err := h.asking(w, r)
	if err != nil {
		return h.toSignIn(w, r, passwordPath, err)
	}
	if !h.canChange(login) {
		return h.noPasswordHere(login)
	}
	by, answered, err := h.changing(w, r, login)
	if answered || err != nil {
		return err
	}
	v := passwordView{User: login.Identity.Subject}
	next := one(values, "new")
	if next != one(values, "again") {
		v.Alert, v.BadNew = web.T("The two new passwords differ. Nothing was changed."), true
		return h.showPassword(w, r, http.StatusUnprocessableEntity, v)
	}
	ctx := r.Context()
	from := h.asker(r)
	fresh, err := h.cfg.Passwords.Change(ctx, from, by, one(values, "current"), next)
	if err != nil {
		return h.notChanged(w, r, v, err)
	}
	h.know(w, r, from.Browser, fresh)
	session := ""
	if login.Session != nil {
		session = login.Session.ID()
	}
	event.Tell(ctx, h.cfg.Log, h.cfg.Heard, slog.LevelInfo, "a password was changed on the account page", event.Event{Name: event.PasswordChanged,
		Session: session, User: login.Identity.User, Provider: login.Identity.Provider, Subject: login.Identity.Subject})
	web.NoteOf(ctx).Decision = "password-changed"
	if h.cfg.Devices != nil {
		// Those that this gateway serves end by themselves, for they were signed in by
		// another password. This ends them on gateways that do not know of the new one yet.
		if _, err := h.cfg.Devices.EndOthers(ctx, login, event.NewPassword); err != nil {
			h.cfg.Log.WarnContext(ctx, "the password was changed; sessions from before it end when they are next used, and could not be ended now",
				"subject", login.Identity.User, "err", err)
		}
	}
	if err := h.cfg.Sessions.Begin(w.Header(), r, fresh, login.Session != nil && login.Session.Times().Remembered); err != nil {
		return h.changedAndOut(err)
	}
	return redirect(w, http.StatusSeeOther, own(accountPath, "done", donePassword))
}

// changedAndOut is the page of a password that is changed, after which no session could be
// begun: it must not look as if nothing had happened. An error that is no outage is returned.
func (h *Handler) changedAndOut(err error) error {
	u, ok := errors.AsType[*Unavailable](err)
	if !ok {
		return err
	}
	e := unavailable(u, "{what} is out of order for the moment, so that you have to sign in again, by the new password. The old one is not good any more.")
	e.Title, e.Links = "Your password is changed", []web.Link{{Text: "Sign in again", URL: own("login", "rd", own(accountPath))}}
	return e
}

// badPasswords say what is wrong with a new password.
var badPasswords = map[string]web.Message{
	PasswordShort:   "The new password is too short: it needs {min} characters. A few words in a row are long and easy to remember. Nothing was changed.",
	PasswordLong:    "The new password is too long. Nothing was changed.",
	PasswordNoText:  "The new password cannot be read as text. Nothing was changed.",
	PasswordName:    "The new password is your user name, which is the first that anybody would try. Nothing was changed.",
	PasswordSame:    "The new password is the one you have. Nothing was changed.",
	PasswordCommon:  "The new password is one of the most common ones, which anybody would try first. Choose another, such as a few words in a row that have nothing to do with each other. Nothing was changed.",
	PasswordGuessed: "The new password is too easy to guess: it is short, or made of what anybody would try first, such as names, dates, rows of keys or repetitions. Add a few words that have nothing to do with each other. Nothing was changed.",
}

// badPassword says it in words.
func (h *Handler) badPassword(bad *BadPassword) web.Text {
	return web.Text{Message: badPasswords[bad.Why], Args: web.Args{"min": h.minPassword()}}
}

// minPassword is the least length of a new password.
func (h *Handler) minPassword() int {
	if h.cfg.Passwords == nil {
		return MinPassword
	}
	return h.cfg.Passwords.MinPassword()
}

// notChanged shows the form again, and says why.
func (h *Handler) notChanged(w http.ResponseWriter, r *http.Request, v passwordView, err error) error {
	n := web.NoteOf(r.Context())
	n.Err, n.Decision = err, "refused"
	if bad, ok := errors.AsType[*BadPassword](err); ok {
		v.Alert, v.BadNew = h.badPassword(bad), true
		return h.showPassword(w, r, http.StatusUnprocessableEntity, v)
	}
	if t, ok := errors.AsType[*Throttled](err); ok {
		v.Alert = throttled(w, n, t)
		return h.showPassword(w, r, http.StatusTooManyRequests, v)
	}
	if _, ok := errors.AsType[*Refused](err); ok {
		v.Alert, v.BadCurrent = web.T("The current password is wrong. Nothing was changed."), true
		return h.showPassword(w, r, http.StatusForbidden, v)
	}
	if errors.Is(err, ErrChanged) {
		v.Alert = web.T("Somebody else changed your password in this very moment. Yours was not taken.")
		return h.showPassword(w, r, http.StatusConflict, v)
	}
	if u, ok := errors.AsType[*Unavailable](err); ok {
		outOfOrder(w, n, u)
		v.Alert = web.T("Your password is not changed: {what} is out of order for the moment. Try again shortly; if it stays so, tell whoever runs this gateway.", "what", u.What)
		return h.showPassword(w, r, http.StatusServiceUnavailable, v)
	}
	return err
}

func (h *Handler) showPassword(w http.ResponseWriter, r *http.Request, status int, v passwordView) error {
	v.Min = h.minPassword()
	title := web.Message("Change your password")
	if !v.Alert.IsZero() {
		title = "Error: Your password is not changed"
	}
	return h.pages["accountpassword"].Write(w, r, status, web.Page{Title: title, Data: v, Script: scriptURL})
}
