package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/dpop/dpopcheck"
)

// demanding is an app that takes tokens with a proof of the key that they are bound to, asks
// the provider which that is, and wants a nonce of its own.
type demanding struct {
	url   string
	check dpopcheck.Server

	mu      sync.Mutex // guards what follows
	refused map[string]int
	sent    []http.Header // what it took
}

func newDemanding(t *testing.T, p *panva, public string) *demanding {
	t.Helper()
	a := &demanding{refused: map[string]int{}}
	a.check.URL, a.check.Bound = public, func(token string) string { return p.boundTo(t, token) }
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		code := a.check.Check(w.Header(), r)
		a.mu.Lock()
		defer a.mu.Unlock()
		if code != "" {
			a.refused[code]++
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		a.sent = append(a.sent, r.Header.Clone())
		_ = json.NewEncoder(w).Encode(map[string]string{"path": r.URL.RequestURI(), "user": r.Header.Get("X-Forwarded-User"),
			"authorization": r.Header.Get("Authorization"), "body": string(body)})
	}))
	t.Cleanup(app.Close)
	a.url = app.URL
	return a
}

// count is how often the app answered with a code.
func (a *demanding) count(code string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.refused[code]
}

// last is what came with the last request that the app took.
func (a *demanding) last() http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sent[len(a.sent)-1]
}

// present sends the app a request past the gateway, as whoever has copied something would. It
// returns the app's challenge, "" where the app takes it.
func (a *demanding) present(t *testing.T, header http.Header) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, a.url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Authorization", "Dpop"} {
		if header[name] != nil {
			req.Header[name] = header[name]
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.Header.Get("WWW-Authenticate")
}

// boundTo is the thumbprint of the key that an access token is bound to: a JWT says it, and
// of others the provider does (RFC 9449 section 6.2).
func (p *panva) boundTo(t *testing.T, token string) string {
	var said struct {
		Active bool
		CNF    struct{ JKT string }
	}
	if strings.Count(token, ".") == 2 {
		cnf, _ := claimsOf(t, token)["cnf"].(map[string]any)
		jkt, _ := cnf["jkt"].(string)
		return jkt
	}
	req, err := http.NewRequest(http.MethodPost, p.url+"/token/introspection", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		t.Error(err)
		return ""
	}
	req.SetBasicAuth("evergate", url.QueryEscape("secret of evergate, with a space"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&said); err != nil || !said.Active {
		return ""
	}
	return said.CNF.JKT
}

// forgetNonces has the provider take none of the nonces that it gave so far.
func (p *panva) forgetNonces(t *testing.T) {
	t.Helper()
	res, err := http.Get(p.url + "/test/nonces")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// TestPanvaDPoP: a provider that binds tokens and wants nonces, and an app that takes no others
// and wants nonces of its own, with sessions in a store and in a cookie. It is signed in and renewed
// under nonces that are forgotten, over a restart of the gateway, with no grant sent twice; and
// what was copied on its way to the app opens nothing.
func TestPanvaDPoP(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"bolt", "cookie"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			port := freePort(t)
			public := "http://127.0.0.1:" + port
			p := newPanva(t, public, 10, func(config, client map[string]any) {
				config["dpop"], client["dpop_bound_access_tokens"] = true, true
			})
			app := newDemanding(t, p, public)
			g := newGateway(t, port, fmt.Sprintf(`session: { store: %s }
identity:
  - oidc:
      issuer: %s
      client_id: evergate
      client_secret_file: secret
      scopes: [openid, profile, email, groups, offline_access]
      claims: { user: preferred_username }
      userinfo: true
      dpop: true
routes:
  - upstream: %s
    token: { dpop: true }
  - match: { path: /api/ }
    upstream: %s
    token: { dpop: true, resource: "https://api.example.com/" }
`, store, p.url, app.url, app.url), map[string]string{"secret": "secret of evergate, with a space"})
			app.check.Rotate("nonce-0")
			who := newPerson(t)
			told := who.signIn(g.url+"/reports?q=1", alice).told(t)
			if told["path"] != "/reports?q=1" || told["user"] != "alice" || !strings.HasPrefix(told["authorization"], "DPoP ") {
				t.Errorf("the app was told %v", told)
			}
			if told := who.get(g.url + "/api/x").told(t); strings.Count(told["authorization"], ".") != 2 {
				t.Errorf("for its resource the app got %q, want a JWT", told["authorization"])
			}
			key := p.boundTo(t, strings.TrimPrefix(told["authorization"], "DPoP "))
			for i := range 3 {
				p.forgetNonces(t)
				app.check.Rotate(fmt.Sprint("nonce-", i+1))
				if i == 1 {
					g.stop(t)
					g.serve()
				}
				form, err := http.NewRequest(http.MethodPost, g.url+"/form", strings.NewReader("a=1&b=2"))
				if err != nil {
					t.Fatal(err)
				}
				if told := who.do(form).told(t); told["body"] != "a=1&b=2" {
					t.Errorf("the app got the form %q", told["body"])
				}
				if asked, bad := app.count("use_dpop_nonce"), app.count("invalid_dpop_proof"); asked < i+1 || bad > 0 || app.check.Repeated() > 0 {
					t.Errorf("the app asked for another nonce %d times, and refused %d proofs; %d came twice", asked, bad, app.check.Repeated())
				}
				before := told["authorization"]
				for end := time.Now().Add(patience); told["authorization"] == before; time.Sleep(100 * time.Millisecond) {
					if told = who.get(g.url + "/").told(t); time.Now().After(end) {
						t.Fatal("the token is not renewed")
					}
				}
				if now := p.boundTo(t, strings.TrimPrefix(told["authorization"], "DPoP ")); now != key || key == "" {
					t.Errorf("the token is bound to %q, want %q as at the sign-in", now, key)
				}
			}
			s := p.stats(t)
			if s.Grants["refresh_token"] < 4 || s.Errors["use_dpop_nonce"] < 4 || len(s.Errors) != 1 || s.Revoked != 0 || s.MostRefreshing > 1 {
				t.Errorf("the provider counted %+v, want renewals, challenges, and nothing else refused", s)
			}
			app.thief(t, g.url)
			if log := g.stdout.String() + g.stderr.String(); strings.Contains(log, "eyJ") || strings.Contains(log, strings.TrimPrefix(told["authorization"], "DPoP ")) {
				t.Error("the log holds a token or a proof")
			}
		})
	}
}

