package auth

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// signOutDevices ends sessions of the person who asks: one of another device, all others, or
// all. The session at hand ends as it does on the sign-out page.
func (h *Handler) signOutDevices(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(w, r)
	if err != nil {
		return err
	}
	login, err := h.asking(w, r)
	if err != nil {
		return h.toSignIn(w, r, accountPath, err)
	}
	if h.cfg.Devices == nil {
		return &web.Error{Status: http.StatusNotFound, Code: "no_devices", Title: "There is no list of devices here",
			Detail: "This gateway keeps sign-ins in the browsers alone, so it cannot end one from another. Nothing was done.",
			Links:  []web.Link{{Text: "Back to your account", URL: own(accountPath)}}}
	}
	name := one(values, "session")
	switch one(values, "which") {
	case "one":
		if login.Session != nil && name == login.Session.ID() {
			return h.finishSignOut(w, r, place{RD: "/"}, nil, own("logout"))
		}
		n, err := h.cfg.Devices.EndOwn(r.Context(), login, name)
		return h.signedOutDevices(w, r, doneOne, n, err)
	case "others":
		n, err := h.cfg.Devices.EndOthers(r.Context(), login, event.ByPerson)
		return h.signedOutDevices(w, r, doneOthers, n, err)
	case "all":
		if n, err := h.cfg.Devices.EndOthers(r.Context(), login, event.ByPerson); err != nil {
			return notSignedOut(n, err)
		}
		return h.finishSignOut(w, r, place{RD: "/"}, nil, own("logout"))
	}
	return &web.Error{Status: http.StatusBadRequest, Code: "bad_form", Detail: "The form cannot be read.",
		Err: errors.New("the form does not say which devices"), Links: []web.Link{{Text: "Back to your account", URL: own(accountPath)}}}
}

func (h *Handler) signedOutDevices(w http.ResponseWriter, r *http.Request, done string, n int, err error) error {
	if err != nil {
		return notSignedOut(n, err)
	}
	web.NoteOf(r.Context()).Decision = "signed-out"
	count := ""
	switch {
	case done == doneOne && n == 0:
		done = "" // it was gone already, or never was one of theirs
	case done == doneOthers:
		count = strconv.Itoa(n)
	}
	return redirect(w, http.StatusSeeOther, own(accountPath, "done", done, "n", count))
}

// notSignedOut is the page of an outage, which says what was done in spite of it.
func notSignedOut(n int, err error) error {
	u, ok := errors.AsType[*Unavailable](err)
	if !ok {
		return err
	}
	e := unavailable(u, "{what} is out of order for the moment. Nothing was done: your devices are still signed in. Try again shortly.")
	e.Title = "Error: Your devices are still signed in"
	if n > 0 {
		e.Detail = "{what} is out of order for the moment. {count} of your devices were signed out, and the rest were not. Try again shortly."
		e.Args["count"] = n
	}
	e.Links = []web.Link{{Text: "Back to your account", URL: own(accountPath)}}
	return e
}
