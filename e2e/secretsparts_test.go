package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// secretLife is that of the provider's access tokens.
const secretLife = 2 * time.Second

// secretProvider is a provider that keeps for h what it gives and gets.
type secretProvider struct {
	*oidctest.Provider
	user idp.User
}

func newSecretProvider(t *testing.T, h *hoard, public, clientSecret string) *secretProvider {
	t.Helper()
	p := &secretProvider{user: oidctest.Bob}
	p.user.Password = clientSecret[4:20] + " is bob's password"
	h.add("a person's password there", p.user.Password)
	p.Provider = oidctest.Start(t, oidctest.Config(func(c *idp.Config) {
		c.AccessTTL = secretLife
		c.Users[1] = p.user
		c.Clients[0].Secret = clientSecret
		c.Clients[0].RedirectURIs = []string{public + "/.evergate/callback/corp"}
		c.Clients[0].PostLogoutRedirectURIs = []string{public + "/.evergate/logout"}
		c.Clients[0].BackchannelLogoutURI = public + "/.evergate/backchannel-logout/corp"
		c.HTTP = &http.Client{Timeout: 5 * time.Second, Transport: logoutWire{h}}
	}))
	p.Turn(func(k *idp.Knobs) {
		k.NotifyInitiator = true
		k.AtToken = func(r *http.Request) {
			for name, what := range map[string]string{"code": "a code", "code_verifier": "a verifier", "refresh_token": "a refresh token", "subject_token": "an access token"} {
				h.add(what, r.PostForm.Get(name))
			}
			h.add("the client's authentication", strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "))
		}
		k.RewriteTokenAnswer = func(b []byte) []byte {
			var answer map[string]any
			if json.Unmarshal(b, &answer) == nil {
				for name, what := range map[string]string{"access_token": "an access token", "refresh_token": "a refresh token", "id_token": "an ID token"} {
					h.add(what, fmt.Sprint(answer[name]))
				}
			}
			return b
		}
		k.MutateIDToken = func(_, claims map[string]any) { h.add("a nonce", fmt.Sprint(claims["nonce"])) }
		k.MutateCallback = func(v url.Values) {
			h.add("a code", v.Get("code"))
			h.add("a state", v.Get("state"))
		}
	})
	return p
}

// logoutWire sends logout tokens, and keeps them.
type logoutWire struct{ h *hoard }

// RoundTrip implements http.RoundTripper.
func (w logoutWire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		if form, err := url.ParseQuery(string(body)); err == nil {
			w.h.add("a logout token", form.Get("logout_token"))
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	return http.DefaultTransport.RoundTrip(req)
}

// secretApp is an app that keeps for h what it is given. Below /form/ it has a sign-in of its own.
type secretApp struct{ *httptest.Server }

func newSecretApp(t *testing.T, h *hoard, password string) *secretApp {
	t.Helper()
	const cookie = "app-cookie-7c1f2d8a9b3e4c5d6f70"
	h.add("a cookie of the app", cookie)
	a := &secretApp{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if kind == "Bearer" {
			h.add("an access token", given)
		} else {
			h.add("what the app was given", given)
		}
		w.Header().Set("X-From-App", "yes")
		w.Header().Set("Content-Type", "text/html")
		known, err := r.Cookie("app")
		switch {
		case r.URL.Path == "/form/login" && r.Method == http.MethodPost && r.PostFormValue("password") == password:
			http.SetCookie(w, &http.Cookie{Name: "app", Value: cookie, Path: "/form/"})
			http.Redirect(w, r, "/form/x", http.StatusSeeOther)
		case r.URL.Path == "/form/login":
			_, _ = io.WriteString(w, `<form method="post"><input name="user"><input type="password" name="password"></form>`)
		case strings.HasPrefix(r.URL.Path, "/form/") && (err != nil || known.Value != cookie):
			http.Redirect(w, r, "/form/login", http.StatusSeeOther)
		case strings.HasPrefix(r.URL.Path, "/late/"):
			time.Sleep(200 * time.Millisecond)
		case r.URL.Path == "/refuses":
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/stands":
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			http.SetCookie(w, &http.Cookie{Name: "other", Value: cookie, Path: "/"})
			_, _ = io.WriteString(w, "<p>the app")
		}
	}))
	t.Cleanup(a.Close)
	return a
}

// rawCollector keeps what it is sent, as it is on the wire less the compression.
type rawCollector struct {
	*httptest.Server
	output
}

func newRawCollector(t *testing.T) *rawCollector {
	t.Helper()
	c := &rawCollector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Errorf("the collector is sent what is not compressed: %v", err)
			return
		}
		if _, err := io.Copy(&c.output, z); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Server.Close)
	return c
}

// secretWire is a browser's connection: it keeps what is secret in what goes over it, and the
// gateway's pages.
type secretWire struct {
	d    *secretDay
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w *secretWire) RoundTrip(req *http.Request) (*http.Response, error) {
	h := w.d.hoard
	res, err := w.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	atGateway := "http://"+req.URL.Host == w.d.public
	for _, c := range res.Cookies() {
		switch {
		case !atGateway:
			h.add("the provider's cookie", c.Value)
		case c.Name != "app" && c.Name != "other":
			h.add("a cookie of the gateway", c.Value)
		}
	}
	if to, err := res.Location(); err == nil {
		for name, what := range map[string]string{"state": "a state", "nonce": "a nonce", "code": "a code", "id_token_hint": "an ID token", "request_uri": "a pushed request"} {
			h.add(what, to.Query().Get(name))
		}
		return res, nil // what else is in it says the same as the address
	}
	if atGateway && res.Header.Get("X-From-App") == "" {
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return nil, err
		}
		_, _ = w.d.pages.Write(body)
		res.Body = io.NopCloser(bytes.NewReader(body))
	}
	return res, nil
}
