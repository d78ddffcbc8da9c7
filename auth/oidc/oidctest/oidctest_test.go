package oidctest_test

import (
	"errors"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

func status(t *testing.T, c *http.Client, address string) (int, error) {
	t.Helper()
	res, err := c.Get(address)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func TestAProviderThatIsStoppedRefusesConnections(t *testing.T) {
	for name, opts := range map[string][]oidctest.Option{"plain": nil, "TLS": {oidctest.TLS()}} {
		t.Run(name, func(t *testing.T) {
			p := oidctest.Start(t, opts...)
			browser := p.Browser(t)
			document := p.URL() + "/.well-known/openid-configuration"
			if s, err := status(t, browser, document); s != 200 {
				t.Fatalf("got %d, %v; want 200", s, err)
			}
			token, _ := p.Grant(t, browser, "alice", oidctest.Alice.Password, nil)["refresh_token"].(string)
			_, before, _ := p.PublicKey()
			p.Stop()
			if _, err := status(t, browser, document); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("got %v, want a refused connection", err)
			}
			p.Restart()
			if s, err := status(t, browser, document); s != 200 {
				t.Errorf("got %d, %v; want 200 again", s, err)
			}
			if _, after, _ := p.PublicKey(); after != before || !p.GrantAlive(token) {
				t.Error("it forgot its key or a grant")
			}
		})
	}
}

func TestStopBreaksOffWhatIsUnderWay(t *testing.T) {
	p := oidctest.Start(t)
	entered := make(chan struct{})
	p.Turn(func(k *idp.Knobs) { k.Hang, k.AtToken = true, func(*http.Request) { close(entered) } })
	done := make(chan error, 1)
	go func() {
		res, err := http.PostForm(p.Issuer+"/token", url.Values{"grant_type": {"refresh_token"}})
		if err == nil {
			res.Body.Close()
		}
		done <- err
	}()
	<-entered
	p.Stop()
	select {
	case err := <-done:
		if err == nil {
			t.Error("got an answer, want none")
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

func TestSignInReturnsTheCallback(t *testing.T) {
	p := oidctest.Start(t, oidctest.TLS(), oidctest.Redirects("https://other.example/cb"))
	ask := url.Values{
		"response_type": {"code"}, "client_id": {p.ClientID}, "redirect_uri": {"https://other.example/cb"}, "scope": {"openid"}, "state": {"s"},
		"nonce": {"n"}, "code_challenge_method": {"S256"}, "code_challenge": {strings.Repeat("A", 43)},
	}
	begin := p.URL() + "/authorize?" + ask.Encode()
	browser := p.Browser(t)
	back := p.SignIn(t, browser, begin, "bob", oidctest.Bob.Password)
	if q := back.Query(); back.Host != "other.example" || q.Get("code") == "" || q.Get("state") != "s" || q.Get("iss") != p.Issuer {
		t.Errorf("got %s", back)
	}
	if back := p.SignIn(t, browser, begin, "nobody", "nothing"); back.Query().Get("code") == "" {
		t.Errorf("got %s the second time, want a code without a form", back)
	}
	p.ChangeClient(func(c *idp.Client) { c.RedirectURIs = []string{oidctest.Callback} })
	if !fails(t, func(t testing.TB) { p.SignIn(t, browser, begin, "bob", oidctest.Bob.Password) }) {
		t.Error("a redirect URI that is not registered was taken")
	}
	if !fails(t, func(t testing.TB) { p.Grant(t, nil, "alice", "guess", nil) }) {
		t.Error("a wrong password was taken")
	}
}

// failing is a test that is expected to fail.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Fatalf(string, ...any) {
	f.failed = true
	runtime.Goexit()
}

func (f *failing) Fatal(...any) { f.Fatalf("") }

func fails(t *testing.T, what func(testing.TB)) bool {
	t.Helper()
	f := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		what(f)
	}()
	<-done
	return f.failed
}
