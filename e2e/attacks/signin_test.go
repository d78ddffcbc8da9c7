package attacks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

func init() { sections = append(sections, signins) }

// signinLies are the liars of the section.
var signinLies *signinLiar

func TestSignIn(t *testing.T) {
	t.Parallel()
	es256 := oidctest.Config(func(c *idp.Config) { c.SigningAlg = "ES256" })
	providers := map[string]*oidctest.Provider{"corp": oidctest.Start(t, es256), "partner": oidctest.Start(t, es256), "plain": oidctest.Start(t, es256)}
	identity := "  - local: { users_file: users.yaml }\n"
	for _, name := range slices.Sorted(maps.Keys(providers)) {
		identity += signinConfig(name, providers[name].Issuer)
		providers[name].Turn(func(k *idp.Knobs) { k.NoPAR = true }) // the browser then carries all that is asked
	}
	providers["plain"].Turn(func(k *idp.Knobs) {
		k.MutateMetadata = func(md map[string]any) { md["code_challenge_methods_supported"] = []string{"plain"} }
	})
	signinLies = newSigninLiar(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	l := signinLab(t, setup{identity: identity + signinLies.config(), routes: `  - match: { path: /strong/ }
    allow: [ acr: [gold] ]
    upstream: %[1]q
` + usualRoutes, files: map[string]string{"users.yaml": usersFile,
		"client.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}}, providers)
	signins.try(t, l)
}

// signins are about the way to a provider and back: who begins it, who ends it, and with whose
// answer.
var signins = &section{name: "Signing in at a provider", test: "TestSignIn", attacks: slices.Concat([]attack{
	{"S-01", "critical", "a callback with a code and no cookie of its sign-in; with a state that is missing, made up, there twice or cut",
		"the sign-in begins anew, or a page says that it was not begun here; the code is sent to nobody", func(t *testing.T, l *lab) {
			p := l.providers["corp"]
			p.ResetStats()
			f := l.signinBegin("corp")
			back := l.signinAnswer(f, oidctest.Alice)
			again := l.signinAway("corp", l.signinVisit(back.RequestURI()))
			if again.to.Query().Get("state") == f.to.Query().Get("state") || again.to.Query().Get("nonce") == f.to.Query().Get("nonce") {
				t.Error("the sign-in that begins anew has the secrets of the one before")
			}
			state := url.QueryEscape(back.Query().Get("state"))
			var events []string
			for _, query := range []string{"", "?code=x", "?code=x&state=", "?code=x&state=made-up", "?state=" + state + "&state=" + state + "&code=x",
				"?code=x&state=" + state[:len(state)/2], "?code=x&state[]=" + state, "?code=x;state=" + state} {
				events = append(events, l.signinRefused(l.signinVisit("/.evergate/callback/corp"+query, f.cookie)))
			}
			if n := p.Stats().TokenRequests; n != 0 {
				t.Errorf("the token endpoint got %d requests, want none", n)
			}
			l.signinSaw(traces{events: events})
		}},
	{"S-02", "critical", "an attacker's code and state in a browser that began a sign-in of its own, also with its cookie under the attacker's name",
		"the sign-in begins anew; nobody is signed in as the attacker, and the code is sent to nobody", func(t *testing.T, l *lab) {
			p := l.providers["corp"]
			evil, victim := l.signinBegin("corp"), l.signinBegin("corp")
			back := l.signinAnswer(evil, oidctest.Bob)
			p.ResetStats()
			name, _, _ := strings.Cut(strings.TrimPrefix(evil.cookie, "Cookie: "), "=")
			_, value, _ := strings.Cut(victim.cookie, "=")
			for _, cookie := range []string{victim.cookie, "Cookie: " + name + "=" + value, evil.cookie + "; " + name + "=" + value} {
				r := l.signinVisit(back.RequestURI(), cookie)
				l.signinAway("corp", r)
				if signinSession(r) != "" {
					t.Error("the victim's browser is signed in as the attacker")
				}
			}
			if n := p.Stats().TokenRequests; n != 0 {
				t.Errorf("the token endpoint got %d requests, want none", n)
			}
			l.signinSaw(traces{})
		}},
	{"S-03", "high", "the address of a callback once more, with and without the cookies of its browser", "the code is used once: whoever is signed in goes on, anybody else begins anew", func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		p.ResetStats()
		f := l.signinBegin("corp")
		back := l.signinAnswer(f, oidctest.Alice).RequestURI()
		cookie := l.signinDone(l.signinVisit(back, f.cookie))
		for _, cookies := range []string{f.cookie, "Cookie: none=1"} {
			if r := l.signinVisit(back, cookies); signinSession(r) != "" {
				t.Error("the callback signs in a second time")
			} else {
				l.signinAway("corp", r)
			}
		}
		r := l.signinVisit(back, cookie+"; "+strings.TrimPrefix(f.cookie, "Cookie: "))
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/wanted" {
			t.Errorf("whoever is signed in: got %d to %q, want /wanted", r.StatusCode, r.Header.Get("Location"))
		}
		if s := p.Stats(); s.TokenRequests != 1 || s.ReuseDetected != 0 {
			t.Errorf("the provider counted %d token requests and %d codes used twice, want one and none", s.TokenRequests, s.ReuseDetected)
		}
		l.signinSaw(traces{sessions: 1, events: []string{"session.started"}})
	}},
	{"S-04", "high", "a state with single letters changed, and one of the other provider, each with its cookie; 10 minutes later see TestStaleCallbackBeginsAnew in auth",
		"a page says that it was not begun here; the code is sent to nobody", func(t *testing.T, l *lab) {
			f := l.signinBegin("corp")
			back := l.signinAnswer(f, oidctest.Alice)
			for _, name := range []string{"corp", "partner"} {
				l.providers[name].ResetStats()
			}
			var events []string
			state := back.Query().Get("state")
			for i := 0; i < len(state); i += len(state) / 12 {
				changed := []byte(state)
				if changed[i] = 'A'; state[i] == 'A' {
					changed[i] = 'B'
				}
				q := back.Query()
				q.Set("state", string(changed))
				events = append(events, l.signinRefused(l.signinVisit(back.Path+"?"+q.Encode(), f.cookie)))
			}
			events = append(events, l.signinRefused(l.signinVisit("/.evergate/callback/partner?"+back.RawQuery, f.cookie)))
			for _, name := range []string{"corp", "partner"} {
				if n := l.providers[name].Stats().TokenRequests; n != 0 {
					t.Errorf("%s got %d token requests, want none", name, n)
				}
			}
			l.signinSaw(traces{events: events})
		}},
	{"S-06", "critical", "an attacker's code with the victim's state and cookie; the same at a provider that does not look at PKCE",
		"PKCE has the provider refuse it, and where that fails the nonce has the gateway refuse it", func(t *testing.T, l *lab) {
			p := l.providers["corp"]
			callback := "https://" + l.host + "/.evergate/callback/corp"
			verifier := strings.Repeat("attacker", 6)
			sum := sha256.Sum256([]byte(verifier))
			ask := url.Values{"response_type": {"code"}, "client_id": {oidctest.ClientID}, "redirect_uri": {callback}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"},
				"code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}
			var events []string
			for _, blind := range []bool{false, true} {
				code := p.SignIn(t, nil, p.Issuer+"/authorize?"+ask.Encode(), oidctest.Bob.Username, oidctest.Bob.Password).Query().Get("code")
				f := l.signinBegin("corp")
				l.signinTurn("corp", func(k *idp.Knobs) {
					k.AtToken = func(r *http.Request) {
						if blind {
							r.PostForm.Set("code_verifier", verifier)
						}
					}
				})
				p.ResetStats()
				q := url.Values{"code": {code}, "state": {f.to.Query().Get("state")}, "iss": {p.Issuer}}
				events = append(events, l.signinRefused(l.signinVisit("/.evergate/callback/corp?"+q.Encode(), f.cookie)))
				if s := p.Stats(); s.TokenRequests != 1 || s.CodeGrants != map[bool]int{true: 1}[blind] {
					t.Errorf("blind %v: the provider counted %d requests and %d grants", blind, s.TokenRequests, s.CodeGrants)
				}
			}
			l.signinSaw(traces{events: events})
			l.signinSays("invalid_grant", "nonce")
		}},
}, signinProviders, signinPages)}

// signinSays fails the case unless the audit log tells, of the events since it began, of each of
// words: what was refused is then what the case is about.
func (l *lab) signinSays(words ...string) {
	l.t.Helper()
	var told []string
	for _, e := range l.events()[l.before.audit:] {
		if detail, ok := e["detail"].(string); ok {
			told = append(told, detail)
		}
	}
	for _, w := range words {
		if !slices.ContainsFunc(told, func(s string) bool { return strings.Contains(s, w) }) {
			l.t.Errorf("the audit log tells %q, and nothing of %q", told, w)
		}
	}
}
