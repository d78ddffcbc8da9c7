package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// Gate is the way through: it decides about each request and acts on it. All
// fields are set before the first request and not edited afterwards.
type Gate struct {
	// Router finds the route. It is required.
	Router *Router
	// Auth finds the Login. Nil means that only public routes are served.
	Auth auth.Authenticator
	// Bearer finds the Login behind a client's own token, on routes that take one.
	// Its errors are those of Auth, and a *auth.Refused for a token that is not
	// valid. Nil means that no token is taken.
	Bearer auth.Authenticator
	// Minter signs tokens for clients that bring their own, on routes that want
	// ones of the gateway. Nil means that they get none.
	Minter auth.Minter
	// Challenge answers a request to a protected route where nobody is signed in:
	// a page to sign in on, or 401. Nil means a bare 401.
	Challenge func(w http.ResponseWriter, r *http.Request, absent *auth.Absent) error
	// Own serves the paths below /.evergate/, on every host that a route knows and
	// on PublicHost. Nil means 404.
	Own http.Handler
	// PublicHost is the host of public_url, which may have no route. "" is none.
	PublicHost string
	// Denied answers somebody who may not pass. Nil means a 403 that says who they
	// are and what was missing. Cookies that are due are in w's header already.
	Denied func(w http.ResponseWriter, r *http.Request, login *auth.Login, denied *auth.Denied) error
	// OwnCookie reports whether a cookie name is one of the gateway's, which no
	// upstream gets or sets. Nil means none is.
	OwnCookie func(name string) bool
	// Restore puts back a form that was kept while its sender signed in: it may
	// replace the body of r and the headers that describe it. It is called for POST
	// requests that are allowed. Nil means there are none.
	Restore func(r *http.Request, login *auth.Login) error
	// Streams has what goes on for long, and is shared by Gates that take each other's
	// place. Nil holds each stream to the rule that it began with.
	Streams *Streams
	// OfferKey has the browser behind r bind its session, where a route wants that, and
	// reports whether it may. Nil has none do so.
	OfferKey func(header http.Header, r *http.Request) (offered bool)
	// SignOut ends the session that r brings, where a route's LogoutPaths say so. It puts
	// into h what the browser must be told, and returns the address at which a person is
	// signed out elsewhere too, or told that they are. The error is one to answer with;
	// the session lives on then. Nil means that no path ends sessions.
	SignOut func(h http.Header, r *http.Request) (address string, err error)
	// Turned reports whether the browser behind r was sent round just now, and Turn has
	// the one that gets an answer with h say so for a while. Nil means that none is sent
	// round.
	Turned func(r *http.Request) bool
	Turn   func(h http.Header)
	// RateLimited hears of each request that came too soon, by the name of its route. Nil
	// means nobody.
	RateLimited func(route string)
	// StallTimeout is how long a client may let a transfer stand still: send nothing
	// of a body that is not answered yet, or take nothing of an answer. Zero is no limit.
	StallTimeout time.Duration
	// Decided is told of each decision before it is acted on, and may set ShownHeader in h,
	// the header of the answer. It must not keep the request. Nil means nobody.
	Decided func(h http.Header, r *http.Request, d *Decision)
	// Dashboard makes the pages of routes whose Answer is a Dashboard; see there. Nil means 404.
	Dashboard http.Handler
	// Now is the clock that rules go by. Nil means time.Now.
	Now func() time.Time
	// Log hears of what upstreams try. Nil means nobody.
	Log *slog.Logger

	round, again turns // by forward auth, and by the gateway's own listener
}

// ServeHTTP implements http.Handler.
func (g *Gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	web.Handler(g.serve).ServeHTTP(w, r)
}

func (g *Gate) serve(w http.ResponseWriter, r *http.Request) error {
	// One allocation for what most requests need both of.
	one := &struct {
		decision Decision
		carriage carriage
	}{}
	d := &one.decision
	d.room = &one.carriage
	g.decide(d, w, r)
	switch d.Outcome {
	case Allowed, Public, Preflight:
		note := web.NoteOf(r.Context())
		if err := g.count(w, r, d, note); err != nil {
			return err
		}
		if !d.Route.carries() {
			return g.notCarried(w, r, d)
		}
		return withCompression(w, r, d, func(w http.ResponseWriter) error { return g.pass(w, r, d, note) })
	case Own:
		if g.Own == nil {
			return routeError(ErrNoPath)
		}
		g.Own.ServeHTTP(w, r)
		return nil
	}
	if d.Route != nil && (!d.Route.carries() || d.Route.shows()) {
		r = r.WithContext(auth.WithoutForm(r.Context()))
	}
	return g.turnAway(w, r, d)
}

// decide is DecideInto for a request that is acted on: it is told of.
func (g *Gate) decide(d *Decision, w http.ResponseWriter, r *http.Request) {
	g.traced(d, r)
	d.note(web.NoteOf(r.Context()))
	if g.Decided != nil {
		g.Decided(w.Header(), r, d)
		d.shown = w.Header()[ShownHeader]
	}
}

