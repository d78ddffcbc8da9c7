package proxy

import (
	"errors"
	"net/http"
	"strings"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
)

// What becomes of a request. The words are those of the access line.
const (
	Allowed     = "allowed"     // signed in, and the rule lets them pass
	Public      = "public"      // the route is open; the Login is there if somebody is signed in
	Preflight   = "preflight"   // a CORS preflight that the route passes on, without identity
	Own         = "own"         // for the gateway's own pages
	SignIn      = "login"       // nobody is signed in
	Detour      = "detour"      // has to come again with the cookies of now
	StepUp      = "step-up"     // signed in, and the rule asks for a fresher or stronger sign-in
	Denied      = "denied"      // the rules do not let them pass, signed in or not
	Unavailable = "unavailable" // whether somebody is signed in cannot be told now
	BadToken    = "bad-token"   // brings a token of its own that is not valid
	Refused     = "refused"     // malformed, or nothing is served there
)

// reserved is the folder of the gateway's own pages, on every host.
const reserved = "/.evergate"

// pingPath tells load balancers that the gateway is there, whoever they say they ask.
const pingPath = reserved + "/ping"

// Decision is what becomes of a request, and why.
type Decision struct {
	// Outcome is one of the constants above.
	Outcome string
	// Route is the route, or nil for Own and where none was found.
	Route *Route
	// Target is the canonical target; it is zero if the request has none.
	Target Target
	// Up is the target that goes up: Target, but for what Route rewrites.
	Up Target
	// Login is who is signed in: set for Allowed, StepUp and Denied, for Public where
	// there is one, and for SignIn where their session has to be confirmed. A request
	// that is Denied to everybody has none.
	Login *auth.Login
	// Rule is the rule that made the difference, or nil where none did.
	Rule *auth.Rule
	// Question is what the rules were asked; one without a Method says that they were not.
	Question auth.Question
	// Observed is what would have become of the request by the rules that are only
	// observed, one of Public, SignIn, Allowed, StepUp and Denied; "" where there are none.
	Observed string
	// ObservedRule is to Observed what Rule is to Outcome.
	ObservedRule *auth.Rule
	// WebSocket says that the request opens one and may.
	WebSocket bool
	// Err is why not: a *web.Error if Refused, a *auth.Absent for SignIn and StepUp, a
	// *auth.Detour, a *auth.Denied, a *auth.Unavailable, a *auth.Refused for BadToken. An error of another kind
	// comes as Unavailable: what nobody expected lets nobody pass.
	Err error

	shown []string  // the values of ShownHeader, or nil
	room  *carriage // for the request, where it may be carried; or nil

	host string // of the request, canonical and without a port
}

// Decide says what becomes of r. It writes nothing, to nobody.
func (g *Gate) Decide(r *http.Request) Decision {
	var d Decision
	g.DecideInto(&d, r)
	return d
}

// DecideInto is Decide for a Decision that has its place already: it is large, and copying it
// shows. What was in it before is gone.
func (g *Gate) DecideInto(d *Decision, r *http.Request) {
	*d = Decision{room: d.room}
	g.find(d, r)
	if d.Outcome == Preflight {
		g.judgePreflight(r, d)
	}
	if d.Outcome != "" {
		return
	}
	if g.Auth == nil {
		if !d.Route.Policy.Public {
			d.Outcome, d.Err = Unavailable, errors.New("the gate has no authenticator")
			return
		}
		g.judge(r, d)
		return
	}
	login, asked, err := g.clientToken(r, d.Route)
	if !asked {
		login, err = g.Auth.Authenticate(forDevice(r, d.Route))
	}
	if err == nil && login == nil {
		err = errors.New("the authenticator gave neither login nor error")
	}
	if err == nil {
		d.Login = login
	}
	if err == nil || d.Route.Policy.Public || errors.Is(err, auth.ErrAnonymous) {
		g.judge(r, d)
	}
	if err != nil && d.Outcome != Public && d.Outcome != Denied {
		d.Err = err
		d.Outcome = Unavailable
		if absent, ok := errors.AsType[*auth.Absent](err); ok {
			d.Outcome, d.Err = SignIn, demanding(absent, d.Route.Policy.Stronger())
		} else if errors.Is(err, auth.ErrAnonymous) {
			d.Outcome = SignIn
		} else if _, ok := errors.AsType[*auth.Detour](err); ok {
			d.Outcome = Detour
		} else if asked && isBadToken(err) {
			d.Outcome = BadToken
		}
		return
	}
	if d.Login == nil {
		return
	}
	demandDevice(d)
	// A person who opens a page goes round by the host that they signed in at.
	if d.Outcome != Public && login.Session != nil && r.Method == http.MethodGet && login.Session.Unconfirmed() && web.IsNavigation(r) && !web.IsFramed(r) {
		d.Outcome, d.Err = SignIn, &auth.Absent{Reason: auth.Unconfirmed}
	}
}

func isBadToken(err error) bool {
	_, refused := errors.AsType[*auth.Refused](err)
	return refused || errors.Is(err, errInvalidToken)
}

// find gets as far as who is asking: method, target, host, route. The Outcome is
// "" if it is still open.
func (g *Gate) find(d *Decision, r *http.Request) {
	if bad := g.findRoute(d, r); bad != nil {
		d.Outcome, d.Err = Refused, bad
	}
}

