package auth

import (
	"context"
	"errors"
	"net/http"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

const passkeysPath = "account/passkeys"

// passkeysView is what the page of somebody's passkeys shows.
type passkeysView struct {
	Step     string // of the sign-in that waits for a passkey, or ""
	User     string
	Passkeys []passkeyView
	Full     bool     // there may be no more
	Default  web.Text // what the next one may be called
	Alert    web.Text // why nothing was done, or nothing
	Done     web.Text // what was, or nothing
	LoginURL string   // to begin the sign-in that waits again
}

// passkeyView is one passkey.
type passkeyView struct {
	ID, Name string
	Created  moments
	Used     moments // zero is never
	Synced   bool
}

// passkeyViews are passkeys as pages show them.
func (h *Handler) passkeyViews(all []Passkey) (views []passkeyView) {
	now := h.cfg.Now()
	for i := range all {
		p := &all[i]
		v := passkeyView{ID: p.ID, Name: p.Name, Created: moments{ago(p.Created, now), p.Created}, Synced: p.Synced}
		if !p.Used.IsZero() {
			v.Used = moments{ago(p.Used, now), p.Used}
		}
		views = append(views, v)
	}
	return views
}

// passkeysPage shows them, and makes another one.
func (h *Handler) passkeysPage(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	who, answered, err := h.enrolling(w, r, one(query, "step"), passkeysPath)
	if err != nil || answered {
		return err
	}
	return h.showPasskeys(w, r, http.StatusOK, who, passkeysView{Done: doneOf(one(query, "done"), "")})
}

// showPasskeys shows the page with what v says of Alert and Done.
func (h *Handler) showPasskeys(w http.ResponseWriter, r *http.Request, status int, who *enrollee, v passkeysView) error {
	if h.passkeys(r) == nil {
		return noPasskeysHere()
	}
	keys := who.Enrolled.Passkeys
	v.Step, v.User, v.Passkeys, v.Full = who.step(), who.User, h.passkeyViews(keys), len(keys) >= MaxPasskeys
	v.Default = device(r.UserAgent())
	if who.Half != nil {
		v.LoginURL = who.Half.Goal.at("login")
	}
	title := web.Message("Your passkeys")
	switch {
	case !v.Alert.IsZero():
		title = "Error: Your passkeys"
	case v.Step != "":
		title = "Make a passkey"
	}
	return h.pages["passkeys"].Write(w, r, status, web.Page{Title: title, Data: v, Script: scriptURL,
		Header: http.Header{"Content-Security-Policy": {h.formPolicy() + web.ScriptPolicy + connectPolicy}}})
}

// offerPasskey begins making one.
func (h *Handler) offerPasskey(w http.ResponseWriter, r *http.Request) error {
	keys := h.passkeys(r)
	if keys == nil {
		return noPasskeysHere()
	}
	who, answered, err := h.enrolling(w, r, one(r.URL.Query(), "step"), passkeysPath)
	if err != nil || answered {
		return err
	}
	verify := who.Half != nil && who.Half.Goal.Demand.verifiedAlone()
	options, c, err := keys.Offer(r.Context(), who.User, who.User, verify)
	if errors.Is(err, ErrManyPasskeys) {
		return &web.Error{Status: http.StatusConflict, Code: "many_passkeys", Title: "There are many passkeys already", Detail: tooManyPasskeys, Err: err}
	}
	if err != nil {
		return err
	}
	return h.putQuestion(w, r, options, c)
}

const tooManyPasskeys web.Message = "You have as many passkeys as there may be. Remove one that you do not use any more. Nothing was changed."

// changePasskeys takes the forms of the page: a new passkey, another name for one, or one that is
// to go.
func (h *Handler) changePasskeys(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(w, r)
	if err != nil {
		return err
	}
	who, answered, err := h.enrolling(w, r, one(values, "step"), passkeysPath)
	if err != nil || answered {
		return err
	}
	keys, id := h.passkeys(r), one(values, "id")
	if keys == nil {
		return noPasskeysHere()
	}
	typed := one(values, "name")
	if one(values, "do") == "add" && typed == "" {
		typed = device(r.UserAgent()).String()
	}
	name, ok := passkeyName(typed)
	switch do := one(values, "do"); {
	case do != "remove" && !ok:
		return h.showPasskeys(w, r, http.StatusUnprocessableEntity, who, passkeysView{
			Alert: web.T("A passkey is called something of 1 to {most} characters that can be read. Nothing was changed.", "most", maxPasskeyName)})
	case do == "add":
		p, err := h.addPasskey(w, r, who, name, one(values, "passkey"))
		if err != nil {
			return h.passkeysUnchanged(w, r, who, err)
		}
		return h.enrolled(w, r, who, p, donePasskey)
	case do == "rename" && who.Half == nil:
		if err := keys.Rename(r.Context(), who.User, id, name); err != nil {
			return h.passkeysUnchanged(w, r, who, err)
		}
		return redirect(w, http.StatusSeeOther, own(passkeysPath, "done", donePasskeyRenamed))
	case do == "remove" && who.Half == nil:
		gone, err := keys.Remove(r.Context(), who.User, id, !h.cfg.Factors.Required)
		if err != nil {
			return h.passkeysUnchanged(w, r, who, err)
		}
		h.tellPasskey(r.Context(), event.PasskeyRemoved, who, gone, "somebody removed a passkey")
		return redirect(w, http.StatusSeeOther, own(passkeysPath, "done", donePasskeyRemoved))
	}
	return &web.Error{Status: http.StatusBadRequest, Code: "bad_form", Detail: "The form cannot be read.",
		Err: errors.New("the form does not say what to do with a passkey"), Links: []web.Link{{Text: "Back to your account", URL: own(accountPath)}}}
}

// addPasskey ends the making of one.
func (h *Handler) addPasskey(w http.ResponseWriter, r *http.Request, who *enrollee, name, answer string) (Proof, error) {
	c, err := h.ceremonyOf(w, r, answer, true, who.User)
	if err != nil {
		return Proof{}, err
	}
	p, err := h.cfg.Factors.Passkeys.Add(r.Context(), c, name, []byte(answer))
	if err == nil {
		h.tellPasskey(r.Context(), event.PasskeyAdded, who, name, "somebody made a passkey")
	}
	return p, err
}

// tellPasskey tells what became of a passkey.
func (h *Handler) tellPasskey(ctx context.Context, what event.Name, who *enrollee, name, words string) {
	e := who.event(what)
	e.Part = name
	h.tell(ctx, words, e)
}

// passkeysUnchanged shows the page again, and says why nothing was done.
func (h *Handler) passkeysUnchanged(w http.ResponseWriter, r *http.Request, who *enrollee, err error) error {
	n := web.NoteOf(r.Context())
	n.Err = err
	status, v := http.StatusConflict, passkeysView{}
	_, refused := errors.AsType[*Refused](err)
	switch {
	case refused:
		status, v.Alert = http.StatusForbidden, web.T("The passkey could not be verified. Nothing was changed. Try again.")
	case errors.Is(err, ErrManyPasskeys):
		v.Alert = web.T(tooManyPasskeys)
	case errors.Is(err, ErrNoPasskey):
		status, v.Alert = http.StatusNotFound, web.T("You have no such passkey any more. Nothing was changed.")
	case errors.Is(err, ErrLastFactor):
		v.Alert = web.T("This passkey is all that you can prove who you are with besides the password, and here that is required. Make another one first. Nothing was changed.")
	default:
		return err
	}
	n.Decision = "refused"
	return h.showPasskeys(w, r, status, who, v)
}
