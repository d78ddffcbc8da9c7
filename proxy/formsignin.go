package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/web"
)

// signing is one sign-in under way. However many requests of a session want one, it
// is made once, and all have its outcome.
type signing struct {
	done chan struct{} // closed once the rest is set
	jar  jar
	err  error
}

// signIn returns a jar that was made after the one called over, signing in where
// nobody else did. Lines are cookies that are the browser's, for the answer. The error
// is errPace where this session signs in too often, one to answer, or one of the way
// to the app.
func (v *visit) signIn(req *http.Request, over string) (held jar, lines []string, err error) {
	key := v.name + v.c.login.Session.ID()
	v.f.mu.Lock()
	s := v.f.signings[key]
	if s == nil {
		s = &signing{done: make(chan struct{})}
		v.f.signings[key] = s
		v.f.mu.Unlock()
		defer func() { // a panic must not leave the others waiting
			if s.err == nil && s.jar.Made == "" {
				s.err = errors.New("the sign-in broke off")
			}
			v.f.mu.Lock()
			delete(v.f.signings, key)
			v.f.mu.Unlock()
			close(s.done)
		}()
		// Others wait for it, so it goes on where the client of this request hangs up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), formTime)
		defer cancel()
		s.jar, lines, s.err = v.lead(ctx, req, key, over)
		return s.jar, lines, s.err
	}
	v.f.mu.Unlock()
	select {
	case <-s.done:
		return s.jar, nil, s.err
	case <-req.Context().Done():
		return jar{}, nil, req.Context().Err()
	}
}

// lead signs in and keeps what comes of it, unless somebody has done so.
func (v *visit) lead(ctx context.Context, req *http.Request, key, over string) (held jar, lines []string, err error) {
	held, version, err := v.load(ctx)
	if err != nil || held.Made != over && held.usable(v.user, time.Now()) {
		return held, nil, err
	}
	password, failed := v.secret()
	if failed != nil {
		return jar{}, nil, failed
	}
	account := v.account(password)
	if wait := v.f.pausedFor(account, time.Now()); wait > 0 {
		return jar{}, nil, refusedForm(errors.New("it failed a moment ago, and is not tried again yet"), wait)
	}
	if !v.f.mayTry(key, time.Now()) {
		return jar{}, nil, fmt.Errorf("%w: %w", errPace, refusedForm(errPace, paceEvery))
	}
	fresh, lines, err := v.perform(ctx, req, password)
	if reason, ok := errors.AsType[*formError](err); ok {
		wait := v.f.failed(account, time.Now())
		v.c.log.Warn("signing in at the app failed", "event", "upstream.sign_in_failed", "request_id", v.c.note.ID, "route", v.c.route.label,
			"upstream", v.t.name, "err", reason, "again_in", wait.String())
		return jar{}, nil, refusedForm(reason, wait)
	}
	if err != nil {
		return jar{}, nil, err
	}
	v.f.succeeded(account)
	v.c.log.Info("signed in at the app", "event", "upstream.signed_in", "request_id", v.c.note.ID, "route", v.c.route.label,
		"session", v.c.login.Session.ID(), "upstream", v.t.name)
	for range 10 {
		if err = v.save(ctx, &fresh, version); !errors.Is(err, auth.ErrChanged) {
			break
		}
		var now jar
		if now, version, err = v.load(ctx); err != nil {
			break
		}
		if now.Made != over && now.usable(v.user, time.Now()) {
			return now, lines, nil // another gateway was faster
		}
	}
	if err != nil {
		return jar{}, nil, err
	}
	return fresh, lines, nil
}

// secret is the password for the app.
func (v *visit) secret() (string, *web.Error) {
	if v.f.Password != nil {
		password, err := v.f.Password()
		if err != nil {
			return "", noSecret(err)
		}
		return password.Reveal(), nil
	}
	password, ok := fillIn(v.f.password, v.c)
	if !ok || password == "" {
		return "", noSecret(errors.New("the claim that password names is not there, or is no text"))
	}
	return password, nil
}

