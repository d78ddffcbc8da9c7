package auth

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// PasswordMethod signs people in by user name and password. local.Method is one.
type PasswordMethod interface {
	// Login checks the password of a user. The error is a *Refused, which never tells
	// which of the two was wrong, a *Throttled or a *Unavailable.
	Login(ctx context.Context, from Asker, user, password string) (*Login, error)
}

// HandlerConfig is what a Handler is made of.
type HandlerConfig struct {
	// Sessions remembers who signed in. It is required.
	Sessions Sessions
	// Password signs people in. Nil means that nobody can by password.
	Password PasswordMethod
	// Providers are the other ways, in the order the sign-in page shows them.
	Providers []Provider
	// Once reports whether name is used for the first time before until, on any
	// replica. Providers and passkeys need it. The error is a *Unavailable.
	Once func(ctx context.Context, name string, until time.Time) (bool, error)
	// Sealer seals the cookies of kept forms. It is required.
	Sealer Sealer
	// Handovers hands sessions to the hosts of apps. Nil means that each host has
	// sign-ins of its own, at its own pages.
	Handovers Handovers
	// AppHost reports whether a host, in lower case and without a port, is an app's own
	// and not PublicURL's: a host that the operator has named, never one that is merely
	// served. Handovers need it.
	AppHost func(host string) bool
	// PublicURL is where the gateway is meant to be reached. The landing page
	// compares it with where the browser is when a cookie does not come back.
	// It is required.
	PublicURL *url.URL
	// CookiePrefix begins the names of helper cookies, such as
	// "__Host-Http-evergate" or "evergate-8080". It is required.
	CookiePrefix string
	// Secure gives cookies the Secure attribute. It is false only for plain http
	// on a loopback name.
	Secure bool
	// Forms keeps what was being sent when somebody had to sign in. Nil means
	// one of the Handler's own, in memory; pass one where gateways share theirs, or
	// the Handler is made anew on reload.
	Forms *Forms
	// Devices are the sessions of people, for their account page. Nil means that nobody can
	// list or end them, as where the cookie is all there is.
	Devices Devices
	// Journal is what happened to people, for the same page. Nil keeps none.
	Journal Journal
	// NewDevices tells of sign-ins by browsers that are not known at the account: what the Journal
	// hears of, if that is a ShelfJournal.
	NewDevices bool
	// Passwords changes passwords. Nil means that it is not done here.
	Passwords PasswordChanger
	// Invites takes one-time codes by which people set a password. Nil takes none.
	Invites Inviter
	// Factors are what those who sign in by password prove who they are with besides it. Nil is
	// nothing: a password is enough.
	Factors *Factors
	// DeviceKeys binds sessions to keys of their browsers. Nil binds none.
	DeviceKeys DeviceKeys
	// Extra are further handlers, by path below /.evergate/: "jwks.json". They
	// answer for their own methods and headers.
	Extra map[string]http.Handler
	// Assets are what the pages are made with besides, by path below /.evergate/: a logo.
	// They are served on every host.
	Assets map[string]http.Handler
	// Log hears of kept forms; nil discards them.
	Log *slog.Logger
	// Heard hears of sign-ins that came to nothing; nil is nobody.
	Heard event.Func
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Handler serves everything below /.evergate/: the pages where people prove who
// they are, and what goes with them. Make one with NewHandler.
type Handler struct {
	cfg       HandlerConfig
	ownForms  bool
	pages     map[string]*web.Pages
	endpoints map[string]endpoint
	cross     *http.CrossOriginProtection
}

// NewHandler returns a Handler.
func NewHandler(cfg HandlerConfig) (*Handler, error) {
	switch {
	case cfg.Sessions == nil || cfg.Sealer == nil:
		return nil, errors.New("auth: the pages need Sessions and a Sealer")
	case cfg.PublicURL == nil || cfg.PublicURL.Host == "":
		return nil, errors.New("auth: the pages need a public URL with a host")
	case cfg.CookiePrefix == "":
		return nil, errors.New("auth: the helper cookies need a prefix")
	case (cfg.Handovers == nil) != (cfg.AppHost == nil):
		return nil, errors.New("auth: hand-overs need AppHost, which tells the hosts to hand over to, and the other way round")
	case (len(cfg.Providers) > 0 || cfg.Factors != nil && cfg.Factors.Passkeys != nil) && cfg.Once == nil:
		return nil, errors.New("auth: providers and passkeys need Once, or an answer and its repetition look the same")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &Handler{cfg: cfg, cross: http.NewCrossOriginProtection()}
	if h.cfg.Forms == nil {
		h.cfg.Forms, h.ownForms = NewForms(cfg.Now), true
	}
	var err error
	if h.pages, err = ParsePages(); err != nil {
		return nil, err
	}
	h.endpoints = map[string]endpoint{
		"login":      {get: h.loginPage, post: h.signIn},
		"landed":     {get: h.landed, everywhere: true},
		"rotate":     {get: h.rotate, everywhere: true},
		"resend":     {get: h.resendPage, everywhere: true},
		"logout":     {get: h.logoutPage, post: h.signOut},
		accountPath:  {get: h.account},
		passwordPath: {get: h.passwordPage, post: h.changePassword},
		"session":    {get: h.session, everywhere: true},
		"ping":       {get: ping, everywhere: true},
		"icon.svg":   {get: icon, everywhere: true},
		"login.js":   {get: script, everywhere: true},
		"session.js": {get: sessionJS, everywhere: true},
		"style.css":  {get: func(w http.ResponseWriter, r *http.Request) error { web.Assets().ServeHTTP(w, r); return nil }, everywhere: true},
	}
	if keys := cfg.DeviceKeys; keys != nil {
		h.endpoints["dbsc/register"] = endpoint{post: keys.Register, everywhere: true}
		h.endpoints["dbsc/refresh"] = endpoint{post: keys.Refresh, everywhere: true}
	}
	if f := cfg.Factors; f != nil {
		if f.Credentials == nil || f.Users == nil {
			return nil, errors.New("auth: second factors need Credentials and Users")
		}
		h.endpoints[halfwayPath] = endpoint{get: h.secondPage, post: h.proveSecond}
		if f.Codes != nil {
			h.endpoints[appPath] = endpoint{get: h.appPage, post: h.setUpApp}
			h.endpoints[appRemovePath] = endpoint{post: h.removeApp}
			h.endpoints[codesPath] = endpoint{get: h.codesPage, post: h.makeCodes}
		}
		if f.Passkeys != nil {
			h.endpoints["passkey/options"] = endpoint{post: h.askPasskey}
			h.endpoints[passkeysPath] = endpoint{get: h.passkeysPage, post: h.changePasskeys}
			h.endpoints["account/passkeys/options"] = endpoint{post: h.offerPasskey}
		}
	}
	if cfg.Invites != nil {
		h.endpoints[invitePath] = endpoint{get: h.invitePage, post: h.acceptInvite}
	}
	h.endpoints["account/signout"] = endpoint{post: h.signOutDevices}
	if err := h.providerEndpoints(); err != nil {
		return nil, err
	}
	for path, extra := range cfg.Extra {
		path = strings.TrimPrefix(path, ownFolder+"/")
		if _, taken := h.endpoints[path]; taken || extra == nil {
			return nil, errors.New("auth: extra handler " + path + ": its path is taken or it is nil")
		}
		h.endpoints[path] = endpoint{all: extra}
	}
	for path, asset := range cfg.Assets {
		h.endpoints[strings.TrimPrefix(path, ownFolder+"/")] = endpoint{all: asset, everywhere: true}
	}
	return h, nil
}

// Close ends what the Handler runs. Forms that were passed in stay open.
func (h *Handler) Close() error {
	if h.ownForms {
		return h.cfg.Forms.Close()
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		return h.explain(w, r, h.serve(w, r))
	}).ServeHTTP(w, r)
}

// explain turns the errors of this package into answers.
func (h *Handler) explain(w http.ResponseWriter, r *http.Request, err error) error {
	if d, ok := errors.AsType[*Detour](err); ok {
		for _, c := range d.Cookies {
			http.SetCookie(w, c)
		}
		w.Header().Set("Cache-Control", "no-store")
		return redirect(w, http.StatusTemporaryRedirect, r.URL.RequestURI())
	}
	if u, ok := errors.AsType[*Unavailable](err); ok {
		if _, ready := errors.AsType[*web.Error](err); !ready {
			return unavailable(u, "{what} is out of order for the moment. Nothing has changed: if you were signed in, you still are. Try again shortly.")
		}
	}
	return err
}

// unavailable is the answer while something is out of order. Detail says so of {what}.
func unavailable(u *Unavailable, detail web.Message) *web.Error {
	after := u.RetryAfter
	if after <= 0 {
		after = 5 * time.Second
	}
	return &web.Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Title: "This does not work right now",
		Detail: detail, Args: web.Args{"what": web.Capital{Of: u.What}}, RetryAfter: after, Err: u}
}

