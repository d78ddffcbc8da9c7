package auth

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

const invitePath = "invite"

// inviteView is what the page shows where somebody sets their password by a one-time code.
type inviteView struct {
	User   string   // whose code it is, once there is one that is good
	Code   string   // that one, for the form
	Alert  web.Text // why the last attempt changed nothing, or nothing
	BadNew bool     // because of the new password
	Min    int
}

// invitePage asks for the code. It is after the "#" of the link, which never reaches the gateway
// nor a log of any: the page's script puts it into the form.
func (h *Handler) invitePage(w http.ResponseWriter, r *http.Request) error {
	web.NoteOf(r.Context()).Decision = "invite"
	return h.showInvite(w, r, http.StatusOK, inviteView{})
}

// acceptInvite takes the form: the code alone, or with a new password.
func (h *Handler) acceptInvite(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(w, r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	code := one(values, "code")
	user, err := h.cfg.Invites.Invited(ctx, code)
	if err != nil {
		return h.notInvited(w, r, inviteView{}, err)
	}
	web.NoteOf(ctx).Decision = "invite"
	v := inviteView{User: user, Code: code}
	next, filled := one(values, "new"), len(values["new"]) > 0
	switch {
	case !filled:
		return h.showInvite(w, r, http.StatusOK, v)
	case next != one(values, "again"):
		v.Alert, v.BadNew = web.T("The two new passwords differ. Nothing was changed."), true
		return h.showInvite(w, r, http.StatusUnprocessableEntity, v)
	}
	login, err := h.cfg.Invites.Accept(ctx, code, next)
	if err != nil {
		return h.notInvited(w, r, v, err)
	}
	event.Tell(ctx, h.cfg.Log, h.cfg.Heard, slog.LevelInfo, "a password was set by a one-time code", event.Event{Name: event.PasswordReset,
		User: login.Identity.User, Provider: login.Identity.Provider, Subject: login.Identity.Subject})
	web.NoteOf(ctx).Decision = "password-reset"
	if h.cfg.Devices != nil {
		// As where a password is changed: gateways that do not know of the new one yet.
		if _, err := h.cfg.Devices.EndEvery(ctx, login, event.NewPassword); err != nil {
			h.cfg.Log.WarnContext(ctx, "the password was set; sessions from before it end when they are next used, and could not be ended now",
				"subject", login.Identity.User, "err", err)
		}
	}
	answered, err := h.provenByPassword(w, r, login, goal{RD: own(accountPath)}, false)
	if answered {
		return err
	}
	return h.changedAndOut(err)
}

// notInvited shows the form again, and says why. Nothing tells a code that was never made from one
// that is over or was used.
func (h *Handler) notInvited(w http.ResponseWriter, r *http.Request, v inviteView, err error) error {
	n := web.NoteOf(r.Context())
	n.Err, n.Decision = err, "refused"
	if bad, ok := errors.AsType[*BadPassword](err); ok {
		v.Alert, v.BadNew = h.badPassword(bad), true
		return h.showInvite(w, r, http.StatusUnprocessableEntity, v)
	}
	if _, ok := errors.AsType[*Refused](err); ok {
		h.notSignedIn(r, passwordProvider, nil, event.BadInvite, err)
		return h.showInvite(w, r, http.StatusForbidden, inviteView{
			Alert: web.T("This code is not good: it was mistyped, used already, or made more than a day ago. Ask whoever runs this gateway for another.")})
	}
	if errors.Is(err, ErrChanged) {
		v.Alert = web.T("Somebody else changed your password in this very moment. Yours was not taken.")
		return h.showInvite(w, r, http.StatusConflict, v)
	}
	if u, ok := errors.AsType[*Unavailable](err); ok {
		outOfOrder(w, n, u)
		v.Alert = web.T("Your password is not set: {what} is out of order for the moment. Your code is still good. Try again shortly; if it stays so, tell whoever runs this gateway.", "what", u.What)
		return h.showInvite(w, r, http.StatusServiceUnavailable, v)
	}
	return err
}

func (h *Handler) showInvite(w http.ResponseWriter, r *http.Request, status int, v inviteView) error {
	v.Min = h.minPassword()
	title := web.Message("Set your password")
	if !v.Alert.IsZero() {
		title = "Error: Your password is not set"
	}
	return h.pages["invite"].Write(w, r, status, web.Page{Title: title, Data: v, Script: scriptURL})
}