// account tells one attempt from another: what failed with this password may succeed
// with the next one.
func (v *visit) account(password string) string {
	sum := sha256.Sum256([]byte(v.t.name + "\x00" + v.user + "\x00" + password))
	return string(sum[:])
}

// formError says why an app did not let the gateway in. It is for the log.
type formError struct{ reason string }

func (e *formError) Error() string { return e.reason }

func refusedForm(err error, wait time.Duration) *web.Error {
	return &web.Error{Status: http.StatusBadGateway, Code: "upstream_sign_in", Title: "Signing in at the app failed", RetryAfter: max(wait, time.Second),
		Detail: "The app behind this address did not let you in by its login form. If that goes on, whoever runs the gateway finds the reason in its log.",
		Err:    fmt.Errorf("upstream_auth.form: %w", err)}
}

// perform goes through the app's login form as a browser would.
func (v *visit) perform(ctx context.Context, req *http.Request, password string) (jar, []string, error) {
	w := &walk{v: v, ctx: ctx, header: v.bare(req.Header), jar: jar{User: v.user, Made: rand.Text(), Host: v.c.host, Scheme: v.c.scheme}}
	at, err := w.get(v.f.login)
	if err != nil {
		return jar{}, nil, err
	}
	if at.status >= http.StatusInternalServerError {
		return jar{}, nil, &formError{fmt.Sprintf("the login page %s answers %d", v.f.login.EscapedPath(), at.status)}
	}
	form, ok := v.findForm(at.body)
	if !ok {
		return jar{}, nil, &formError{fmt.Sprintf("%s (%d) has no form with the fields for user and password; see login, user_field and password_field", at.url.EscapedPath(), at.status)}
	}
	if form.method != "post" {
		return jar{}, nil, &formError{"the form is not sent by POST: the password would be in the URL"}
	}
	if form.odd != "" {
		return jar{}, nil, &formError{"the form is sent as " + form.odd + ", which is not understood"}
	}
	target := at.url
	if form.base != "" {
		if base, ok := v.resolve(form.base, at.url.EscapedPath()); ok {
			target = base
		}
	}
	if form.action != "" {
		if target, ok = v.resolve(form.action, target.EscapedPath()); !ok {
			return jar{}, nil, &formError{"the form is sent to another place than the app: " + form.action}
		}
	}
	if v.f.User != "" {
		form.values.Set(form.user, v.user)
	}
	form.values.Set(form.password, password)
	for name, value := range v.f.Fields {
		form.values.Set(name, value)
	}
	body, contentType, err := form.encode(form.values)
	if err != nil {
		return jar{}, nil, err
	}
	w.landing = true
	if at, err = w.follow(w.ask(http.MethodPost, target, body, contentType, at.url)); err != nil {
		return jar{}, nil, err
	}
	w.jar.Cookies = slices.DeleteFunc(w.jar.Cookies, func(c jarCookie) bool { return slices.Contains(v.f.BrowserCookies, c.Name) })
	return w.jar, w.lines, v.judge(w, at)
}

func (v *visit) findForm(page []byte) (*pageForm, bool) {
	return findForm(page, v.f.UserField, v.f.PasswordField, v.f.User != "")
}

// judge says why where the app ended up means that it did not let the user in.
func (v *visit) judge(w *walk, at *stop) error {
	named := v.f.Cookie == ""
	for _, c := range w.jar.Cookies {
		named = named || c.Name == v.f.Cookie
	}
	_, again := v.findForm(at.body)
	switch {
	case w.refused || again:
		return &formError{"the app shows its login page again: it does not know the user, or not by that password"}
	case at.status >= http.StatusBadRequest:
		return &formError{fmt.Sprintf("the app answers %d to the form", at.status)}
	case len(w.jar.Cookies) == 0:
		return &formError{"the app set no cookie"}
	case !named:
		return &formError{"the app did not set the cookie " + v.f.Cookie}
	}
	return nil
}