// who says who is signed in, and has the cookies ready that the answer is to
// carry. It returns a *Absent where nobody is; cookies to delete are deleted then.
// The answer must follow at once: whether a handle is due is decided here.
func (h *Handler) who(w http.ResponseWriter, r *http.Request) (*Login, error) {
	login, err := h.cfg.Sessions.Authenticate(r)
	if absent, ok := errors.AsType[*Absent](err); ok {
		for _, c := range absent.Clear {
			http.SetCookie(w, c)
		}
	}
	if err != nil {
		return nil, err
	}
	note(r, login)
	if login.Session != nil {
		login.Session.Deliver(r.Context(), w.Header())
	}
	return login, nil
}

// already goes on where somebody is signed in as it is demanded; done says that it did. The error is
// that of an outage, or nil.
func (h *Handler) already(w http.ResponseWriter, r *http.Request, v *loginView) (done bool, err error) {
	login, err := h.who(w, r)
	switch {
	case err == nil && h.isAppHost(r) && login.Session != nil && login.Session.Unconfirmed():
		return false, nil // they are to go round once more
	case err == nil && !v.Demand.MetBy(login, h.cfg.Now()):
		v.Further = login
		return false, nil
	case err == nil && v.To != "":
		return true, h.sendOver(w, r, login, v)
	case err == nil:
		return true, redirect(w, http.StatusSeeOther, v.next())
	case mayYetProve(r, err):
		return true, h.proveFirst(w, r, v)
	case isAnonymous(err):
		return false, nil
	}
	return false, err
}

