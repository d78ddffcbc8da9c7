package attacks

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// What the sections about cookies, renewal and theft need of a lab besides.

// sessionCookie is the name of the session's cookie.
const sessionCookie = "__Host-Http-evergate"

// tryOn is try with another lab for some of the cases.
func (s *section) tryOn(t *testing.T, usual *lab, others map[string]*lab) {
	labs := map[*lab]bool{usual: true}
	for _, a := range s.attacks {
		t.Run(a.id, func(t *testing.T) {
			l := usual
			if other := others[a.id]; other != nil {
				l = other
				labs[l] = true
			}
			of := l.of(t)
			a.run(t, of)
			if !of.looked {
				t.Error("the case does not say what the app, the store and the audit log are to hold: see lab.saw")
			}
			of.unharmed()
		})
	}
	for l := range labs {
		l.kept(t)
	}
}

// labProviders are the providers of labs that have one, by the lab's folder.
var labProviders sync.Map

// provider is where the lab's people sign in.
func (l *lab) provider() *oidctest.Provider {
	l.t.Helper()
	p, ok := labProviders.Load(l.dir)
	if !ok {
		l.t.Fatal("this lab has no provider")
	}
	return p.(*oidctest.Provider)
}

// providerLab starts a lab whose people are those of a provider, and whose access tokens live
// for ttl. What s has for identity are further keys of the provider. With tokens of two seconds and a rotation_grace of one, a handle rotates every two.
func providerLab(t *testing.T, ttl time.Duration, s setup) *lab {
	t.Helper()
	p := oidctest.Start(t, oidctest.Config(func(c *idp.Config) { c.AccessTTL = ttl }))
	p.Turn(func(k *idp.Knobs) { k.NoPAR = true }) // what is asked for is then in the address, to be looked at
	s.identity = fmt.Sprintf("  - oidc:\n      issuer: %s\n      client_id: %s\n      client_secret_file: oidc.secret\n%s", p.Issuer, p.ClientID, s.identity)
	if s.files == nil {
		s.files = map[string]string{}
	}
	s.files["oidc.secret"] = p.ClientSecret
	l := newLab(t, s)
	l.knows(p)
	return l
}

// knows makes p the provider of the lab, and the lab its client.
func (l *lab) knows(p *oidctest.Provider) {
	l.t.Helper()
	p.ChangeClient(func(c *idp.Client) {
		c.RedirectURIs = append(c.RedirectURIs, "https://"+l.host+"/.evergate/callback/oidc")
		c.PostLogoutRedirectURIs = append(c.PostLogoutRedirectURIs, "https://"+l.host+"/.evergate/logout")
	})
	labProviders.Store(l.dir, p)
}

// ring is the key ring of the lab: with it a case makes what the gateway itself could have made.
func (l *lab) ring() *session.Ring {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "ring.key"))
	if err != nil {
		text, err = os.ReadFile(filepath.Join(l.dir, "data", "cookie.key"))
	}
	if err != nil {
		l.t.Fatal(err)
	}
	ring, err := session.NewRing(secret.New(string(text)))
	return must(l.t, ring, err)
}

// sidIn is the session's own of the cookies that a browser sends.
func sidIn(t *testing.T, cookies string) string {
	t.Helper()
	for pair := range strings.SplitSeq(strings.TrimPrefix(cookies, "Cookie: "), "; ") {
		if value, ok := strings.CutPrefix(pair, sessionCookie+"="); ok {
			return value
		}
	}
	t.Fatalf("there is no %s among the cookies", sessionCookie)
	return ""
}

// jar is a browser's cookies for gw.test.
type jar struct {
	l     *lab
	agent string
	all   map[string]string
}

func (l *lab) newJar(agent string) *jar { return &jar{l, agent, map[string]string{}} }

// copy is what somebody has who copied the jar.
func (j *jar) copy(agent string) *jar { return &jar{j.l, agent, maps.Clone(j.all)} }

// lines are the header lines of a request from it.
func (j *jar) lines(more ...string) []string {
	lines := append([]string{"User-Agent: " + j.agent, "Accept: text/html"}, more...)
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(j.all)) {
		pairs = append(pairs, name+"="+j.all[name])
	}
	if len(pairs) > 0 {
		lines = append(lines, "Cookie: "+strings.Join(pairs, "; "))
	}
	return lines
}

// keep does with the cookies of an answer what a browser does.
func (j *jar) keep(r *reply) *reply {
	j.l.t.Helper()
	for _, c := range r.Cookies() {
		if strings.HasPrefix(c.Name, sessionCookie) && !(c.Secure && c.HttpOnly && c.Path == "/" && c.Domain == "" && c.SameSite == http.SameSiteLaxMode) {
			j.l.t.Errorf("the cookie %s is set or deleted as %q, want Secure, HttpOnly, Path=/, SameSite=Lax and no Domain", c.Name, strings.Replace(c.Raw, c.Value, "…", 1))
		}
		if c.MaxAge < 0 || c.Value == "" {
			delete(j.all, c.Name)
			continue
		}
		j.all[c.Name] = c.Value
		j.l.secrets.add("the cookie "+c.Name, c.Value)
	}
	return r
}

