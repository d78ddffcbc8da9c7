package oidctest

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Browser returns a client that trusts the provider and keeps cookies.
func (p *Provider) Browser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatalf("oidctest: %v", err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.RootCAs, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

// Grant signs in and exchanges the code as the client, at Callback and with
// client_secret_basic, and returns the token answer. more replaces parameters of
// the authorization request, whose scope is openid profile email offline_access.
func (p *Provider) Grant(t testing.TB, client *http.Client, username, password string, more url.Values) map[string]any {
	t.Helper()
	if client == nil {
		client = p.Browser(t)
	}
	verifier := rand.Text() + rand.Text()
	ask := url.Values{
		"response_type": {"code"}, "client_id": {p.ClientID}, "redirect_uri": {Callback}, "scope": {"openid profile email offline_access"},
		"state": {rand.Text()}, "nonce": {rand.Text()}, "code_challenge_method": {"S256"}, "code_challenge": {b64(sum256(verifier))},
	}
	maps.Copy(ask, more)
	back := p.SignIn(t, client, p.Issuer+"/authorize?"+ask.Encode(), username, password).Query()
	if back.Get("code") == "" {
		t.Fatalf("oidctest: sign in: got %v and no code", back)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {back.Get("code")}, "redirect_uri": {Callback}, "code_verifier": {verifier}}
	req, err := http.NewRequest(http.MethodPost, p.Issuer+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatalf("oidctest: token: %v", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(p.ClientID), url.QueryEscape(p.ClientSecret))
	res, body := fetch(t, client, req)
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("oidctest: token: got %d %.500s (%v)", res.StatusCode, body, err)
	}
	return answer
}

// hidden finds what a form carries.
var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// SignIn takes a browser to authorizeURL, types username and password into the
// form if there is one, and returns where the provider then sends it, which is not
// asked: the client's callback, with a code or with an error. A client that is nil
// is a fresh Browser; one that has a session goes straight through.
//
// It fails the test for everything else, such as a wrong password.
func (p *Provider) SignIn(t testing.TB, client *http.Client, authorizeURL, username, password string) *url.URL {
	t.Helper()
	if client == nil {
		client = p.Browser(t)
	}
	stepwise := *client
	stepwise.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequest(http.MethodGet, authorizeURL, nil)
	if err != nil {
		t.Fatalf("oidctest: sign in: %v", err)
	}
	typed := false
	for range 10 {
		res, body := fetch(t, &stepwise, req)
		to, err := res.Location()
		switch {
		case err == nil && !strings.HasPrefix(to.String(), p.Issuer+"/"):
			return to
		case err == nil:
			req, err = http.NewRequest(http.MethodGet, to.String(), nil)
		case typed || res.StatusCode != http.StatusOK || !strings.Contains(body, `type="password"`):
			t.Fatalf("oidctest: sign in: %s answered %d, and no form:\n%s", req.URL, res.StatusCode, body)
		default:
			typed = true
			req, err = fill(req.URL, body, username, password)
		}
		if err != nil {
			t.Fatalf("oidctest: sign in: %v", err)
		}
	}
	t.Fatal("oidctest: sign in: there is no end to the redirects")
	return nil
}

func fetch(t testing.TB, client *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("oidctest: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("oidctest: %v", err)
	}
	return res, string(body)
}

// fill sends the form of a page.
func fill(page *url.URL, body, username, password string) (*http.Request, error) {
	form := url.Values{"username": {username}, "password": {password}}
	for _, m := range hidden.FindAllStringSubmatch(body, -1) {
		form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	req, err := http.NewRequest(http.MethodPost, page.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}
