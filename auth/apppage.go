package auth

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/qr"
	"github.com/evergate/evergate/internal/web"
)

const (
	appPath       = "account/app"
	appRemovePath = "account/app/remove"

	appKind    = "-app"
	appPurpose = "app"
	// appSecret is how long the secret of an app is, in bytes: as long as what is made of it (RFC
	// 4226 section 4, R6).
	appSecret = 20
)

// appView is what the page shows where an app is set up that makes codes.
type appView struct {
	Step, User string
	Secret     string       // in groups, to be typed
	Link       template.URL // for an app on this very device
	QR         qr.Code      // of the same, for an app on another one
	Since      moments      // when the one of before was set up; zero is none
	Kept       bool         // it cannot be removed: something there has to be
	Alert      web.Text     // why the last code was not taken, or nothing
}

// Had reports whether there is an app already.
func (v appView) Had() bool { return !v.Since.At.IsZero() }

// underWay is the secret of an app that has not shown a code yet. The browser holds it, sealed: a
// person who goes to the app and comes back finds the same.
type underWay struct {
	User   string `json:"u"`
	Secret []byte `json:"s"`
}

// appPage shows a secret for an app, and asks for the code that it makes of it.
func (h *Handler) appPage(w http.ResponseWriter, r *http.Request) error {
	who, answered, err := h.enrolling(w, r, one(r.URL.Query(), "step"), appPath)
	if answered || err != nil {
		return err
	}
	secret, ok := h.secretUnderWay(r, who)
	if !ok {
		secret = make([]byte, appSecret)
		_, _ = rand.Read(secret) // never fails (crypto/rand)
		if err := h.keepUnderWay(w, r, who, secret); err != nil {
			return err
		}
	}
	return h.showApp(w, r, http.StatusOK, who, secret, web.Text{})
}

// setUpApp takes the form: the code of an app that is to be taken from now on.
func (h *Handler) setUpApp(w http.ResponseWriter, r *http.Request) error {
	values, err := readForm(w, r)
	if err != nil {
		return err
	}
	step := one(values, "step")
	who, answered, err := h.enrolling(w, r, step, appPath)
	if answered || err != nil {
		return err
	}
	secret, ok := h.secretUnderWay(r, who)
	if !ok {
		return &web.Error{Status: http.StatusBadRequest, Code: "app_over", Title: "That took too long",
			Detail: "The key for your app was good for ten minutes, in one browser. Nothing was changed. Remove it from the app, and begin again.",
			Links:  []web.Link{{Text: "Begin again", URL: own(appPath, "step", step)}}}
	}
	p, err := h.cfg.Factors.Codes.SetUp(r.Context(), who.User, secret, one(values, "code"), !who.Enrolled.Any())
	if refused, ok := errors.AsType[*Refused](err); ok {
		n := web.NoteOf(r.Context())
		n.Err, n.Decision = refused, "refused"
		return h.showApp(w, r, http.StatusUnprocessableEntity, who, secret,
			web.T("That is not the code that the app shows now. Look whether the clock of your phone is right, and type the next one. Nothing was changed."))
	}
	if errors.Is(err, ErrChanged) { // in another tab, or by an operator, a moment ago
		if who.Half == nil {
			return redirect(w, http.StatusSeeOther, own(appPath))
		}
		return redirect(w, http.StatusSeeOther, own(halfwayPath, "step", step))
	}
	if err != nil {
		return err
	}
	h.clearHelper(w, appKind, "")
	h.tellFactor(r, who, event.SecondFactorAdded, event.ByApp)
	return h.enrolled(w, r, who, p, doneApp)
}

// removeApp takes away the app that makes codes.
func (h *Handler) removeApp(w http.ResponseWriter, r *http.Request) error {
	who, answered, err := h.enrolling(w, r, "", appPath)
	if answered || err != nil {
		return err
	}
	removed, err := h.cfg.Factors.Codes.Remove(r.Context(), who.User, h.cfg.Factors.Required)
	if errors.Is(err, ErrLastFactor) {
		return h.lastFactor(appPath)
	}
	if err != nil {
		return err
	}
	if removed {
		h.tellFactor(r, who, event.SecondFactorRemoved, event.ByApp)
	}
	return redirect(w, http.StatusSeeOther, own(accountPath, "done", doneAppRemoved))
}

// lastFactor is the page of what is not removed; page is where something else is set up.
func (h *Handler) lastFactor(page string) error {
	return &web.Error{Status: http.StatusConflict, Code: "last_second_factor", Title: "This one has to stay",
		Detail: "Everybody here signs in by more than a password, and you have nothing else. Set up something else first, or put another in its place. Nothing was changed.",
		Links:  []web.Link{{Text: "Put another in its place", URL: own(page)}, {Text: "Back to your account", URL: own(accountPath)}}}
}

func (h *Handler) showApp(w http.ResponseWriter, r *http.Request, status int, who *enrollee, secret []byte, alert web.Text) error {
	in := h.cfg.PublicURL.Hostname()
	key := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	address := appAddress(in, who.User, key)
	picture, err := qr.Draw(address)
	if err != nil {
		return err
	}
	v := appView{Step: who.step(), User: who.User, Link: template.URL(address), QR: picture, Alert: alert}
	var groups []string
	for group := range slices.Chunk([]byte(key), 4) {
		groups = append(groups, string(group))
	}
	v.Secret = strings.Join(groups, " ")
	if at := who.Enrolled.Authenticator; !at.IsZero() {
		v.Since, v.Kept = moments{ago(at, h.cfg.Now()), at}, h.cfg.Factors.Required && len(who.Enrolled.Passkeys) == 0
	}
	title := web.Message("Set up an app that makes codes")
	if !alert.IsZero() {
		title = "Error: The app is not set up"
	}
	return h.pages["accountapp"].Write(w, r, status, web.Page{Title: title, Data: v})
}

// appAddress is what an app reads of a QR code (the Key URI Format of Google Authenticator, which
// all of them know). Issuer tells one gateway from another in the app's list.
func appAddress(issuer, user, key string) string {
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	return fmt.Sprintf("otpauth://totp/%s:%s?secret=%s&issuer=%s&algorithm=SHA1&digits=6&period=30", escape(issuer), escape(user), key, escape(issuer))
}

// secretUnderWay is the secret that the browser of somebody was shown, if that is so short a time ago.
func (h *Handler) secretUnderWay(r *http.Request, who *enrollee) ([]byte, bool) {
	value, ok := h.helperValue(r, appKind, "")
	if !ok {
		return nil, false
	}
	var u underWay
	if h.open(appPurpose, hostOf(r), value, &u) != nil || u.User != who.User || len(u.Secret) != appSecret {
		return nil, false
	}
	return u.Secret, true
}

func (h *Handler) keepUnderWay(w http.ResponseWriter, r *http.Request, who *enrollee, secret []byte) error {
	value, err := h.seal(appPurpose, hostOf(r), underWay{who.User, secret}, enrolFresh)
	if err != nil {
		return fmt.Errorf("set up an app: %w", err)
	}
	h.setHelper(w, appKind, "", value, enrolFresh)
	return nil
}
