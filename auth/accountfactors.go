package auth

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// What has been done, for the account page to say it: see doneOf.
const (
	doneApp        = "app"
	doneAppRemoved = "app-removed"
	doneCodes      = "codes"
)

const (
	codesPath = "account/codes"
	// fewCodes are so few recovery codes that the page says so.
	fewCodes = 3
)

// factorsView is what the account page says of second factors.
type factorsView struct {
	Note     web.Message // why there is nothing to be seen, or ""
	Required bool
	MayApp   bool
	App      moments // when it was set up; the zero At is never
	Any      bool    // there is some factor, which recovery codes stand in for
	Codes    int
	Few      bool
}

// HasApp reports whether an app is set up.
func (v factorsView) HasApp() bool { return !v.App.At.IsZero() }

// listEnrolled says what somebody has set up besides their password, or why that cannot be seen. An
// outage of the store does not take the rest of the page away.
func (h *Handler) listEnrolled(r *http.Request, login *Login, v *accountView) {
	f := h.cfg.Factors
	if f == nil || login.Identity.Provider != passwordProvider {
		return
	}
	v.Factors, v.MayPasskeys = &factorsView{Required: f.Required, MayApp: f.Codes != nil}, h.passkeys(r) != nil
	e, err := f.Credentials.Enrolled(r.Context(), login.Identity.Subject)
	if err != nil {
		web.NoteOf(r.Context()).Err = err
		v.Factors.Note = "What you have set up cannot be shown right now. Nothing has changed; try again shortly."
		if v.MayPasskeys {
			v.PasskeysNote = "Your passkeys cannot be shown right now. Nothing has changed; try again shortly."
		}
		return
	}
	if !e.Authenticator.IsZero() {
		v.Factors.App = moments{ago(e.Authenticator, h.cfg.Now()), e.Authenticator}
	}
	v.Factors.Any, v.Factors.Codes, v.Factors.Few = e.Any(), e.Codes, e.Codes <= fewCodes
	if v.MayPasskeys {
		v.Passkeys = h.passkeyViews(e.Passkeys)
	}
}

// codesView is what the page of recovery codes shows.
type codesView struct {
	Codes []string // that were just made, or nothing: how many are left is said then
	Left  int
	Next  string // where to go with them
}

// codesPage says how many recovery codes are left, and offers new ones.
func (h *Handler) codesPage(w http.ResponseWriter, r *http.Request) error {
	who, answered, err := h.enrolling(w, r, "", codesPath)
	if answered || err != nil {
		return err
	}
	if !who.Enrolled.Any() {
		return noFactor()
	}
	return h.pages["accountcodes"].Write(w, r, http.StatusOK, web.Page{Title: "Recovery codes", Data: codesView{Left: who.Enrolled.Codes}})
}

// noFactor is the page of those whom recovery codes would be of no use to.
func noFactor() error {
	return &web.Error{Status: http.StatusConflict, Code: "no_second_factor", Title: "There is nothing to recover",
		Detail: "Recovery codes stand in for an app or a passkey, and you have neither. Set up one of them first.",
		Links:  []web.Link{{Text: "Back to your account", URL: own(accountPath)}}}
}

// makeCodes makes recovery codes, and shows them once: in this answer.
func (h *Handler) makeCodes(w http.ResponseWriter, r *http.Request) error {
	who, answered, err := h.enrolling(w, r, "", codesPath)
	if answered || err != nil {
		return err
	}
	codes, err := h.cfg.Factors.Codes.Renew(r.Context(), who.User, false)
	switch {
	case err != nil:
		return err
	case codes == nil:
		return noFactor()
	}
	h.tellFactor(r, who, event.RecoveryCodesMade, "")
	return h.showCodes(w, r, codes, own(accountPath, "done", doneCodes))
}

// firstCodes makes recovery codes for somebody who has none. Without them they go on all the same:
// their account page says that there are none.
func (h *Handler) firstCodes(r *http.Request, who *enrollee) []string {
	if h.cfg.Factors.Codes == nil {
		return nil
	}
	codes, err := h.cfg.Factors.Codes.Renew(r.Context(), who.User, true)
	if err != nil {
		h.cfg.Log.WarnContext(r.Context(), "a second factor was set up, and no recovery codes could be made for it", "subject", who.User, "err", err)
		return nil
	}
	if codes != nil {
		h.tellFactor(r, who, event.RecoveryCodesMade, "")
	}
	return codes
}

func (h *Handler) showCodes(w http.ResponseWriter, r *http.Request, codes []string, next string) error {
	return h.pages["accountcodes"].Write(w, r, http.StatusOK, web.Page{Title: "Keep your recovery codes", Script: scriptURL, Data: codesView{Codes: codes, Next: next}})
}

// tellFactor tells what somebody has just done to what they prove who they are with.
func (h *Handler) tellFactor(r *http.Request, who *enrollee, name event.Name, reason string) {
	e := who.event(name)
	e.Reason = reason
	h.tell(r.Context(), "what somebody proves who they are with was changed", e)
}

// tellRecovery tells that somebody halfway used a recovery code, of which left are left.
func (h *Handler) tellRecovery(r *http.Request, half *halfway, left int) {
	h.tell(r.Context(), "somebody proved who they are by a recovery code",
		event.Event{Name: event.RecoveryCodeUsed, Provider: passwordProvider, Subject: half.Subject, User: half.User, Count: left})
}

func (h *Handler) tell(ctx context.Context, msg string, e event.Event) {
	event.Tell(ctx, h.cfg.Log, h.cfg.Heard, slog.LevelInfo, msg, e)
}
