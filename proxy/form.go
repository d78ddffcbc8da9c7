package proxy

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/inject"
	"github.com/evergate/evergate/internal/web"
)

// Form signs people in by the app's own login form: the gateway fills it in, once for
// a session, and once more where the app shows its login page again. The app's cookies
// stay with the session; the browser neither gets nor sends them.
//
// A Form belongs to one Route.
type Form struct {
	// Login is the path of the login page, as the app knows it, with a query if it has
	// one.
	Login string
	// User is who signs in there. It may hold the placeholders of [inject.Words]. ""
	// fills in no user, for apps that ask for a password alone.
	User string
	// Password is the password for all, and PasswordFrom one that is made of claims.
	// One of them is set.
	Password     Secret
	PasswordFrom string
	// UserField and PasswordField are the names of the fields. "" finds them.
	UserField, PasswordField string
	// Fields are further fields to fill in, by name.
	Fields map[string]string
	// Statuses mean that the app wants a sign-in. Nil is 401.
	Statuses []int
	// InPage says that the app shows the form in place of any page, with status 200: the
	// beginning of each page is looked at, and the app is asked not to compress them. Otherwise the app is known to want a sign-in where it sends people to
	// Login, and where Login is what they ask for.
	InPage bool
	// BrowserCookies are cookies of the app that its scripts need. They are the
	// browser's, as they are without a Form.
	BrowserCookies []string
	// Cookie is one that the app sets for who is signed in. "" takes any for it.
	Cookie string
	// Logout is the path by which the app signs people out, or "".
	Logout string

	user, password []inject.Part
	login, logout  *url.URL
	names          string // of jars, before that of the target

	mu       sync.Mutex // guards what follows
	signings map[string]*signing
	paces    map[string]*pace  // of sessions
	failures map[string]*pause // of users
	told     atomic.Bool       // the log has heard that a jar is full
}

const (
	maxPage  = 1 << 20  // of a login page, in bytes
	maxPeek  = 64 << 10 // of a page that may be one
	formTime = 30 * time.Second
	calmTime = 5 * time.Minute
)

func (f *Form) prepare(r *Route, fault func(key, format string, args ...any)) {
	const at = "upstream_auth.form."
	path := func(key, value string) *url.URL {
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "" || u.Host != "" || u.Fragment != "" || !strings.HasPrefix(value, "/") || strings.HasPrefix(value, "//") {
			fault(at+key, "%q is no path of the app; write it as /login", value)
			return &url.URL{Path: "/"}
		}
		return u
	}
	f.login = path("login", f.Login)
	if f.Logout != "" {
		f.logout = path("logout", f.Logout)
	}
	template := func(key, value string) (parts []inject.Part) {
		if value == "" {
			return nil
		}
		parts, err := inject.Parse(value)
		if err != nil {
			fault(at+key, "%q: %s", value, err)
		}
		return parts
	}
	f.user, f.password = template("user", f.User), template("password", f.PasswordFrom)
	if (f.Password == nil) == (f.PasswordFrom == "") {
		fault("upstream_auth.form", "want one of password and password_file")
	}
	switch {
	case r.Policy.Public:
		fault("upstream_auth.form", "it needs a session, and a public route has none for everybody")
	case r.Bearer:
		fault("upstream_auth.form", "it needs a session, and clients with a token of their own (bearer) have none")
	}
	if f.Statuses == nil {
		f.Statuses = []int{http.StatusUnauthorized}
	}
	f.names = "form\x00" + r.Host + "\x00" + r.pattern() + "\x00" + strings.Join(r.Methods, ",") + "\x00" + f.Login + "\x00"
	f.signings, f.paces, f.failures = map[string]*signing{}, map[string]*pace{}, map[string]*pause{}
}

// visit is one request at an app with a form.
type visit struct {
	f    *Form
	c    *carriage
	t    *target
	name string // what the session keeps the jar under
	user string // who it is at the app
	path string // of the request, as the app knows it
}

// roundTrip sends a request with the session's cookies of the app, signing in before
// where there are none, and once more where the app asks for it.
func (f *Form) roundTrip(req *http.Request, c *carriage, t *target) (*http.Response, error) {
	if c.login == nil || c.login.Session == nil {
		res, err := t.send(req, c) // a CORS preflight, which is nobody's
		if err == nil {
			delete(res.Header, "Set-Cookie")
		}
		return res, err
	}
	v := &visit{f: f, c: c, t: t, name: f.names + t.name, path: t.base + c.up.Path}
	var ok bool
	if v.user, ok = fillIn(f.user, c); !ok || f.User != "" && v.user == "" || strings.ContainsFunc(v.user, inject.IsControl) {
		return nil, noAppUser(v.user)
	}
	leaving := f.logout != nil && v.path == f.logout.EscapedPath() && within(f.logout.Query(), queryOf(c.up.RawQuery))
	var atLeast uint64
	if leaving { // with older cookies nobody is signed out
		atLeast = auth.Newest
	}
	held, _, err := v.load(req.Context(), atLeast)
	if err != nil {
		return nil, err
	}
	var lines []string
	if !leaving && !held.usable(v.user, time.Now()) {
		if held, lines, err = v.signIn(req, held.Made); err != nil {
			return nil, err
		}
	}
	res, err := v.send(req, &held)
	if err != nil {
		return nil, err
	}
	if !leaving && v.asks(res, &held) {
		if res, held, lines, err = v.once(req, res, held, lines); err != nil {
			return nil, err
		}
	}
	v.learn(req.Context(), res, held)
	if leaving {
		v.forget(req.Context(), held)
	}
	if len(lines) > 0 {
		res.Header["Set-Cookie"] = append(res.Header["Set-Cookie"], lines...)
	}
	return res, nil
}