// thief tries what somebody could who saw the last request on its way.
func (a *demanding) thief(t *testing.T, public string) {
	t.Helper()
	seen := a.last()
	token := seen.Get("Authorization")
	own := dpopcheck.Forge(t, http.MethodGet, public+"/", strings.TrimPrefix(token, "DPoP "), "nonce-3")
	if _, err := dpopcheck.Verify(own, dpopcheck.Want{Method: http.MethodGet, URL: public + "/", Token: strings.TrimPrefix(token, "DPoP "), Nonce: "nonce-3", Time: time.Now()}); err != nil {
		t.Fatalf("the thief's proof is not good, so it shows nothing: %v", err)
	}
	for name, c := range map[string]struct {
		header http.Header
		says   string
	}{
		"the token as a bearer's":         {http.Header{"Authorization": {"Bearer " + strings.TrimPrefix(token, "DPoP ")}}, "the scheme DPoP"},
		"the token alone":                 {http.Header{"Authorization": {token}}, "want one proof, got 0"},
		"the token and the proof":         {http.Header{"Authorization": {token}, "Dpop": seen["Dpop"]}, "it came before"},
		"the token and a proof of theirs": {http.Header{"Authorization": {token}, "Dpop": {own}}, "it is of another key"},
	} {
		if got := a.present(t, c.header); !strings.Contains(got, c.says) {
			t.Errorf("%s: the app answered with %q, want %q", name, got, c.says)
		}
	}
}

// TestDoctorSeesDPoP: the doctor looks whether the provider lists what the config wants of it.
func TestDoctorSeesDPoP(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 60, func(config, client map[string]any) {
		config["dpop"], client["dpop_bound_access_tokens"] = true, true
	})
	app := newUpstream(t)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "      dpop: true", "    token: { dpop: true }\n"), map[string]string{"secret": "secret of evergate, with a space"})
	if code, said := g.doctorSays(); code != 0 || !strings.Contains(said, "offline_access, DPoP") {
		t.Errorf("got exit code %d:\n%s", code, said)
	}
}
