// Package oidctest runs a real OpenID Provider over HTTP for tests: package
// internal/idp with all its knobs, and a person who fills in its form.
package oidctest

import (
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

// The client that every Provider knows, and who can sign in.
const (
	ClientID     = "evergate"
	ClientSecret = "a secret: with %, + and a space"
	Callback     = "https://gw.test/.evergate/callback/corp"
	AfterLogout  = "https://gw.test/.evergate/logout"
	User         = "alice"
	Password     = "password of alice"
	Subject      = "subject-1"
)

// Provider is a running provider.
type Provider struct {
	*idp.Provider
	Issuer string
	t      testing.TB
	server *httptest.Server
	addr   string
}

// Start runs a provider until the test is over. Edit may change its config.
func Start(t testing.TB, edit func(*idp.Config)) *Provider {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{t: t, addr: l.Addr().String(), Issuer: "http://" + l.Addr().String() + "/idp"}
	cfg := idp.Config{
		Issuer: p.Issuer, AccessTTL: 10 * time.Minute,
		Clients: []idp.Client{{ID: ClientID, Secret: ClientSecret, Auth: "client_secret_basic",
			RedirectURIs: []string{Callback}, AfterLogout: []string{AfterLogout}}},
		Users: []idp.User{{Subject: Subject, Username: User, Password: Password, Claims: map[string]any{
			"name": "Alice of Corp", "preferred_username": "alice", "email": "alice@corp.test", "email_verified": true, "groups": []string{"staff", "wiki"},
		}}},
	}
	if edit != nil {
		edit(&cfg)
	}
	if p.Provider, err = idp.New(cfg); err != nil {
		t.Fatal(err)
	}
	p.serve(l)
	t.Cleanup(func() {
		p.Provider.Close()
		p.Stop()
	})
	return p
}

func (p *Provider) serve(l net.Listener) {
	p.server = httptest.NewUnstartedServer(p.Provider)
	_ = p.server.Listener.Close()
	p.server.Listener = l
	p.server.Start()
}

// Stop has connections refused.
func (p *Provider) Stop() {
	if p.server != nil {
		p.server.CloseClientConnections()
		p.server.Close()
		p.server = nil
	}
}

// Restart answers again at the same address, and remembers all.
func (p *Provider) Restart() {
	p.t.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.serve(l)
}

var action = regexp.MustCompile(`action="([^"]*)"`)

// SignIn is a person who opens address, signs in there, and is sent back: it
// returns what the browser brings to the callback.
func (p *Provider) SignIn(t testing.TB, address string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode == http.StatusOK {
		m := action.FindStringSubmatch(string(body))
		if m == nil {
			t.Fatalf("there is no form at %s:\n%s", address, body)
		}
		to, err := res.Request.URL.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
		if err != nil {
			t.Fatal(err)
		}
		if res, err = c.PostForm(to.String(), url.Values{"username": {User}, "password": {Password}}); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	back, err := url.Parse(res.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(back.String(), Callback+"?") {
		t.Fatalf("got %s and Location %q, want to be sent back", res.Status, back)
	}
	return back.Query()
}