// once signs in again and sends the request once more: res is the app's login page.
// Where somebody has signed in meanwhile that is good enough. An app that is asked too
// often is left alone, and its answer is what the browser gets.
func (v *visit) once(req *http.Request, res *http.Response, held jar, lines []string) (*http.Response, jar, []string, error) {
	again := onceMore(req)
	fresh, more, err := v.signIn(req, held.Made)
	if errors.Is(err, errPace) {
		return res, held, lines, nil
	}
	discard(res)
	if err != nil {
		return nil, held, nil, err
	}
	lines = append(lines, more...)
	if again == nil {
		return nil, held, nil, &web.Error{Status: http.StatusServiceUnavailable, Code: "signed_in_again", Title: "Send that once more, please",
			Detail: "The app behind this address had signed you out. You are signed in again, but what you sent did not get there: go back and send it once more.",
			Err:    errors.New("upstream showed its login page to a request whose body cannot be sent twice"), RetryAfter: time.Second}
	}
	if res, err = v.send(again, &fresh); err != nil {
		return nil, fresh, nil, err
	}
	if !isRedirect(res.StatusCode) && v.asks(res, &fresh) {
		v.change(req.Context(), fresh, func(j jar) (jar, bool) {
			j.Calm = time.Now().Add(calmTime)
			return j, true
		})
	}
	return res, fresh, lines, nil
}

// send sends req with the cookies of the jar.
func (v *visit) send(req *http.Request, held *jar) (*http.Response, error) {
	out := *req
	out.Header = req.Header.Clone()
	delete(out.Header, "Cookie")
	if cookies := held.header(v.path, time.Now(), req.Header["Cookie"]); cookies != nil {
		out.Header["Cookie"] = cookies
	}
	out.Header["Accept-Encoding"] = v.encoding(req.Header)
	return v.t.send(&out, v.c)
}

// encoding is what the app is asked for. Some apps know a browser again by it, so the
// gateway asks for its own pages in the same way, and has to read what comes.
func (v *visit) encoding(h http.Header) []string {
	if !v.f.InPage && hasToken(h, "Accept-Encoding", "gzip") {
		return []string{"gzip"}
	}
	return []string{"identity"}
}

// asks reports whether an answer is the app's login page, or leads there.
func (v *visit) asks(res *http.Response, held *jar) bool {
	f, get := v.f, v.c.in.Method == http.MethodGet || v.c.in.Method == http.MethodHead
	switch {
	case time.Now().Before(held.Calm) && !isRedirect(res.StatusCode):
		return false
	case slices.Contains(f.Statuses, res.StatusCode):
		return true
	case f.InPage:
		return get && res.StatusCode == http.StatusOK && v.showsForm(res)
	case isRedirect(res.StatusCode):
		u, ok := v.resolve(res.Header.Get("Location"), v.path)
		return ok && f.isLogin(u)
	}
	return get && res.StatusCode == http.StatusOK && f.isLogin(&url.URL{RawPath: v.path, Path: unescaped(v.path), RawQuery: v.c.up.RawQuery})
}

func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// isLogin reports whether u is the login page, whatever else is in its query.
func (f *Form) isLogin(u *url.URL) bool {
	return u.EscapedPath() == f.login.EscapedPath() && within(f.login.Query(), u.Query())
}

func within(want, query url.Values) bool {
	for name, values := range want {
		if !slices.Equal(query[name], values) {
			return false
		}
	}
	return true
}

func queryOf(raw string) url.Values { return (&url.URL{RawQuery: raw}).Query() }

func unescaped(path string) string {
	p, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	return p
}

// showsForm looks at the beginning of a page for the login form.
func (v *visit) showsForm(res *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "text/html" && kind != "application/xhtml+xml" || res.Header.Get("Content-Encoding") != "" || v.c.in.Method == http.MethodHead {
		return false
	}
	head, err := io.ReadAll(io.LimitReader(res.Body, maxPeek))
	rest := io.Reader(res.Body)
	if err != nil {
		rest = broken{err} // as it would have come
	}
	res.Body = &peeked{io.MultiReader(bytes.NewReader(head), rest), res.Body}
	_, shows := findForm(head, v.f.UserField, v.f.PasswordField, v.f.User != "")
	return shows
}

// peeked is a body whose beginning was looked at.
type peeked struct {
	io.Reader
	io.Closer
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
