package auth

import (
	"errors"
	"net/http"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// secondView is what the page shows where somebody halfway proves more than the password.
type secondView struct {
	Step, User string
	Host       string
	Code       bool     // a code of an app, or a recovery code, is taken
	Recovery   int      // how many of the latter are left
	Passkey    bool     // a passkey is taken
	Enrol      bool     // there is nothing yet: something is to be set up
	MayApp     bool     // by an app that makes codes
	MayPasskey bool     // by a passkey
	Alert      web.Text // why the last attempt failed, or nothing
	Invalid    bool     // because of the code
	LoginURL   string   // to begin again
}

// secondPage asks for a second factor, or to set one up.
func (h *Handler) secondPage(w http.ResponseWriter, r *http.Request) error {
	half, err := h.halfwayOf(r, one(r.URL.Query(), "step"))
	if err != nil {
		return err
	}
	e, err := h.cfg.Factors.Credentials.Enrolled(r.Context(), half.Subject)
	if err != nil {
		return err
	}
	web.NoteOf(r.Context()).Decision = "second-factor"
	return h.showSecond(w, r, http.StatusOK, h.secondView(r, half, &e))
}

func (h *Handler) secondView(r *http.Request, half *halfway, e *Enrolled) secondView {
	f := h.cfg.Factors
	return secondView{
		Step: half.ID, User: half.Subject, Host: r.Host, LoginURL: half.Goal.at("login"),
		Code: f.Codes != nil && (!e.Authenticator.IsZero() || e.Codes > 0), Recovery: e.Codes,
		Passkey: h.passkeys(r) != nil && len(e.Passkeys) > 0,
		Enrol:   !e.Any(), MayApp: f.Codes != nil && f.appMeets(&half.Goal.Demand), MayPasskey: h.passkeys(r) != nil && f.afterPasswordMeets(&half.Goal.Demand),
	}
}

// proveSecond takes the form: a code, or what an authenticator signed.
func (h *Handler) proveSecond(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(w, r)
	if err != nil {
		return err
	}
	half, err := h.halfwayOf(r, one(values, "step"))
	if err != nil {
		return err
	}
	ctx, f := r.Context(), h.cfg.Factors
	web.NoteOf(ctx).Decision = "second-factor"
	var p Proof
	answer, code := one(values, "passkey"), one(values, "code")
	switch {
	case answer != "" && h.passkeys(r) != nil:
		p, err = h.assertSecond(w, r, half, answer)
	case f.Codes != nil:
		var checked Checked
		if checked, err = f.Codes.Check(ctx, half.Subject, code); checked.Recovery {
			h.tellRecovery(r, half, checked.Left)
		}
		p = checked.Proof
	default:
		err = &Refused{Reason: "nothing was proven"}
	}
	if err != nil {
		return h.notSecond(w, r, half, answer != "", err)
	}
	return h.complete(w, r, half, p)
}

// notSecond shows the page again, and says why.
func (h *Handler) notSecond(w http.ResponseWriter, r *http.Request, half *halfway, passkey bool, err error) error {
	n := web.NoteOf(r.Context())
	n.Err = err
	if _, ok := errors.AsType[*Unavailable](err); ok {
		return err
	}
	e, away := h.cfg.Factors.Credentials.Enrolled(r.Context(), half.Subject)
	if away != nil {
		return away
	}
	v := h.secondView(r, half, &e)
	if t, ok := errors.AsType[*Throttled](err); ok {
		h.notSignedIn(r, passwordProvider, half.login(), event.TooMany, err)
		if t.ForGood {
			n.Decision = "throttled"
			v.Alert = web.T("Too many wrong codes came in a row, so that those of the app are not looked at any more. Use one of your recovery codes, or ask whoever runs this gateway.")
			return h.showSecond(w, r, http.StatusForbidden, v)
		}
		v.Alert = throttled(w, n, t)
		return h.showSecond(w, r, http.StatusTooManyRequests, v)
	}
	if _, ok := errors.AsType[*Refused](err); ok {
		n.Decision = "refused"
		h.notSignedIn(r, passwordProvider, half.login(), event.BadSecondFactor, err)
		v.Alert, v.Invalid = web.T("The code is wrong, or it was used already. Wait for the next one and try again."), true
		if passkey {
			v.Alert, v.Invalid = web.T(passkeyRefused), false
		}
		w.Header().Set("Www-Authenticate", `Bearer realm="evergate"`)
		return h.showSecond(w, r, http.StatusUnauthorized, v)
	}
	return err
}

func (h *Handler) showSecond(w http.ResponseWriter, r *http.Request, status int, v secondView) error {
	title := web.Message("Prove that it is you")
	if v.Enrol {
		title = "Set up a second way to prove that it is you"
	}
	if !v.Alert.IsZero() {
		title = "Error: Prove that it is you"
	}
	return h.pages["second"].Write(w, r, status, web.Page{Title: title, Data: v, Script: scriptURL,
		Header: http.Header{"Content-Security-Policy": {h.formPolicy() + web.ScriptPolicy + connectPolicy}}})
}
