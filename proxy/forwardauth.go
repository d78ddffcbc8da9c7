package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/internal/web"
)

// ForwardAuth answers proxies in front of apps, which ask about each request before they
// carry it themselves: 2xx lets it pass, with the headers to put onto it; anything else is
// for the browser. It decides as its Gate does. Its fields are set before the first
// request and not edited afterwards.
//
// What needs the answer of the app, or the body of the request, does not apply: cookies
// are never handed out here, since the front proxy would attach them when the app
// answers (see [Gate.Turn]), forms are not kept, and a token that an app refuses is not replaced.
type ForwardAuth struct {
	// Gate decides. It is required.
	Gate *Gate
	// Dialect is how the front proxy tells which request it asks about.
	Dialect Dialect
	// Trusted are the addresses of front proxies. Nobody else is answered.
	Trusted []netip.Prefix
	// PublicURL is where browsers reach the gateway. It is required.
	PublicURL *url.URL
	// Heard is told of each question, and of why it is not answered, if so. Nil means nobody.
	Heard func(refused error)

	complained atomic.Int64 // when it last did, in Unix seconds
}

// complain warns of a question that is not answered, once a minute: no page shows it where
// nginx asks, and a proxy that is set up wrong goes on asking.
func (f *ForwardAuth) complain(r *http.Request, err error) {
	now, last := time.Now().Unix(), f.complained.Load()
	if now-last < 60 || !f.complained.CompareAndSwap(last, now) {
		return
	}
	orDiscard(f.Gate.Log).Warn("a proxy in front asked, and is not answered", "event", "forward_auth.refused", "peer", r.RemoteAddr,
		"dialect", string(f.Dialect), "request_id", web.NoteOf(r.Context()).ID, "err", err.Error())
}

// IdentityHeaders are what each answer of 2xx tells of who is signed in, empty where there
// is nothing to say: a header that is missing would leave the client's own in its place
// (CVE-2026-30851).
var IdentityHeaders = []string{"Authorization", "X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Request-Id"}

// inquiry is what a proxy asked, on the way to the answer.
type inquiry struct {
	refused error // it is not clear, or not heard
	head    bool  // it was asked by HEAD
}

type inquiryKey struct{}

// isAsked reports whether a request is one that a proxy in front asks about, and carries itself.
func isAsked(ctx context.Context) bool {
	_, ok := ctx.Value(inquiryKey{}).(inquiry)
	return ok
}

// Handler reads the question, and hands the request that it is about to around, which is
// made of f itself: so the access line is about that request.
func (f *ForwardAuth) Handler(around func(http.Handler) http.Handler) http.Handler {
	next := around(http.HandlerFunc(f.answer))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 { // nobody reads it, so nothing behind it may be taken for a request
			w.Header().Set("Connection", "close")
		}
		q := inquiry{head: r.Method == http.MethodHead}
		asked, err := f.read(r)
		if err != nil {
			asked, q.refused = r, err
		}
		next.ServeHTTP(w, asked.WithContext(context.WithValue(asked.Context(), inquiryKey{}, q)))
	})
}

// answer answers the question about r.
func (f *ForwardAuth) answer(w http.ResponseWriter, r *http.Request) {
	q, _ := r.Context().Value(inquiryKey{}).(inquiry)
	out := &forwarded{ResponseWriter: w, nginx: f.Dialect == Nginx}
	span.From(r.Context()).Flag(span.ForwardAuth)
	if f.Heard != nil {
		f.Heard(q.refused)
	}
	out.Header()["Cache-Control"], out.Header()["Vary"] = []string{"no-store"}, []string{"Cookie"}
	if q.refused != nil {
		web.NoteOf(r.Context()).Decision = Refused
		f.complain(r, q.refused)
		web.RespondProblem(out, r, q.refused)
		return
	}
	out.origin = f.PublicURL.Scheme + "://" + canonicalHost(r.Host)
	out.bodyless = r.Method == http.MethodHead && !q.head
	web.Handler(f.serve).ServeHTTP(out, r)
}

// read is the request that r asks about. The error is a *web.Error.
func (f *ForwardAuth) read(r *http.Request) (*http.Request, error) {
	path := r.URL.EscapedPath()
	if path != asksAt && !(f.Dialect == Envoy && strings.HasPrefix(path, asksAt+"/")) {
		return nil, &web.Error{Status: http.StatusNotFound, Code: "not_found", Detail: "The proxy in front asks at {path} here, and nothing else is served.", Args: web.Args{"path": asksAt}}
	}
	if !web.IsTrusted(f.Trusted, web.PeerOf(r)) {
		return nil, &web.Error{Status: http.StatusForbidden, Code: "untrusted_proxy", Title: "Nobody is answered here",
			Detail: "Only proxies in trusted_proxies may ask. Whoever runs the gateway can list this one there.", Err: errors.New("asked by a peer outside of trusted_proxies")}
	}
	asked, err := f.Dialect.request(r, f.PublicURL)
	if err != nil {
		return nil, &web.Error{Status: http.StatusForbidden, Code: "unclear_request", Title: "It is not clear what is asked about",
			Detail: "The proxy in front has to say which request it asks about, once and in the headers of its dialect, {dialect}.", Args: web.Args{"dialect": string(f.Dialect)}, Err: err}
	}
	// Where a route serves every host, whoever asks could have the browser sent to any.
	if name, _, ok := cleanHost(asked.Host); !ok || !f.Gate.Router.NamesHost(name) && !f.Gate.isPublicHost(name) {
		return nil, &web.Error{Status: http.StatusForbidden, Code: "unknown_host", Title: "This host is not known here",
			Detail: "Behind a proxy that asks, the hosts are those that routes name (match.host) and that of public_url.", Err: ErrNoHost}
	}
	return asked.WithContext(auth.WithoutForm(asked.Context())), nil
}

