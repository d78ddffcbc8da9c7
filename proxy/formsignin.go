package proxy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/evergate/evergate/auth"
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
	held, version, err := v.load(ctx, auth.Newest) // another gateway may have just done it
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
	for range keepTries {
		if err = v.save(ctx, &fresh, version); !errors.Is(err, auth.ErrChanged) {
			break
		}
		var now jar
		if now, version, err = v.load(ctx, auth.Newest); err != nil {
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