// bare are the headers of the gateway's own requests to the app: what tells of the
// browser and of the person, for many apps tie a session to these.
func (v *visit) bare(h http.Header) http.Header {
	bare := http.Header{"Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"}, "Accept-Encoding": v.encoding(h)}
	keep := func(name string) bool {
		switch name {
		case "User-Agent", "Accept-Language", "Accept-Charset", "X-Request-Id", "Authorization":
			return true
		}
		if strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
		for _, line := range v.c.route.up.lines {
			if line.name == name && !inject.IsBrowsers(name) {
				return true
			}
		}
		return false
	}
	for name, values := range h {
		if keep(name) {
			bare[name] = values
		}
	}
	return bare
}

// walk is a way through the app's pages.
type walk struct {
	v       *visit
	ctx     context.Context
	header  http.Header
	jar     jar
	lines   []string // cookies that are the browser's
	landing bool     // the form was sent
	refused bool     // and led back to the login page
}

// stop is a page on the way.
type stop struct {
	url    *url.URL
	status int
	body   []byte
	next   string // where it leads on to, or ""
}

const maxHops = 5

func (w *walk) get(u *url.URL) (*stop, error) {
	return w.follow(w.ask(http.MethodGet, u, nil, "", nil))
}

// follow goes where the app leads, as long as that is the app.
func (w *walk) follow(at *stop, err error) (*stop, error) {
	for range maxHops {
		if err != nil || at.next == "" {
			return at, err
		}
		u, ok := w.v.resolve(at.next, at.url.EscapedPath())
		if !ok {
			if w.landing {
				return at, nil // elsewhere, with what the app gave
			}
			return nil, &formError{"the login page is at another place than the app: " + at.next}
		}
		if w.landing && !w.v.f.InPage && w.v.f.isLogin(u) {
			w.refused = true
			return at, nil
		}
		at, err = w.ask(http.MethodGet, u, nil, "", at.url)
	}
	if err == nil && at.next != "" {
		return nil, &formError{"the app redirects without end"}
	}
	return at, err
}

// ask sends one request, and takes the cookies of its answer.
func (w *walk) ask(method string, u *url.URL, body []byte, contentType string, from *url.URL) (*stop, error) {
	v := w.v
	address := &url.URL{Scheme: v.t.url.Scheme, Host: v.t.url.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	req, err := http.NewRequestWithContext(w.ctx, method, address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, &formError{"there is no such address: " + u.EscapedPath()}
	}
	req.Header, req.Host = w.header.Clone(), v.c.route.Upstream.hostFor(v.c, v.t)
	path := u.EscapedPath()
	if cookies := w.jar.header(path, time.Now(), nil); cookies != nil {
		req.Header["Cookie"] = cookies
	}
	origin := v.origin(req.Host)
	if from != nil {
		req.Header["Referer"] = []string{origin + from.RequestURI()}
	}
	if method == http.MethodPost {
		req.Header["Content-Type"], req.Header["Origin"] = []string{contentType}, []string{origin}
	}
	res, err := v.t.lines.Load().plain.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	at := &stop{url: u, status: res.StatusCode}
	if at.body, err = readPage(res); err != nil {
		return nil, err
	}
	if isRedirect(res.StatusCode) {
		at.next = res.Header.Get("Location")
	}
	// On this way the gateway is the browser, so it keeps that one's cookies too.
	lines := v.divide(res.Header)
	for _, line := range res.Header["Set-Cookie"] {
		if pair, _, _ := strings.Cut(line, ";"); !v.c.own(cookieName(pair)) {
			w.lines = append(w.lines, line)
			lines = append(lines, line)
		}
	}
	w.jar, _ = w.jar.with(lines, v.reader(path))
	return at, nil
}

// readPage reads the body of a page, or its beginning where that is long.
func readPage(res *http.Response) ([]byte, error) {
	var body io.Reader = res.Body
	if strings.EqualFold(res.Header.Get("Content-Encoding"), "gzip") {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			return nil, &formError{"the page cannot be decompressed: " + err.Error()}
		}
		body = unzipped
	}
	return io.ReadAll(io.LimitReader(body, maxPage))
}

// origin is where the app takes its pages to be.
func (v *visit) origin(host string) string {
	if host == v.c.host {
		return v.c.scheme + "://" + host
	}
	return v.t.url.Scheme + "://" + host
}