// turnAway answers a request that may not pass, or not now.
func (g *Gate) turnAway(w http.ResponseWriter, r *http.Request, d *Decision) error {
	switch d.Outcome {
	case SignIn:
		if g.isOver(r, d) {
			keepNowhere(w.Header())
			w.Header().Set("Location", reserved+"/logout")
			w.WriteHeader(http.StatusSeeOther)
			return nil
		}
		return g.challenge(w, r, d.Err)
	case Detour:
		return detour(w, r, d)
	case StepUp:
		addCookies(w.Header(), deliver(r.Context(), d.Login))
		return g.stepUp(w, r, d)
	case Denied:
		addCookies(w.Header(), deliver(r.Context(), d.Login))
		return g.deny(w, r, d)
	case Unavailable:
		return g.unavailable(w, r, d)
	case BadToken:
		return &web.Error{Status: http.StatusUnauthorized, Code: "invalid_token", Title: "This token is not valid here",
			Detail: "The access token of this request was not accepted. Get a new one for this address, and send it again.",
			Header: http.Header{"Www-Authenticate": {`Bearer realm="evergate", error="invalid_token"`}}, Err: d.Err}
	}
	return d.Err
}

// note fills the access line.
func (d *Decision) note(n *web.Note) {
	n.Decision = d.Outcome
	if d.Route != nil {
		n.Route = d.Route.label
	}
	if d.Differs() {
		n.Observed = d.Observed
	}
	if d.Login != nil {
		n.Subject = d.Login.Identity.Subject
		if d.Login.Session != nil {
			n.Session = d.Login.Session.ID()
		}
	}
}

// pass hands the request to its upstream, or has the route answer.
func (g *Gate) pass(w http.ResponseWriter, r *http.Request, d *Decision, note *web.Note) error {
	if d.Route.shows() && g.Dashboard != nil {
		g.dashboard(w, r, d, note)
		return nil
	}
	if d.Route.Answer != nil {
		return g.answer(w, r, d, note)
	}
	if r.Header["Upgrade"] != nil && !d.WebSocket {
		r = r.WithContext(r.Context()) // a copy
		r.Header = r.Header.Clone()
		r.Header.Del("Upgrade")
	}
	if g.Restore != nil && d.Login != nil && r.Method == http.MethodPost {
		trailer := r.Trailer
		r = r.Clone(r.Context())
		r.Trailer = trailer // net/http fills that very map at the end of the body
		if err := g.Restore(r, d.Login); err != nil {
			addCookies(w.Header(), deliver(r.Context(), d.Login))
			return err
		}
	}
	var bad *web.Error
	token, err := g.token(r.Context(), d.Route, d.Login)
	if err != nil && !d.Route.Policy.Public { // public routes never fail because of a session
		addCookies(w.Header(), deliver(r.Context(), d.Login))
		if d.Err = err; errors.Is(err, auth.ErrAnonymous) {
			return g.challenge(w, r, err)
		}
		return g.unavailable(w, r, d)
	}
	c := d.room
	c.in, c.route, c.login, c.token, c.target, c.up = r, d.Route, d.Login, token, &d.Target, &d.Up
	c.host, c.scheme, c.websocket = canonicalHost(r.Host), schemeOf(r), d.WebSocket
	c.gate, c.note, c.log, c.own, c.streams, c.patience = g, note, orDiscard(g.Log), g.OwnCookie, g.Streams, g.StallTimeout
	c.limits, c.shown = w.Header()["Ratelimit"], d.shown
	if c.own == nil {
		c.own = func(string) bool { return false }
	}
	if c.secret, bad = c.credentialOf(); bad != nil {
		addCookies(w.Header(), deliver(r.Context(), d.Login))
		return bad
	}
	if g.signsOut(r, d) {
		c.signOut = g.SignOut
	}
	if d.shown != nil {
		delete(w.Header(), ShownHeader) // the answer brings it, once
	}
	c.carry(w)
	return nil
}

func (g *Gate) now() time.Time {
	if g.Now != nil {
		return g.Now()
	}
	return time.Now()
}

func (g *Gate) challenge(w http.ResponseWriter, r *http.Request, err error) error {
	absent, ok := errors.AsType[*auth.Absent](err)
	if !ok {
		absent = &auth.Absent{Reason: auth.NoCookie}
	}
	if g.Challenge != nil {
		return g.Challenge(w, r, absent)
	}
	for _, c := range absent.Clear {
		http.SetCookie(w, c)
	}
	return &web.Error{Status: http.StatusUnauthorized, Code: "login_required", Detail: "Nobody is signed in.",
		Header: http.Header{"Www-Authenticate": {"Bearer"}}, Err: absent}
}

