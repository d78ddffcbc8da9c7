package idp_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/idp"
)

const (
	secret   = "a secret with / and %"
	callback = "https://app.example/callback?of=evergate"
	landing  = "https://app.example/signed-out"
	verifier = "a-verifier-that-is-long-enough-for-rfc-7636-to-be-content"
)

var alice = idp.User{
	Subject: "u-1", Username: "alice", Password: "correct horse", Name: "Alice", Email: "alice@example.com",
	EmailVerified: true, Groups: []string{"staff", "admins"}, Claims: map[string]any{"department": "ships"},
}

// world is a provider over HTTP, and a browser and a client that speak to it.
type world struct {
	t       *testing.T
	p       *idp.Provider
	issuer  string
	browser *http.Client // keeps cookies, follows nothing
	skew    atomic.Int64 // of the provider's clock, in nanoseconds
}

// start serves a provider with an issuer that has a path, which is where URLs go
// wrong.
func start(t *testing.T, change func(*idp.Config)) *world {
	t.Helper()
	var handler atomic.Pointer[idp.Provider]
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.Load().ServeHTTP(w, r) }))
	x := &world{t: t, issuer: srv.URL + "/op"}
	cfg := idp.Config{
		Issuer: x.issuer, SigningAlg: "ES256", Scopes: []string{"orders"}, Users: []idp.User{alice},
		Clients: []idp.Client{{ID: "rp", Secret: secret, RedirectURIs: []string{callback}, PostLogoutRedirectURIs: []string{landing}}},
		Now:     func() time.Time { return time.Now().Add(time.Duration(x.skew.Load())) },
	}
	if change != nil {
		change(&cfg)
	}
	p, err := idp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	handler.Store(p)
	t.Cleanup(func() {
		_ = p.Close()
		srv.Close()
	})
	x.p, x.browser = p, newBrowser(t)
	return x
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is one that was read.
type answer struct {
	status int
	header http.Header
	text   string
	json   map[string]any // nil where it is none
}

func (a answer) str(name string) string {
	s, _ := a.json[name].(string)
	return s
}

func (x *world) do(client *http.Client, req *http.Request) answer {
	x.t.Helper()
	res, err := client.Do(req)
	if err != nil {
		x.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, text: string(body)}
	_ = json.Unmarshal(body, &a.json)
	return a
}

func (x *world) get(path string) answer {
	x.t.Helper()
	req, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		x.t.Fatal(err)
	}
	return x.do(x.browser, req)
}

// request posts a form to an endpoint of the provider.
func (x *world) request(path string, form url.Values) *http.Request {
	x.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, x.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		x.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// post does so as the client.
func (x *world) post(path string, form url.Values) answer {
	x.t.Helper()
	req := x.request(path, form)
	req.SetBasicAuth("rp", url.QueryEscape(secret))
	return x.do(http.DefaultClient, req)
}

// ask is an authorization request, with changes; "" takes a parameter away.
func ask(changes map[string]string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"rp"}, "redirect_uri": {callback}, "scope": {"openid profile email offline_access"},
		"state": {"the state"}, "nonce": {"the nonce"}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	for name, value := range changes {
		if q.Set(name, value); value == "" {
			q.Del(name)
		}
	}
	return q
}

func (x *world) authorize(q url.Values) answer {
	x.t.Helper()
	return x.get(x.issuer + "/authorize?" + q.Encode())
}

// location reads where an answer sends the browser.
func (x *world) location(a answer) *url.URL {
	x.t.Helper()
	u, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther {
		x.t.Fatalf("got %d %q to %q, want a redirect (%v)", a.status, a.text, a.header.Get("Location"), err)
	}
	return u
}

// signIn types the password into the form and returns where that leads.
func (x *world) signIn(q url.Values, password string) answer {
	x.t.Helper()
	form := x.location(x.authorize(q))
	if !strings.HasSuffix(form.Path, "/login") {
		x.t.Fatalf("got sent to %s, want the form", form)
	}
	if page := x.get(form.String()); page.status != http.StatusOK || !strings.Contains(page.text, q.Get("client_id")) {
		x.t.Fatalf("got %d %q, want a form that names the client", page.status, page.text)
	}
	return x.do(x.browser, x.request("/login", url.Values{
		"request": {form.Query().Get("request")}, "username": {"alice"}, "password": {password}}))
}

// code signs in and returns the code.
func (x *world) code(q url.Values) string {
	x.t.Helper()
	code := x.location(x.signIn(q, alice.Password)).Query().Get("code")
	if code == "" {
		x.t.Fatal("got no code")
	}
	return code
}

// redeem exchanges a code.
func (x *world) redeem(code string, changes map[string]string) answer {
	x.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	for name, value := range changes {
		form.Set(name, value)
	}
	return x.post("/token", form)
}

// tokens does all of that.
func (x *world) tokens() answer {
	x.t.Helper()
	a := x.redeem(x.code(ask(nil)), nil)
	if a.status != http.StatusOK {
		x.t.Fatalf("got %d %s, want tokens", a.status, a.text)
	}
	return a
}

func (x *world) renew(token string) answer {
	x.t.Helper()
	return x.post("/token", renewal(token))
}

func renewal(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// wantError fails unless a is a refusal with that code.
func (x *world) wantError(a answer, status int, code string) {
	x.t.Helper()
	if a.status != status || a.str("error") != code {
		x.t.Errorf("got %d %s, want %d %s", a.status, a.text, status, code)
	}
}

// read takes a JWT apart; the signature is for others to check.
func read(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("got %q, want a JWT", token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}

func with(v url.Values, more url.Values) url.Values {
	all := maps.Clone(v)
	maps.Copy(all, more)
	return all
}