// note tells the access line who is signed in.
func note(r *http.Request, login *Login) {
	n := web.NoteOf(r.Context())
	n.Subject = login.Identity.User
	if login.Session != nil {
		n.Session = login.Session.ID()
	}
}

// redirect answers with a location on this host. The caller has checked it.
func redirect(w http.ResponseWriter, status int, location string) error {
	w.Header().Set("Location", location)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
	return nil
}

// maxPost bounds what the gateway's own pages take.
const maxPost = 64 << 10

// readForm reads the body of a form of our own pages. The query is not part of
// it: a password there would be in logs and histories already.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, &web.Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type",
			Detail: "This page takes application/x-www-form-urlencoded alone.", Err: err}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPost))
	if err != nil {
		if _, over := errors.AsType[*http.MaxBytesError](err); over {
			return nil, err // Respond knows the answer
		}
		return nil, &web.Error{Status: http.StatusBadRequest, Code: "bad_form", Detail: "The form did not arrive in full.", Err: err}
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &web.Error{Status: http.StatusBadRequest, Code: "bad_form", Detail: "The form cannot be read.",
			Err: errors.New("malformed form")} // the cause would quote it, passwords included
	}
	return values, nil
}

// one returns the value of a name that is there exactly once, else "": what is
// there twice can be read two ways.
func one(values url.Values, name string) string {
	if v := values[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// own returns the address of one of our own pages with the parameters that are
// not empty, in the order given: name, value, name, value.
func own(page string, params ...string) string {
	var b strings.Builder
	b.WriteString(ownFolder + "/" + page)
	sep := byte('?')
	for pair := range slices.Chunk(params, 2) {
		if pair[1] != "" {
			b.WriteByte(sep)
			b.WriteString(pair[0] + "=" + url.QueryEscape(pair[1]))
			sep = '&'
		}
	}
	return b.String()
}

// hostOf is the host that cookies are bound to. Cookies know no ports.
func hostOf(r *http.Request) string {
	u := url.URL{Host: r.Host}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}

func ping(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, "ok\n")
	return nil
}

func icon(w http.ResponseWriter, r *http.Request) error {
	web.Icon().ServeHTTP(w, r)
	return nil
}
