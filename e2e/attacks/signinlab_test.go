package attacks

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// signinConfig is a provider's entry below identity. Each of more is a further key of it.
func signinConfig(name, issuer string, more ...string) string {
	keys := append([]string{"name: " + name, "issuer: " + issuer, "client_id: " + oidctest.ClientID}, more...)
	if !strings.Contains(strings.Join(keys, " "), "client_auth") {
		keys = append(keys, "client_secret_file: oidc.secret")
	}
	return "  - oidc:\n      " + strings.Join(keys, "\n      ") + "\n"
}

// signinLab is a lab with providers, which know its addresses. S is what it has beside them.
func signinLab(t *testing.T, s setup, providers map[string]*oidctest.Provider) *lab {
	t.Helper()
	if s.files == nil {
		s.files = map[string]string{}
	}
	s.files["oidc.secret"] = oidctest.ClientSecret
	l := newLab(t, s)
	l.secrets.add("the client secret", oidctest.ClientSecret)
	l.providers = providers
	for name, p := range providers {
		p.ChangeClient(func(c *idp.Client) {
			c.RedirectURIs = append(c.RedirectURIs, "https://"+l.host+"/.evergate/callback/"+name)
			c.PostLogoutRedirectURIs = append(c.PostLogoutRedirectURIs, "https://"+l.host+"/.evergate/logout")
		})
	}
	return l
}

// signinFlow is a sign-in under way: what the browser holds after the gateway sent it away.
type signinFlow struct {
	provider string
	to       *url.URL // where it was sent
	cookie   string   // "Cookie: …"
}

// signinVisit asks for a page as somebody who opens it in a browser.
func (l *lab) signinVisit(target string, lines ...string) *reply {
	l.t.Helper()
	return l.get(target, append(lines, "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site")...)
}

// signinSaw is lab.saw without what the gateway tells of its providers: it does so beside, and
// in its own time.
func (l *lab) signinSaw(want traces) []*got {
	l.t.Helper()
	slices.Sort(want.events)
	var events []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		events = nil
		for _, e := range l.events()[l.before.audit:] {
			name := fmt.Sprint(e["event"])
			if reason, ok := e["reason"]; ok {
				name += "/" + fmt.Sprint(reason)
			}
			if !strings.HasPrefix(name, "provider.") {
				events = append(events, name)
			}
		}
		if slices.Sort(events); slices.Equal(events, want.events) {
			break
		}
	}
	if !slices.Equal(events, want.events) {
		l.t.Errorf("the audit log has %q, want %q", events, want.events)
	}
	return l.saw(traces{app: want.app, sessions: want.sessions, any: true})
}

// signinBegin asks the gateway for a sign-in at a provider that ends at /wanted.
func (l *lab) signinBegin(provider string, lines ...string) *signinFlow {
	l.t.Helper()
	return l.signinAway(provider, l.get("/.evergate/login/"+provider+"?rd=/wanted", lines...))
}

// signinAway reads an answer that has to send the browser to a provider.
func (l *lab) signinAway(provider string, r *reply) *signinFlow {
	l.t.Helper()
	to, err := r.Location()
	if r.StatusCode != http.StatusSeeOther || err != nil || to.Host == l.host {
		l.t.Fatalf("got %d to %q %.300q, want the way to the provider", r.StatusCode, r.Header.Get("Location"), r.body)
	}
	return &signinFlow{provider, to, l.cookiesOf(r)}
}

// signinAnswer is where the provider sends the browser back to, once user has signed in there.
func (l *lab) signinAnswer(f *signinFlow, user idp.User) *url.URL {
	l.t.Helper()
	p := l.providers[f.provider]
	if p == nil {
		p = l.providers[strings.TrimSuffix(f.provider, "-info")]
	}
	back := p.SignIn(l.t, nil, f.to.String(), user.Username, user.Password)
	l.secrets.add("a code", back.Query().Get("code"))
	return back
}

// signinWhole is a whole sign-in, up to what the gateway answers to the callback.
func (l *lab) signinWhole(provider string, user idp.User) *reply {
	l.t.Helper()
	f := l.signinBegin(provider)
	return l.signinVisit(l.signinAnswer(f, user).RequestURI(), f.cookie)
}

// signinDone fails the case unless r ends a sign-in, and returns what the browser then sends.
func (l *lab) signinDone(r *reply) (cookie string) {
	l.t.Helper()
	if r.StatusCode != http.StatusSeeOther || !strings.HasPrefix(r.Header.Get("Location"), "/.evergate/landed") || signinSession(r) == "" {
		l.t.Errorf("got %d to %q %.300q, want to be signed in", r.StatusCode, r.Header.Get("Location"), r.body)
	}
	return l.cookiesOf(r)
}

// signinSession is the session cookie that an answer sets, or "".
func signinSession(r *reply) string {
	for _, c := range r.Cookies() {
		if strings.HasSuffix(c.Name, "evergate") && c.MaxAge >= 0 {
			return c.Value
		}
	}
	return ""
}

// signinAs has somebody sign in before a case begins: what that leaves behind is none of its.
func (l *lab) signinAs(provider string, user idp.User) (cookie string) {
	l.t.Helper()
	before := len(l.events())
	cookie = l.signinDone(l.signinWhole(provider, user))
	l.heard(before, "session.started")
	l.before = l.marks()
	return cookie
}

// signinRefused fails the case if an answer signs somebody in, sends the browser on or tells
// what went wrong in the provider's words. It returns the event that goes with it.
func (l *lab) signinRefused(r *reply) (event string) {
	l.t.Helper()
	if s := signinSession(r); s != "" {
		l.t.Errorf("the answer %d sets a session cookie", r.StatusCode)
	}
	if to := r.Header.Get("Location"); to != "" {
		l.t.Errorf("the answer %d leads to %q, want a page that says that nobody was signed in", r.StatusCode, to)
	}
	if r.Header.Get("Content-Security-Policy") == "" || !strings.Contains(r.Header.Get("Cache-Control"), "no-store") {
		l.t.Errorf("the page has Content-Security-Policy %q and Cache-Control %q", r.Header.Get("Content-Security-Policy"), r.Header.Get("Cache-Control"))
	}
	switch r.StatusCode {
	case http.StatusBadGateway, http.StatusForbidden:
		return "login.failed/refused"
	case http.StatusServiceUnavailable:
		return "login.failed/unavailable"
	case http.StatusBadRequest:
		return "login.failed/bad_callback"
	}
	l.t.Errorf("got %d %.300q, want to be refused", r.StatusCode, r.body)
	return ""
}

// signinTurn turns the knobs of a provider until the case is over, from what they were.
func (l *lab) signinTurn(provider string, change func(*idp.Knobs)) {
	p := l.providers[provider]
	before := p.Knobs()
	l.t.Cleanup(func() { p.Turn(func(k *idp.Knobs) { *k = before }) })
	p.Turn(change)
}

// signinJar is what a browser keeps, by name.
type signinJar map[string]string

// take keeps what an answer sets, and drops what it deletes.
func (j signinJar) take(r *reply) {
	for _, c := range r.Cookies() {
		if c.MaxAge < 0 || c.Value == "" {
			delete(j, c.Name)
		} else {
			j[c.Name] = c.Value
		}
	}
}

// line is the header line that sends all of it.
func (j signinJar) line() string {
	var pairs []string
	for name, value := range j {
		pairs = append(pairs, name+"="+value)
	}
	slices.Sort(pairs)
	return "Cookie: " + strings.Join(pairs, "; ")
}