// detour sends the request back for the cookies of now. An upgrade cannot be
// redirected; whoever opened the WebSocket will try again.
func detour(w http.ResponseWriter, r *http.Request, d *Decision) error {
	if away, ok := errors.AsType[*auth.Detour](d.Err); ok {
		for _, c := range away.Cookies {
			http.SetCookie(w, c)
		}
	}
	keepNowhere(w.Header())
	if web.IsUpgrade(r) {
		return &web.Error{Status: http.StatusServiceUnavailable, Code: "try_again", Detail: "Open the connection once more.",
			RetryAfter: time.Second, Err: d.Err}
	}
	h := w.Header()
	h["Location"] = []string{d.Target.URI()} // starts with exactly one slash: it cannot leave this host
	h["X-Request-Id"] = []string{web.NoteOf(r.Context()).ID}
	w.WriteHeader(http.StatusTemporaryRedirect)
	return nil
}

// deny says who they are and what was missing, and no more.
func (g *Gate) deny(w http.ResponseWriter, r *http.Request, d *Decision) error {
	denied, ok := errors.AsType[*auth.Denied](d.Err)
	if ok && denied.Unbound {
		return g.unbound(w, r, d)
	}
	if !ok {
		denied = &auth.Denied{Missing: "a rule that can be read", Needs: web.T("a rule that can be read")}
	}
	if d.Login == nil {
		return &web.Error{Status: http.StatusForbidden, Code: "not_allowed", Title: "This page is not open to you",
			Detail: "A rule of whoever runs this gateway keeps this request out, signed in or not. It may be about where you are, or when.", Help: true, Err: denied}
	}
	if g.Denied != nil {
		return g.Denied(w, r, d.Login, denied)
	}
	user := d.Login.Identity.User
	switchTo := reserved + "/logout?rd=" + url.QueryEscape(returnTo(r, &d.Target))
	return &web.Error{Status: http.StatusForbidden, Code: "not_allowed", Title: "You may not open this page",
		Help:   true,
		Detail: lacks(denied), Args: web.Args{"user": user, "missing": denied.InWords()},
		Links: []web.Link{{Text: "Use another account", URL: switchTo}},
		Extra: map[string]any{"user": user, "missing": denied.Missing, "logout_url": switchTo},
		Err:   denied}
}

func lacks(denied *auth.Denied) web.Message {
	if denied.Missing == "" {
		return "You are signed in as {user}. A rule of whoever runs this gateway keeps you from this page."
	}
	return "You are signed in as {user}. This page needs {missing}."
}

// returnTo is where to come back to after using another account.
func returnTo(r *http.Request, t *Target) string {
	if uri := t.URI(); r.Method == http.MethodGet && len(uri) <= 2<<10 {
		return uri
	}
	return "/"
}

// unavailable answers while it cannot be told who is asking. It never signs
// anybody out.
func (g *Gate) unavailable(w http.ResponseWriter, r *http.Request, d *Decision) error {
	if errors.Is(r.Context().Err(), context.Canceled) {
		w.WriteHeader(statusClientGone)
		return nil
	}
	what, after := web.Message("part of the sign-in"), time.Duration(0)
	if u, ok := errors.AsType[*auth.Unavailable](d.Err); ok {
		if after = u.RetryAfter; u.What != "" {
			what = u.What
		}
	}
	if after <= 0 {
		after = 5 * time.Second
	}
	e := &web.Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Title: "Not available for the moment",
		Links: tryAgain(r, &d.Target), RetryAfter: after, Err: d.Err,
		Detail: "{what} is out of order for now. If you were signed in, your sign-in is kept: try again in a moment.",
		Args:   web.Args{"what": web.Capital{Of: what}}}
	if what == auth.TheRenewal && e.Links != nil && web.IsNavigation(r) {
		// In an outage of a provider this is what most people see. Nobody has to sit there and
		// press a button.
		wait := max(int(after.Round(time.Second)/time.Second), renewsAgain)
		e.Detail = "You are still signed in, and nothing is wrong with your account. Your sign-in has to be renewed, which does not work for the moment. This page tries again by itself in {wait}."
		e.Args["wait"] = web.T("{count} seconds", "count", wait)
		e.Header = reloads(wait, &d.Target)
	}
	return e
}

// reloads has a page load itself anew after some seconds. It names its address, for browsers take
// a page without one, whose address has a part after a #, to be there already, and stay. Which
// part that was is lost.
func reloads(seconds int, t *Target) http.Header {
	return http.Header{"Refresh": {strconv.Itoa(seconds) + "; url=" + t.URI()}}
}

// renewsAgain is after how many seconds at least a page asks again whether the renewal works.
const renewsAgain = 10

// tryAgain links to the same page, where coming back means asking again.
func tryAgain(r *http.Request, t *Target) []web.Link {
	if r.Method != http.MethodGet {
		return nil
	}
	return []web.Link{{Text: "Try again", URL: t.URI()}}
}
