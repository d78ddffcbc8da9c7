package auth

import (
	"errors"
	"net/http"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// signInByPasskey takes the form of the sign-in page with a passkey in it, which stands for the
// user name and the password: its authenticator made sure who holds it.
func (h *Handler) signInByPasskey(w http.ResponseWriter, r *http.Request, v loginView, answer string) error {
	login, err := h.byPasskey(w, r, answer)
	if err == nil {
		err = h.beginSession(w, r, login, v.Remember)
	}
	if err != nil {
		return h.refusePasskey(w, r, v, login, err)
	}
	return h.begun(w, r, login, v.goal)
}

// byPasskey is the login of whoever's passkey it is. With a *Refused it returns one that has no more
// than who it would have been, where that is known.
func (h *Handler) byPasskey(w http.ResponseWriter, r *http.Request, answer string) (*Login, error) {
	c, err := h.ceremonyOf(w, r, answer, false, "")
	if err != nil {
		return nil, err
	}
	subject, p, err := h.cfg.Factors.Passkeys.Assert(r.Context(), c, []byte(answer))
	if err == nil {
		var login *Login
		if login, err = h.cfg.Factors.Users.Proven(r.Context(), subject, "", h.cfg.Now(), p); err == nil {
			return login, nil
		}
	}
	if subject == "" {
		return nil, err
	}
	return &Login{Identity: Identity{Provider: passwordProvider, Subject: subject, User: h.cfg.Factors.Prefix + subject}}, err
}

// refusePasskey shows the sign-in page again, and says why. Its words are the same for a passkey
// that is not good and for somebody who may not sign in.
func (h *Handler) refusePasskey(w http.ResponseWriter, r *http.Request, v loginView, login *Login, err error) error {
	n := web.NoteOf(r.Context())
	n.Err = err
	if !v.Demand.IsZero() {
		if now, err := h.who(w, r); err == nil {
			v.Further = now
		}
	}
	if _, ok := errors.AsType[*Refused](err); ok {
		n.Decision = "refused"
		h.notSignedIn(r, passwordProvider, login, event.BadPasskey, err)
		v.Alert = web.T(passkeyRefused)
		w.Header().Set("Www-Authenticate", `Bearer realm="evergate"`)
		return h.showLogin(w, r, http.StatusUnauthorized, v)
	}
	if u, ok := errors.AsType[*Unavailable](err); ok {
		h.notSignedIn(r, passwordProvider, nil, event.Unavailable, u)
		outOfOrder(w, n, u)
		v.Alert = web.T("You are not signed in: {what} is out of order for the moment. Nothing is wrong with your passkey. Try again shortly.", "what", u.What)
		return h.showLogin(w, r, http.StatusServiceUnavailable, v)
	}
	return err
}

// passkeyRefused is all that somebody is told whose passkey was not taken.
const passkeyRefused web.Message = "The passkey could not be verified. Try again, or use another way."

// assertSecond checks the passkey of somebody halfway.
func (h *Handler) assertSecond(w http.ResponseWriter, r *http.Request, half *halfway, answer string) (Proof, error) {
	c, err := h.ceremonyOf(w, r, answer, false, half.Subject)
	if err != nil {
		return Proof{}, err
	}
	_, p, err := h.cfg.Factors.Passkeys.Assert(r.Context(), c, []byte(answer))
	return p, err
}