func (f *ForwardAuth) serve(w http.ResponseWriter, r *http.Request) error {
	g := f.Gate
	d := &Decision{}
	g.decide(d, w, r)
	if d.Login != nil && d.Login.Session != nil {
		login := *d.Login
		login.Session = undelivered{login.Session}
		d.Login = &login
	}
	switch d.Outcome {
	case Allowed, Public, Preflight:
		return f.pass(w, r, d)
	case Own:
		return &web.Error{Status: http.StatusForbidden, Code: "own_page", Detail: "This address is the gateway's own, and no app's. The proxy in front has to send it to the gateway."}
	case Refused:
		if e, ok := errors.AsType[*web.Error](d.Err); ok && e.Status == http.StatusMisdirectedRequest {
			refused := *e // the browser reached whom it meant to
			refused.Status = http.StatusForbidden
			return &refused
		}
	}
	return g.turnAway(w, r, d)
}

// undelivered is a session behind an answer that carries no handle.
type undelivered struct{ auth.Session }

func (undelivered) Deliver(context.Context, http.Header) {}

// pass says that a request may pass, and as whom.
func (f *ForwardAuth) pass(w http.ResponseWriter, r *http.Request, d *Decision) error {
	g, note := f.Gate, web.NoteOf(r.Context())
	if d.Route.Answer != nil {
		return &web.Error{Status: http.StatusForbidden, Code: "answered_here", Detail: "The gateway answers at this address itself, and no app does. The proxy in front has to send it to the gateway."}
	}
	if err := g.count(w, r, d, note); err != nil {
		return err
	}
	if to := g.wayRound(r, d); to != "" {
		w.Header()["Location"] = []string{to}
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	token, err := g.token(r.Context(), d.Route, d.Login)
	if err != nil && !d.Route.Policy.Public {
		if d.Err = err; errors.Is(err, auth.ErrAnonymous) {
			return g.challenge(w, r, err)
		}
		return g.unavailable(w, r, d)
	}
	c := &carriage{in: r, route: d.Route, login: d.Login, target: &d.Target, up: &d.Up, token: token, note: note, log: orDiscard(g.Log)}
	if d.Outcome == Preflight {
		c.login = nil
	}
	secret, bad := c.credentialOf()
	if bad != nil {
		return bad
	}
	if g.signsOut(r, d) { // the app has the request next; what clears the cookie is not for it
		if _, err := g.SignOut(http.Header{}, r); err != nil {
			return err
		}
		note.Decision = "signed-out"
	}
	f.identity(w.Header(), c, secret)
	w.WriteHeader(http.StatusOK)
	return nil
}

// identity puts into h what the front proxy is to put onto the request.
func (f *ForwardAuth) identity(h http.Header, c *carriage, secret string) {
	up := http.Header{}
	if lines := c.in.Header["Authorization"]; c.login == nil && c.route.pass["Authorization"] && len(lines) == 1 {
		up["Authorization"] = lines // the client's own, which the route lets pass
	}
	for _, name := range setIdentity(up, c.login, c.token, nil, false) {
		c.log.Warn("a claim cannot be a header and was left out", "request_id", c.note.ID, "route", c.route.label, "header", name)
	}
	c.route.up.apply(up, c)
	if c.route.credential != "" {
		up[c.route.credential] = []string{secret}
	}
	up["X-Request-Id"] = []string{c.note.ID}
	for _, name := range f.Gate.Router.Told() {
		h[name] = []string{strings.Join(up[name], ", ")}
	}
	if f.Dialect.TellsCookies() {
		cookies := http.Header{"Cookie": c.in.Header["Cookie"]}
		if f.Gate.OwnCookie != nil {
			stripCookies(cookies, f.Gate.OwnCookie)
		}
		h["Cookie"] = []string{strings.Join(cookies["Cookie"], "; ")}
	}
}

// Told are the headers that a front proxy is told to put onto requests, whatever their
// route: IdentityHeaders, and what routes set besides. It has to take each from the answer,
// and never from the client.
func (rt *Router) Told() []string { return rt.told }

func (rt *Router) prepareTold(routes []*Route) {
	rt.told = slices.Clone(IdentityHeaders)
	for _, r := range routes {
		names := []string{r.credential}
		for _, l := range r.up.lines {
			names = append(names, l.name)
		}
		for _, name := range names {
			// A browser's own header stays its own: other routes say nothing of it.
			if name != "" && !inject.IsBrowsers(name) && !slices.Contains(rt.told, name) {
				rt.told = append(rt.told, name)
			}
		}
	}
	slices.Sort(rt.told[len(IdentityHeaders):])
}

// forwarded is the way of an answer through the front proxy to the browser.
type forwarded struct {
	http.ResponseWriter
	nginx    bool
	origin   string // of the request that is asked about
	bodyless bool   // the browser asked for the header alone, and the proxy did not
	wrote    bool
}

// Unwrap is for http.ResponseController.
func (w *forwarded) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *forwarded) WriteHeader(status int) {
	if w.wrote {
		return
	}
	w.wrote = true
	h := w.Header()
	if at := h.Get("Location"); strings.HasPrefix(at, "/") {
		h.Set("Location", w.origin+at) // the proxy would take it for a path of the gateway's
	}
	if w.bodyless {
		h.Del("Content-Length")
	}
	if w.nginx {
		switch { // auth_request knows no other
		case status < 300 || status == http.StatusUnauthorized:
		case status < 400:
			status = http.StatusUnauthorized
		default:
			status = http.StatusForbidden
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *forwarded) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.ResponseWriter.Write(p)
}