func (g *Gate) findRoute(d *Decision, r *http.Request) (bad *web.Error) {
	if err := checkMethod(r.Method); err != nil {
		return err
	}
	uri := r.RequestURI
	if uri == "" { // a request that no server has read, as explain makes one
		uri = r.URL.RequestURI()
	}
	target, bad := Clean(uri, g.Router.chars)
	if bad != nil {
		return bad
	}
	d.Target = target
	name, _, ok := cleanHost(r.Host)
	if !ok {
		return &web.Error{Status: http.StatusBadRequest, Code: "bad_host", Detail: "The Host header holds no host name."}
	}
	// A route that serves every host would serve it, and tell the app of none. HTTP/1.0 knows
	// requests without too, and those of health checks are the last that send some.
	if name == "" && target.Path != pingPath {
		return &web.Error{Status: http.StatusBadRequest, Code: "bad_host", Args: web.Args{"path": pingPath},
			Detail: "The request does not say which host it is for. Send a Host header; a health check that cannot may ask {path}."}
	}
	d.host = name
	if isReserved(target.Path) {
		if name != "" && !g.Router.KnowsHost(name) && !g.isPublicHost(name) && !web.IsAsset(target.Path) {
			return routeError(ErrNoHost)
		}
		if !strings.HasPrefix(target.Path, reserved+"/") || !target.spelled || target.Chars != 0 {
			return routeError(ErrNoPath)
		}
		d.Outcome = Own
		return nil
	}
	method := r.Method
	if asked := preflight(r); asked != "" {
		if route, err := g.route(name, &target, asked); err == nil && route.PassPreflight {
			d.Route, d.Outcome = route, Preflight
			d.Up, bad = route.Rewrite.apply(&d.Target, route.PathChars)
			return bad
		}
	}
	route, err := g.route(name, &target, method)
	if errors.Is(err, ErrNoHost) && g.isPublicHost(name) {
		err = ErrNoPath // its own pages are all there is
	}
	if err != nil {
		return routeError(err)
	}
	d.Route = route
	if bad = route.CSRF.check(r, route, &d.Target); bad != nil {
		return bad
	}
	if d.Up, bad = route.Rewrite.apply(&d.Target, route.PathChars); bad != nil {
		return bad
	}
	d.WebSocket, bad = checkUpgrade(r, route, schemeOf(r))
	return bad
}

// route finds the one route that every reading of the target leads to.
func (g *Gate) route(host string, t *Target, method string) (*Route, error) {
	route, err := g.Router.match(host, t.Path, method)
	if err != nil {
		return nil, err
	}
	if odd := t.Chars &^ route.PathChars; odd != 0 {
		return nil, oddTarget(odd)
	}
	for _, reading := range t.Readings {
		if isReserved(reading) {
			return nil, badTarget("it could be taken for one of the gateway's own")
		}
		if other, err := g.Router.match(host, reading, method); err != nil || other != route {
			return nil, badTarget("another reading of it leads to another rule")
		}
	}
	return route, nil
}

// isReserved reports whether a path lies in the gateway's own folder, however
// the letters are cased: an upstream that folds case must not get it either.
func isReserved(path string) bool {
	return len(path) >= len(reserved) && strings.EqualFold(path[:len(reserved)], reserved) &&
		(len(path) == len(reserved) || path[len(reserved)] == '/' || path[len(reserved)] == ';')
}

func (g *Gate) isPublicHost(name string) bool {
	if g.PublicHost == "" {
		return false
	}
	public, _, ok := cleanHost(g.PublicHost)
	return ok && public == name
}

// preflight returns the method that a CORS preflight asks for, or "" if r is
// none. One with a body is none: browsers send no body with it.
func preflight(r *http.Request) string {
	if r.Method != http.MethodOptions || r.ContentLength != 0 || r.Header.Get("Origin") == "" || web.IsUpgrade(r) {
		return ""
	}
	return r.Header.Get("Access-Control-Request-Method")
}

func checkMethod(method string) *web.Error {
	switch {
	case knownMethod(method):
		return nil
	case method == "PRI": // what is left of an HTTP/2 preface (RFC 9113 section 3.4)
		return &web.Error{Status: http.StatusBadRequest, Code: "bad_method", Detail: "This is no HTTP/2 connection."}
	case method == http.MethodConnect || method == http.MethodTrace:
		return methodError(&MethodError{Allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})
	}
	return &web.Error{Status: http.StatusNotImplemented, Code: "unknown_method", Detail: "The gateway does not carry this method. Methods are upper case."}
}

// routeError is the answer where Match finds nothing.
func routeError(err error) *web.Error {
	if e, ok := errors.AsType[*web.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*MethodError](err); ok {
		return methodError(e)
	}
	if errors.Is(err, ErrNoHost) {
		return &web.Error{Status: http.StatusMisdirectedRequest, Code: "unknown_host", Title: "This host is not served here",
			Detail: "No route knows the host name of this address. Check its spelling; whoever runs the gateway can add it under routes.", Err: err}
	}
	return &web.Error{Status: http.StatusNotFound, Code: "no_route", Title: "Nothing is served at this address",
		Detail: "No route knows this path.", Err: err}
}

func methodError(e *MethodError) *web.Error {
	return &web.Error{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
		Detail: "This address serves {methods} alone.", Args: web.Args{"methods": e.Allow}, Header: http.Header{"Allow": {e.Allow}}, Err: e}
}

// schemeOf is the scheme that the browser used.
func schemeOf(r *http.Request) string {
	switch note := web.NoteOf(r.Context()); {
	case note.Scheme != "":
		return note.Scheme
	case r.TLS != nil:
		return "https"
	}
	return "http"
}

// canonicalHost is a Host header as it is matched: lower case, no trailing dot.
func canonicalHost(host string) string {
	name, port, _ := cleanHost(host)
	switch {
	case port == "":
		return name
	case len(host) == len(name)+1+len(port) && host[:len(name)] == name:
		return host
	}
	return name + ":" + port
}