// get asks for a page as a browser does, which comes again where it is told to.
func (j *jar) get(target string, more ...string) *reply {
	j.l.t.Helper()
	for range 3 {
		r := j.keep(j.l.get(target, j.lines(more...)...))
		if r.StatusCode != http.StatusTemporaryRedirect {
			return r
		}
	}
	j.l.t.Fatalf("%s sends a browser back to itself for ever", target)
	return nil
}

// sid is the session cookie.
func (j *jar) sid() string { return j.all[sessionCookie] }

// signOut signs the jar's owner out.
func (j *jar) signOut() *reply {
	j.l.t.Helper()
	return j.keep(j.l.post("/.evergate/logout", "", j.lines("Origin: https://"+j.l.host)...))
}

// enter signs somebody in at the lab's provider with the jar at hand. It is no part of what a
// case leaves behind.
func (j *jar) enter(username, password string) {
	j.l.t.Helper()
	j.l.before.audit = len(j.l.events()) // what is waited for is this sign-in's event
	j.keep(j.callback(username, password)).status(j.l.t, http.StatusSeeOther)
	if j.sid() == "" {
		j.l.t.Fatalf("sign in as %s: got no session", username)
	}
	j.l.settled("session.started")
}

// callback is enter without a look at what comes of it.
func (j *jar) callback(username, password string) *reply {
	j.l.t.Helper()
	p := j.l.provider()
	r := j.keep(j.l.get("/.evergate/login/oidc?rd=/", j.lines()...))
	to := r.Header.Get("Location")
	if !strings.HasPrefix(to, p.Issuer) {
		j.l.t.Fatalf("to sign in: got %d and %q, want to be sent to %s", r.StatusCode, to, p.Issuer)
	}
	back := p.SignIn(j.l.t, nil, to, username, password)
	return j.l.get(back.RequestURI(), j.lines()...)
}

// settled waits until the audit log has the event that has to come, and forgets what was until now.
func (l *lab) settled(event string) {
	l.t.Helper()
	l.hears(event)
	l.before = l.marks()
}

// hears waits for an event of the audit log since the case began, and returns it.
func (l *lab) hears(event string) map[string]any {
	l.t.Helper()
	return l.heard(l.before.audit, event)
}

// clears fails the case unless the answer deletes the cookie, with the attributes that it was set with.
func (l *lab) clears(r *reply, name string) {
	l.t.Helper()
	for _, c := range r.Cookies() {
		if c.Name == name && c.MaxAge < 0 && c.Value == "" && c.Path == "/" && c.Secure && c.HttpOnly && c.Domain == "" && c.SameSite == http.SameSiteLaxMode {
			return
		}
	}
	l.t.Errorf("the cookie %s is not deleted: got %q", name, r.Header["Set-Cookie"])
}

// within does f in no more time than that. Where it took longer it does it again, three times in all:
// what is to be excluded takes its time every time, and a busy machine does not.
func within(t *testing.T, most time.Duration, what string, f func()) {
	t.Helper()
	var took time.Duration
	for range 3 {
		began := time.Now()
		f()
		if took = time.Since(began); took <= most {
			return
		}
	}
	t.Errorf("%s took %v, and more than %v three times", what, took, most)
}

// line is one connection that many requests go over: thousands would spend their time on handshakes.
type line struct {
	l  *lab
	c  *tls.Conn
	in *bufio.Reader
}

func (l *lab) line() *line { return &line{l: l} }

// send writes one request, and returns its answer.
func (x *line) send(bytes string) *reply {
	x.l.t.Helper()
	for range 2 {
		if x.c == nil {
			x.c = x.l.dial(gatewayHost)
			x.in = bufio.NewReader(x.c)
		}
		_ = x.c.SetDeadline(time.Now().Add(patience))
		_, err := io.WriteString(x.c, bytes)
		var res *http.Response
		if err == nil {
			res, err = http.ReadResponse(x.in, nil)
		}
		if err != nil { // the gateway had closed it
			x.c.Close()
			x.c = nil
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			x.l.t.Fatalf("the gateway's answer breaks off: %v", err)
		}
		if res.Close {
			x.c.Close()
			x.c = nil
		}
		return &reply{res, string(body)}
	}
	x.l.t.Fatalf("got no answer to %.200q", bytes)
	return nil
}

// get asks for a page of gw.test.
func (x *line) get(target string, lines ...string) *reply {
	x.l.t.Helper()
	return x.send(strings.Replace(x.l.request("GET", target, lines...), "Connection: close\r\n", "", 1))
}

// post sends a form.
func (x *line) post(target, form string, lines ...string) *reply {
	x.l.t.Helper()
	lines = append(lines, "Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(form)))
	return x.send(strings.Replace(x.l.request("POST", target, lines...), "Connection: close\r\n", "", 1) + form)
}
