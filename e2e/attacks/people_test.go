package attacks

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// secrets are what must not show anywhere, by what they are.
type secrets struct {
	mu    sync.Mutex // guards texts
	texts map[string]string
}

func (s *secrets) add(what, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.texts == nil {
		s.texts = map[string]string{}
	}
	if len(text) > 8 {
		s.texts[what+" ("+text[:4]+"…)"] = text
	}
}

func (s *secrets) all() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.texts
}

// signIn has a local user sign in, and returns what a browser would then send: "Cookie: …".
// It is no part of what a case leaves behind.
func (l *lab) signIn(user string) (cookie string) {
	l.t.Helper()
	form := url.Values{"username": {user}, "password": {password}, "rd": {"/"}}.Encode()
	before := len(l.events())
	r := l.post("/.evergate/login", form, "Origin: https://"+l.host)
	if r.StatusCode != http.StatusSeeOther {
		l.t.Fatalf("sign in as %s: got %d %.300s", user, r.StatusCode, r.body)
	}
	cookie = l.cookiesOf(r)
	l.heard(before, "session.started")
	l.before = l.marks()
	return cookie
}

// heard waits for an event that comes after as many as there were before, and returns it: the audit
// log is written beside what it tells of.
func (l *lab) heard(before int, event string) (told map[string]any) {
	l.t.Helper()
	l.eventually("the audit log has "+event, func() bool {
		all := l.events()[before:]
		i := slices.IndexFunc(all, func(e map[string]any) bool { return e["event"] == event })
		if i >= 0 {
			told = all[i]
		}
		return i >= 0
	})
	return told
}

// signedIn is signIn, but once for each user of a lab: a password takes its time.
func (l *lab) signedIn(user string) (cookie string) {
	l.t.Helper()
	if l.jars[user] == "" {
		l.jars[user] = l.signIn(user)
	}
	return l.jars[user]
}

// cookiesOf is what a browser sends back after an answer: "Cookie: …", or "" without any.
func (l *lab) cookiesOf(r *reply) string {
	var pairs []string
	for _, c := range r.Cookies() {
		if c.MaxAge >= 0 && c.Value != "" {
			pairs = append(pairs, c.Name+"="+c.Value)
			l.secrets.add("the cookie "+c.Name, c.Value)
		}
	}
	if len(pairs) == 0 {
		return ""
	}
	return "Cookie: " + strings.Join(pairs, "; ")
}

// must returns what a call gave, and fails the test for its error.
func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}
