package auth

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/evergate/evergate/internal/agent"
	"github.com/evergate/evergate/internal/web"
)

const accountPath = "account"

// maxDevices is how many devices the account page shows, those that were used last. A script that
// signs in each time makes many, and they all end by "Sign out all other devices".
const maxDevices = 50

// accountView is what the account page shows.
type accountView struct {
	Done             web.Text // what has just been done, or nothing
	Who              accountWho
	Devices          []deviceView
	DevicesNote      web.Message // why there are none to be seen, or ""
	Others           int         // how many other devices there are
	Unlisted         int         // how many of them are not in Devices
	Events           []eventView
	EventsNote       web.Message
	MayPasskeys      bool // there are passkeys at all
	Passkeys         []passkeyView
	PasskeysNote     web.Message // why none can be seen, or ""
	CanChange        bool        // the password, here
	PasswordAt       string      // the provider that keeps it, if any, or ""
	KeepsPassword    bool        // it is kept here, and cannot be changed from here
	SignOutElsewhere string      // the provider that signing out goes on to, or ""
	Factors          *factorsView
}

// accountWho is who is signed in, and how.
type accountWho struct {
	User, Name, Email string
	Groups            []string
	Provider          string // "" for whoever is kept here
	Passkey           bool   // who signed in by a passkey alone
	Since             moments
	Proof             web.Text // how it was proven, or nothing
	Ends              time.Time
}

// moments is a time, as people say it and as it is.
type moments struct {
	Ago web.Text
	At  time.Time
}

// Machine is the time for programs.
func (m moments) Machine() string { return m.At.UTC().Format(time.RFC3339) }

// deviceView is one device in the list.
type deviceView struct {
	Session       string
	Label         web.Text
	Agent         string // as the browser said it
	Address       string
	Created, Seen moments
	Ends          moments
	Bound         bool
	Current       bool
}

// account shows the page.
func (h *Handler) account(w http.ResponseWriter, r *http.Request) error {
	login, err := h.who(w, r)
	if err != nil {
		return h.toSignIn(w, r, accountPath, err)
	}
	web.NoteOf(r.Context()).Decision = "account"
	query := r.URL.Query()
	v := accountView{Done: doneOf(one(query, "done"), one(query, "n")), Who: h.whoIs(login), SignOutElsewhere: h.signsOutAt(login)}
	h.listDevices(r, login, &v)
	h.listEvents(r, login, &v)
	h.listEnrolled(r, login, &v)
	switch p := h.provider(login.Identity.Provider); {
	case h.cfg.Passwords != nil && h.cfg.Passwords.CanChange(login):
		v.CanChange = true
	case p != nil:
		v.PasswordAt = p.label()
	default:
		v.KeepsPassword = true
	}
	return h.pages["account"].Write(w, r, http.StatusOK, web.Page{Title: "Your account", Data: v,
		Header: http.Header{"Content-Security-Policy": {h.formPolicy()}}})
}

// toSignIn sends somebody who is not signed in to where they can, and back to a page of ours.
func (h *Handler) toSignIn(w http.ResponseWriter, r *http.Request, page string, err error) error {
	absent, ok := errors.AsType[*Absent](err)
	if !ok {
		return err
	}
	web.NoteOf(r.Context()).Decision = "login"
	why := absent.Reason
	if why == NoCookie {
		why = ""
	}
	return redirect(w, http.StatusSeeOther, own("login", "rd", own(page), "why", why))
}

// asking is who for an answer that ends the session or begins another: no handle of it is
// handed out any more.
func (h *Handler) asking(w http.ResponseWriter, r *http.Request) (*Login, error) {
	login, err := h.cfg.Sessions.Authenticate(r)
	if absent, ok := errors.AsType[*Absent](err); ok {
		for _, c := range absent.Clear {
			http.SetCookie(w, c)
		}
	}
	if err == nil {
		note(r, login)
	}
	return login, err
}

// leaveToAccount sends a browser from an app's host to a page of the account. They are for
// the public host: what signs out everywhere is not asked for below an app's name.
func (h *Handler) leaveToAccount(page string) web.Handler {
	return func(w http.ResponseWriter, _ *http.Request) error {
		return redirect(w, http.StatusSeeOther, h.origin(h.publicHost())+own(page))
	}
}

// whoIs says who is signed in, and how.
func (h *Handler) whoIs(login *Login) accountWho {
	id, now := &login.Identity, h.cfg.Now()
	v := accountWho{User: id.User, Name: id.Name, Email: id.Email, Groups: slices.Clone(id.Groups), Proof: proofOf(login)}
	slices.Sort(v.Groups)
	v.Passkey = id.Provider == passwordProvider && slices.Contains(login.AMR, "pop") && !slices.Contains(login.AMR, "pwd")
	if p := h.provider(id.Provider); p != nil {
		v.Provider = p.label()
	}
	if !login.AuthTime.IsZero() {
		v.Since = moments{ago(login.AuthTime, now), login.AuthTime}
	}
	if login.Session != nil {
		v.Ends = login.Session.Times().Ends
	}
	return v
}

