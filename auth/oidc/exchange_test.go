package oidc_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc"
)

// TestClientAuthentication: exactly the one configured, once, also where it fails.
func TestClientAuthentication(t *testing.T) {
	escaped := url.QueryEscape(clientSecret)
	p := newOP(t)
	p.signIn(p.method())
	if c := p.last(pathToken); c.user != clientID || c.pass != escaped || c.form.Has("client_secret") {
		t.Errorf("basic: got %q with %v, want the form-encoded secret in the header alone", c.user, c.form)
	}
	p = newOP(t)
	p.signIn(p.method(func(c *oidc.Config) { c.ClientAuth = oidc.ClientSecretPost }))
	if c := p.last(pathToken); c.authorization != "" || c.form.Get("client_secret") != clientSecret || c.form.Get("client_id") != clientID {
		t.Errorf("post: got %q with %v, want the secret in the form alone", c.user, c.form)
	}
	p = newOP(t)
	m := p.method()
	login := p.signIn(m)
	p.handle(pathToken, says(401, `{"error":"invalid_client"}`))
	_, err := m.Refresh(t.Context(), login, "")
	unavailable(t, "invalid_client", err)
	if p.count(pathToken) != 2 {
		t.Errorf("got %d requests, want one for each grant", p.count(pathToken))
	}
	if !strings.Contains(p.log.String(), `"level":"ERROR"`) {
		t.Error("nothing tells the operator that the client is not accepted")
	}
}

// TestTokenEndpointAtSignIn: nothing that comes in place of tokens signs anybody
// in, and no secret follows a redirect (S-19).
func TestTokenEndpointAtSignIn(t *testing.T) {
	evil := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed to %s %s", r.Method, r.URL)
	}))
	defer evil.Close()
	for name, row := range map[string]struct {
		h      http.HandlerFunc
		outage bool
	}{
		"302":                 {says(302, "", "Location", evil.URL), true},
		"307":                 {says(307, "", "Location", evil.URL), true},
		"a page":              {says(200, "<html>maintenance</html>", "Content-Type", "text/html"), true},
		"no JSON":             {says(200, "{"), true},
		"nothing":             {says(200, ""), true},
		"a list":              {says(200, "[]"), true},
		"more than a MiB":     {says(200, `{"access_token":"`+strings.Repeat("a", 2<<20)+`"}`), true},
		"503":                 {says(503, `{"error":"temporarily_unavailable"}`), true},
		"429":                 {says(429, ""), true},
		"it hangs up":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"400 invalid_grant":   {says(400, `{"error":"invalid_grant"}`), false},
		"400 invalid_request": {says(400, `{"error":"invalid_request"}`), false},
		"401 invalid_client":  {says(401, `{"error":"invalid_client"}`), true},
		"token_type mac":      {says(200, `{"access_token":"a","token_type":"mac","id_token":"x.y.z"}`), false},
		"no token_type":       {says(200, `{"access_token":"a","id_token":"x.y.z"}`), false},
		"no ID token":         {says(200, `{"access_token":"a","token_type":"bearer"}`), false},
		"no access token":     {says(200, `{"token_type":"bearer","id_token":"x.y.z"}`), false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newOP(t)
			p.handle(pathToken, row.h)
			login, err := p.complete(p.method())
			if login != nil {
				t.Errorf("got a Login")
			}
			if row.outage {
				unavailable(t, name, err)
			} else {
				refusedWith(t, name, err)
			}
			if p.count(pathToken) != 1 {
				t.Errorf("got %d requests, want one", p.count(pathToken))
			}
		})
	}
}

func TestAnEndlessAnswerEnds(t *testing.T) {
	p := newOP(t)
	p.handle(pathToken, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for r.Context().Err() == nil {
			if _, err := fmt.Fprintf(w, "%s", strings.Repeat(" ", 64<<10)); err != nil {
				return
			}
		}
	})
	_, err := p.complete(p.method())
	unavailable(t, "an endless answer", err)
}

func TestTimeout(t *testing.T) {
	p := newOP(t)
	free := make(chan struct{})
	defer close(free)
	p.handle(pathToken, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-free:
		case <-r.Context().Done():
		}
	})
	start := time.Now()
	_, err := p.complete(p.method(func(c *oidc.Config) { c.Timeout = 200 * time.Millisecond }))
	unavailable(t, "no answer", err)
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %v, want the timeout", d)
	}
}

func TestLifetimes(t *testing.T) {
	for said, want := range map[string]time.Duration{
		`300`: 300 * time.Second, `"300"`: 300 * time.Second, `300.9`: 300 * time.Second, `null`: 5 * time.Minute, `0`: 5 * time.Minute,
		`-5`: 5 * time.Minute, `"soon"`: 5 * time.Minute, `{}`: 5 * time.Minute,
	} {
		p := newOP(t)
		p.handle(pathToken, func(w http.ResponseWriter, r *http.Request) {
			p.set(func() {
				p.tokens++
				says(200, `{"access_token":"access-1","token_type":"bearer","refresh_token":"refresh-1","expires_in":`+said+`,"id_token":"`+p.idToken("access-1")+`"}`)(w, r)
			})
		})
		login, err := p.complete(p.method())
		if err != nil {
			t.Errorf("expires_in %s: got %v", said, err)
			continue
		}
		if got := login.AccessToken.Expires.Sub(p.now()).Truncate(time.Second); got != want {
			t.Errorf("expires_in %s: got %v, want %v", said, got, want)
		}
	}
	p := newOP(t)
	p.set(func() { p.answer = func(a map[string]any) { a["expires_in"] = 1e18 } })
	if login := p.signIn(p.method()); login.AccessToken.Expires.Sub(p.now()) > 400*24*time.Hour || !login.AccessToken.Expires.After(p.now()) {
		t.Errorf("an absurd life: got %v", login.AccessToken.Expires.Sub(p.now()))
	}
}

func TestWithoutRefreshToken(t *testing.T) {
	for way, want := range map[oidc.WithoutRefresh]time.Duration{oidc.EndWithAccessToken: 300 * time.Second, oidc.EndWithIDToken: time.Hour} {
		p := newOP(t)
		p.set(func() { p.answer = func(a map[string]any) { delete(a, "refresh_token") } })
		login := p.signIn(p.method(func(c *oidc.Config) { c.WithoutRefresh = way }))
		if !login.RefreshToken.IsZero() || !login.Until.Equal(p.now().Add(want)) {
			t.Errorf("%v: got an end in %v, want %v", way, login.Until.Sub(p.now()), want)
		}
		if !strings.Contains(p.log.String(), "offline_access") {
			t.Errorf("%v: the log does not say what to do: %s", way, p.log)
		}
	}
}

// S-19: what says a thing twice can be read two ways.
func TestAnswersThatSayAThingTwice(t *testing.T) {
	for _, more := range []string{`"access_token":"access-2"`, `"Access_Token":"access-1"`, `"refresh_token":"a","Refresh_Token":"b"`, `"acce\u017f\u017f_token":"access-1"`} {
		p := newOP(t)
		p.handle(pathToken, func(w http.ResponseWriter, r *http.Request) {
			p.set(func() {
				says(200, `{"access_token":"access-1",`+more+`,"token_type":"bearer","id_token":"`+p.idToken("access-1")+`"}`)(w, r)
			})
		})
		_, err := p.complete(p.method())
		refusedWith(t, more, err)
	}
}
