package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPanvaSignsInRenewsAndSignsOut(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 5, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space\n"})
	who := newPerson(t)
	told := who.signIn(g.url+"/reports?q=1", alice).told(t)
	if told["path"] != "/reports?q=1" || told["user"] != "alice" || told["email"] != "alice@example.com" || told["groups"] != "staff" ||
		!strings.HasPrefix(told["authorization"], "Bearer ") {
		t.Errorf("the app was told %v", told)
	}
	for range 3 {
		time.Sleep(5 * time.Second)
		if next := who.get(g.url + "/").told(t); next["authorization"] == told["authorization"] {
			t.Error("a token life later the app got the same token")
		} else {
			told = next
		}
	}
	if s := p.stats(t); s.Grants["refresh_token"] < 3 || s.Revoked != 0 {
		t.Errorf("the provider counted %+v, want three renewals or more and nothing revoked", s)
	}
	at := who.submit(who.get(g.url+"/.evergate/logout?rd=/bye"), nil)
	if !strings.HasPrefix(at.url.String(), p.url+"/session/end") {
		t.Fatalf("after signing out: at %s (%d), want the provider's page", at.url, at.status)
	}
	at = who.submit(at, map[string]string{"logout": "yes"})
	if at = who.get(g.url + "/"); at.status != http.StatusOK || !strings.Contains(at.url.Path, "/interaction/") {
		t.Errorf("afterwards: at %s (%d), want to have to sign in", at.url, at.status)
	}
}

func TestPanvaPrivateKeyJWTAndPAR(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	gw := "http://127.0.0.1:" + port
	p := newPanva(t, gw, 5, func(config, client map[string]any) {
		config["par"] = true
		delete(client, "client_secret")
		client["token_endpoint_auth_method"] = "private_key_jwt"
		client["jwks_uri"] = gw + "/.evergate/client-jwks/oidc" // the gateway publishes it itself
	})
	config := strings.Replace(panvaConfig(p.url, app.URL, "", ""), "client_secret_file: secret", "client_auth: private_key_jwt\n      client_key_file: key.pem", 1)
	g := newGateway(t, port, config, map[string]string{"key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	time.Sleep(5 * time.Second)
	who.get(g.url + "/").told(t)
	if s := p.stats(t); s.Grants["refresh_token"] < 1 || len(s.Errors) != 0 {
		t.Errorf("the provider counted %+v", s)
	}
}

func TestPanvaTokenForAResource(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 5, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, `      bearer_audiences: ["https://api.example.com/"]`, `  - match: { path: /robots/ }
    upstream: `+app.URL+`
    bearer: true
  - match: { path: /api/ }
    upstream: `+app.URL+`
    token: { resource: "https://api.example.com/" }
  - match: { path: /own/ }
    upstream: `+app.URL+`
    token: { type: evergate, audience: reports }
  - match: { path: /id/ }
    upstream: `+app.URL+`
    token: { type: id }
  - match: { path: /none/ }
    upstream: `+app.URL+`
    token: { type: none }
`), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	for range 3 {
		for path, want := range map[string]map[string]any{
			"/api/x":  {"iss": p.url, "aud": "https://api.example.com/"},
			"/own/x":  {"iss": g.url + "/.evergate", "aud": "[reports]", "sub": "alice"},
			"/id/x":   {"iss": p.url, "aud": "evergate", "sub": "alice"},
			"/none/x": nil,
		} {
			told := who.get(g.url + path).told(t)
			raw, there := strings.CutPrefix(told["authorization"], "Bearer ")
			if want == nil {
				if there {
					t.Errorf("%s: the app got a token", path)
				}
				continue
			}
			claims := claimsOf(t, raw)
			for name, value := range want {
				if fmt.Sprint(claims[name]) != fmt.Sprint(value) {
					t.Errorf("%s: got %s %v, want %v", path, name, claims[name], value)
				}
			}
		}
		time.Sleep(4 * time.Second)
	}
	if s := p.stats(t); s.Revoked != 0 || len(s.Errors) != 0 || s.MostRefreshing > 1 {
		t.Errorf("the provider counted %+v, want no grant refused", s)
	}

	// The same token in an API client's own hands, without any cookie.
	robot, own := newPerson(t), who.get(g.url + "/api/x").told(t)["authorization"]
	for _, c := range []struct {
		path, token string
		status      int
	}{
		{"/robots/x", own, 200},
		{"/robots/x", own[:len(own)-4] + "AAAA", 401},
		{"/robots/x", "Bearer " + strings.TrimPrefix(who.get(g.url + "/id/x").told(t)["authorization"], "Bearer "), 401},
		{"/api/x", own, 401}, // a route that takes none
	} {
		req, err := http.NewRequest(http.MethodGet, g.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", c.token)
		req.Header.Set("Sec-Fetch-Mode", "cors")
		at := robot.do(req)
		if at.status != c.status || c.status == 200 && (at.told(t)["user"] != "alice" || at.told(t)["authorization"] != own) {
			t.Errorf("%s with %.30s…: got %d %.300s, want %d", c.path, c.token, at.status, at.body, c.status)
		}
		if c.status == 401 && !strings.Contains(at.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s: got challenge %q", c.path, at.header.Get("WWW-Authenticate"))
		}
	}
}

func claimsOf(t *testing.T, raw string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("got %q, want a JWT", raw)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &claims) != nil {
		t.Fatalf("the claims of %q cannot be read", raw)
	}
	return claims
}

// TestPanvaBackchannelLogout: the person signs out at the provider, and the
// gateway's session ends with its streams.
func TestPanvaBackchannelLogout(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 60, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	res, err := who.c.Get(g.url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	closed := make(chan time.Time, 1)
	go func() {
		_, _ = io.Copy(io.Discard, res.Body)
		closed <- time.Now()
	}()
	who.submit(who.get(p.url+"/session/end"), map[string]string{"logout": "yes"})
	out := time.Now()
	select {
	case at := <-closed:
		t.Logf("the stream closed %v after the sign-out", at.Sub(out))
	case <-time.After(3 * time.Second):
		t.Error("the stream is still open")
	}
	if s := p.stats(t); s.Logouts != 1 {
		t.Errorf("the provider counted %+v, want one back-channel logout answered with 200", s)
	}
	if at := who.get(g.url + "/"); !strings.Contains(at.url.Path, "/interaction/") && !strings.Contains(at.url.Path, "/.evergate/") {
		t.Errorf("afterwards: at %s (%d), want to have to sign in", at.url, at.status)
	}
}