// listDevices fills in the devices, or says why there are none. An outage of the store does
// not take the rest of the page away.
func (h *Handler) listDevices(r *http.Request, login *Login, v *accountView) {
	if h.cfg.Devices == nil {
		v.DevicesNote = "This gateway keeps sign-ins in the browsers alone, so it has no list of them. Sign out on each device."
		return
	}
	all, err := h.cfg.Devices.OwnDevices(r.Context(), login)
	if err != nil {
		web.NoteOf(r.Context()).Err = err
		v.DevicesNote = "Your devices cannot be shown right now. Nothing has changed; try again shortly."
		return
	}
	now := h.cfg.Now()
	for i := range all {
		d := &all[i]
		seen := d.Seen
		if d.Current {
			seen = now // the store is told of it later
		} else {
			v.Others++
		}
		if len(v.Devices) == maxDevices {
			v.Unlisted++
			continue
		}
		v.Devices = append(v.Devices, deviceView{Session: d.Name, Label: device(d.Agent), Agent: printable(d.Agent), Address: d.Address,
			Created: moments{ago(d.Created, now), d.Created}, Seen: moments{ago(seen, now), seen}, Ends: moments{At: d.Ends}, Bound: d.Bound, Current: d.Current})
	}
}

// device names a device by what its browser says of itself.
func device(header string) web.Text {
	switch words := agent.Of(header); {
	case words.Browser != "" && words.System != "":
		return web.T("{browser} on {system}", "browser", words.Browser, "system", words.System)
	case words.Browser != "":
		return web.Text{Message: web.Verbatim(words.Browser)}
	case words.System != "":
		return web.T("Unknown browser on {system}", "system", words.System)
	}
	return web.T("Unknown browser")
}

// printable is a header as a page may show it: what is no letter to read is left out.
func printable(header string) string {
	out := make([]rune, 0, len(header))
	for _, c := range header[:min(len(header), maxShown)] {
		if c < ' ' || c > '~' {
			c = '?'
		}
		out = append(out, c)
	}
	return string(out)
}

const maxShown = 256

// ago says how long ago something was.
func ago(at, now time.Time) web.Text {
	switch d := now.Sub(at); {
	case d < time.Minute:
		return web.T("just now")
	case d < time.Hour:
		return web.T("{count} minutes ago", "count", int(d.Minutes()))
	case d < 48*time.Hour:
		return web.T("{count} hours ago", "count", int(d.Hours()))
	default:
		return web.T("{count} days ago", "count", int(d.Hours()/24))
	}
}

// proofs are the ways of proving who one is that people have a word for (RFC 8176).
var proofs = map[string]web.Message{
	"pwd": "password", "otp": "one-time code", "sms": "code by text message", "tel": "telephone call", "hwk": "security key",
	"swk": "key on the device", "pop": "key on the device", "pin": "PIN", "fpt": "fingerprint", "face": "face recognition",
	"iris": "eye recognition", "vbm": "voice recognition", "sc": "smart card", "kba": "security question", "wia": "Windows sign-in",
}

// proofOf says how somebody proved who they are, as far as that was said.
func proofOf(login *Login) web.Text {
	var all []web.Text
	for _, method := range login.AMR {
		m, ok := proofs[method]
		if login.Identity.Provider == passwordProvider && slices.Contains(passkeyAMR, method) {
			m, ok = "passkey", method == "pop" // what else is said of it is not for people
		}
		if ok && !slices.ContainsFunc(all, func(t web.Text) bool { return t.Message == m }) {
			all = append(all, web.Text{Message: m})
		}
	}
	return web.Join("{a}, {b}", all...)
}

// What has been done, for the page to say it after a redirect. Whoever makes up such an
// address changes what a page says and nothing else.
const (
	doneOne      = "one"
	doneOthers   = "others"
	donePassword = "password"

	donePasskey        = "passkey"
	donePasskeyRenamed = "passkey-renamed"
	donePasskeyRemoved = "passkey-removed"
)

func doneOf(what, count string) web.Text {
	switch n, err := strconv.Atoi(count); {
	case what == doneOne:
		return web.T("That device is signed out.")
	case what == doneOthers && err == nil && n > 0:
		return web.T("{count} other devices are signed out.", "count", n)
	case what == doneOthers:
		return web.T("There was no other device that is signed in.")
	case what == doneApp:
		return web.T("Your app is set up. From now on a code of it is asked for when you sign in. Your other devices stay signed in.")
	case what == doneAppRemoved:
		return web.T("Your app is removed. Your other devices stay signed in.")
	case what == doneCodes:
		return web.T("You have new recovery codes. Those of before are worth nothing.")
	case what == donePassword:
		return web.T("Your password is changed. All your other devices are signed out.")
	case what == donePasskey:
		return web.T("Your passkey is made. You can sign in with it from now on.")
	case what == donePasskeyRenamed:
		return web.T("The passkey is called something else now.")
	case what == donePasskeyRemoved:
		return web.T("The passkey is removed. Devices that signed in with it stay signed in until you sign them out.")
	}
	return web.Text{}
}
