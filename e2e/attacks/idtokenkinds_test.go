package attacks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// idtokenKinds are tokens that are good, for something else.
var idtokenKinds = []attack{
	{"T-28", "critical", "an access token, a logout token or a client assertion as the ID token, also by a `typ` in a list; an ID token, a refresh token and a logout token as an access token, also with `typ: at+jwt`",
		idtokenRefused + "; an API client with one gets 401", func(t *testing.T, l *lab) {
			p := l.providers["corp"]
			now := time.Now().Unix()
			claims := func(more map[string]any) map[string]any {
				c := map[string]any{"iss": p.Issuer, "sub": oidctest.Alice.Subject, "aud": "https://api.test", "iat": now, "exp": now + 300, "jti": "j"}
				maps.Copy(c, more)
				return c
			}
			event := map[string]any{"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}}
			good := p.Sign(map[string]any{"typ": "at+jwt"}, claims(nil))
			l.idtokenBearer(good).status(t, http.StatusOK) // what the others are next to
			for what, token := range map[string]string{
				"an ID token":                   p.Sign(map[string]any{"typ": "JWT"}, claims(map[string]any{"aud": oidctest.ClientID, "nonce": "n"})),
				"an ID token for both":          p.Sign(map[string]any{"typ": "JWT"}, claims(map[string]any{"aud": []string{oidctest.ClientID, "https://api.test"}})),
				"an ID token with a nonce":      p.Sign(map[string]any{"typ": "JWT"}, claims(map[string]any{"nonce": "n"})),
				"an ID token with at_hash":      p.Sign(map[string]any{"typ": ""}, claims(map[string]any{"at_hash": "h"})),
				"a logout token":                p.Sign(map[string]any{"typ": "logout+jwt"}, claims(event)),
				"a logout token without a typ":  p.Sign(nil, claims(event)),
				"a logout token as at+jwt":      p.Sign(map[string]any{"typ": "at+jwt"}, claims(event)),
				"an ID token as at+jwt":         p.Sign(map[string]any{"typ": "at+jwt"}, claims(map[string]any{"nonce": "n"})),
				"at_hash in an at+jwt":          p.Sign(map[string]any{"typ": "at+jwt"}, claims(map[string]any{"at_hash": "h"})),
				"one that says it is an ID":     p.Sign(map[string]any{"typ": "JWT"}, claims(map[string]any{"typ": "ID"})),
				"one that says it is a refresh": p.Sign(map[string]any{"typ": "JWT"}, claims(map[string]any{"typ": "Refresh"})),
				"one whose use is id":           p.Sign(map[string]any{"typ": ""}, claims(map[string]any{"token_use": "id"})),
				"a typ in a list":               p.Sign(map[string]any{"typ": []string{"at+jwt"}}, claims(nil)),
				"another audience's":            p.Sign(map[string]any{"typ": "at+jwt"}, claims(map[string]any{"aud": "https://other.test"})),
				"another issuer's":              l.providers["partner"].Sign(map[string]any{"typ": "at+jwt"}, claims(nil)),
				"one that ended":                p.Sign(map[string]any{"typ": "at+jwt"}, claims(map[string]any{"exp": now - 600})),
				"a changed one":                 good[:len(good)-8] + "AAAAAAAA",
			} {
				l.idtokenUnwelcome(what, token)
			}
			r := l.get("/robots/x", "Authorization: Bearer "+good, "Authorization: Bearer "+good)
			r.status(t, http.StatusUnauthorized, http.StatusBadRequest)
			if all := l.saw(traces{app: 1}); len(all) == 1 && all[0].Header.Get("X-Forwarded-User") != "corp/"+oidctest.Alice.Subject {
				t.Errorf("the app got\n%s", all[0].head())
			}
			l.before = l.marks()
			l.idtokensRefused(idtokenForged(l, []string{"T-28"}, idtokenHeads("typ", []any{"at+jwt"}), idtokenHeads("typ", 7), idtokenHeads("typ", nil), idtokenHeads("typ", "application/at+jwt")))
		}},
	{"T-29", "critical", "an at_hash of another access token, and one that is a number, a list or empty", idtokenRefused,
		idtokenCase([]string{"T-29"}, idtokenSets("at_hash", ""), idtokenSets("at_hash", nil), idtokenSets("at_hash", []any{"AAAAAAAAAAAAAAAAAAAAAA"}))},
	{"T-30", "critical", "userinfo about somebody else: `sub` of another, missing, empty, a list; signed by a stranger, by nobody, with the public key as a secret; another issuer's, another client's",
		idtokenRefused + "; what the ID token says stands", func(t *testing.T, l *lab) {
			p := l.providers["corp"]
			var events []string
			try := func(name string, turn func(*idp.Knobs)) {
				l.signinTurn("corp", turn)
				if e := l.signinRefused(l.signinWhole("corp-info", oidctest.Alice)); e == "" {
					t.Errorf("userinfo %s was taken", name)
				} else {
					events = append(events, e)
				}
				p.Turn(func(k *idp.Knobs) { k.UserinfoClaims, k.SignUserinfo, k.SignedUserinfo = nil, nil, false })
			}
			for _, sub := range []any{oidctest.Bob.Subject, nil, "", 7, []any{oidctest.Alice.Subject}, strings.ToUpper(oidctest.Alice.Subject), oidctest.Alice.Subject + " "} {
				for _, signed := range []bool{false, true} {
					try(fmt.Sprintf("sub %v", sub), func(k *idp.Knobs) { k.UserinfoClaims, k.SignedUserinfo = map[string]any{"sub": sub}, signed })
				}
			}
			for _, f := range idtokenForged(l, []string{"T-01", "T-02", "T-03", "T-05", "T-06", "T-07", "T-08", "T-09", "T-10", "T-11", "T-31"}) {
				var forger idp.Knobs
				if f.Turn(&forger); forger.SignIDToken != nil {
					try(f.Name, func(k *idp.Knobs) { k.SignUserinfo = forger.SignIDToken })
				}
			}
			for name, value := range map[string]any{"iss": "https://evil.test", "aud": "another client"} {
				try(name, func(k *idp.Knobs) { k.SignedUserinfo, k.UserinfoClaims = true, map[string]any{name: value} })
			}
			if n := p.Lured(); n != 0 {
				t.Errorf("%d requests to an address that only userinfo names", n)
			}
			// At a renewal another subject ends the session, whoever says it.
			for _, turn := range []func(*idp.Knobs){func(k *idp.Knobs) { k.UserinfoClaims = map[string]any{"sub": oidctest.Bob.Subject} }, func(k *idp.Knobs) { k.ChangedSubject = oidctest.Bob.Subject }} {
				cookie := l.signinDone(l.signinWhole("corp-info", oidctest.Alice))
				l.signinTurn("corp", turn)
				l.denied(l.idtokenRenewed(cookie))
				l.denied(l.get("/app", cookie))
				p.Turn(func(k *idp.Knobs) { k.UserinfoClaims, k.ChangedSubject = nil, "" })
				events = append(events, "session.started", "session.withdrawn/other_subject")
			}
			// It may say more, and not something else.
			l.signinTurn("corp", func(k *idp.Knobs) {
				k.UserinfoClaims = map[string]any{"groups": []string{"admin"}, "email": "root@company.com", "email_verified": true, "iss": "https://evil.test", "preferred_username": "root"}
			})
			cookie := l.signinDone(l.signinWhole("corp-info", oidctest.Bob))
			l.idtokenKeptOut(l.get("/admin/", cookie))
			l.idtokenKeptOut(l.get("/mail/", cookie))
			l.get("/app", cookie).status(t, http.StatusOK)
			events = append(events, "session.started")
			for _, g := range l.signinSaw(traces{app: 3, sessions: 1, events: events})[2:] {
				if head := g.head(); g.Header.Get("X-Forwarded-User") != "corp-info/"+oidctest.Bob.Subject || strings.Contains(head, "root") || strings.Contains(head, "admin") {
					t.Errorf("the app got\n%s", head)
				}
			}
		}},
	{"T-31", "critical", "sub, iss, exp and alg twice in a token, the second one also in another spelling of JSON", idtokenRefused, func(_ *testing.T, l *lab) {
		twice := func(member string) oidctest.Forgery {
			return oidctest.Forgery{Name: member, What: "says " + member, Turn: func(k *idp.Knobs) {
				k.SignIDToken = func(h, c map[string]any) string {
					return l.providers["corp"].SignBytes(idtokenJSON(h), append([]byte("{"+member+","), idtokenJSON(c)[1:]...))
				}
			}}
		}
		l.idtokensRefused(idtokenForged(l, []string{"T-31"}, twice(`"\u0073ub":"`+oidctest.Bob.Subject+`"`), twice(`"aud":"another"`), twice(`"nonce":"another"`), twice(`"x":{"y":1,"y":2}`), twice(`"x":[{"y":1,"\u0079":2}]`)))
	}},
	{"T-41", "critical", "an ID token that is expired and has a forged signature", idtokenRefused + ": for its signature, which is looked at first; its expiry excuses nothing", func(t *testing.T, l *lab) {
		details := l.idtokensRefused([]oidctest.Forgery{{Name: "expired and forged", What: "is expired and forged", Turn: func(k *idp.Knobs) {
			k.SignIDToken = func(h, c map[string]any) string {
				c["exp"], c["iat"] = time.Now().Add(-time.Hour).Unix(), time.Now().Add(-2*time.Hour).Unix()
				signed := l.providers["corp"].SignBytes(idtokenJSON(h), idtokenJSON(c))
				return signed[:len(signed)-20] + strings.Repeat("A", 20)
			}
		}}})
		if len(details) != 1 || !strings.Contains(details[0], "signature") || strings.Contains(details[0], "expired") {
			t.Errorf("it was refused for %q, want for its signature", details)
		}
	}},
}

func idtokenJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // they are maps of JSON already
	}
	return b
}

// idtokenKeptOut fails the case unless somebody who is signed in is kept out.
func (l *lab) idtokenKeptOut(r *reply) {
	l.t.Helper()
	r.status(l.t, http.StatusForbidden)
}

// idtokenKeys are key sets that cannot be had, or not be used, by the provider that has them.
var idtokenKeys = map[string]func(*idp.Knobs){
	"k-500": func(k *idp.Knobs) { k.JWKSStatus = http.StatusInternalServerError },
	"k-page": func(k *idp.Knobs) {
		k.RewriteJWKS = func([]byte) []byte { return []byte("<!doctype html><title>Welcome") }
	},
	// It has the key that is asked for, so that whoever reads all of it takes the token.
	"k-long": func(k *idp.Knobs) {
		k.RewriteJWKS = func(b []byte) []byte {
			b = regexp.MustCompile(`"kid":"[^"]*"`).ReplaceAll(b, []byte(`"kid":"unknown"`))
			return slices.Concat(bytes.TrimSuffix(b, []byte("}")), []byte(`,"x":"`), bytes.Repeat([]byte("x"), 10<<20), []byte(`"}`))
		}
	},
	"k-many": func(k *idp.Knobs) {
		k.RewriteJWKS = func([]byte) []byte {
			return []byte(`{"keys":[` + strings.Repeat(`{"kty":"oct","kid":"x","k":"YQ"},`, 9_999) + `{"kty":"oct","k":"YQ"}]}`)
		}
	},
	"k-none": func(k *idp.Knobs) { k.RewriteJWKS = func([]byte) []byte { return []byte(`{"keys":[]}`) } },
	"k-list": func(k *idp.Knobs) { k.RewriteJWKS = func([]byte) []byte { return []byte(`{"keys":{}}`) } },
}

// idtokenPublished are about keys that come and go, and clocks.
var idtokenPublished = []attack{
	{"T-36", "high", "a JWK set of 10 MB, of 10,000 keys of the wrong kind, a page, 500, none and nonsense, at the moment that a token with an unknown kid comes",
		"that token is refused and the keys of before stay good; what is read is bounded, and so is how often", func(t *testing.T, l *lab) {
			var events []string
			for _, name := range slices.Sorted(maps.Keys(idtokenKeys)) {
				p := l.providers[name]
				l.signinDone(l.signinWhole(name, oidctest.Alice))
				before := p.Stats().JWKSFetches
				l.signinTurn(name, idtokenKeys[name])
				l.signinTurn(name, func(k *idp.Knobs) { k.MutateIDToken = func(h, _ map[string]any) { h["kid"] = "unknown" } })
				events = append(events, "session.started", l.signinRefused(l.signinWhole(name, oidctest.Alice)))
				if n := p.Stats().JWKSFetches - before; n != 1 {
					t.Errorf("%s: the keys were fetched %d times, want once", name, n)
				}
				p.Turn(func(k *idp.Knobs) { k.MutateIDToken = nil })
				l.signinDone(l.signinWhole(name, oidctest.Alice))
				events = append(events, "session.started")
			}
			l.signinSaw(traces{sessions: 2 * len(idtokenKeys), events: events})
		}},
	{"T-37", "high", "a key that the provider has withdrawn", "it is good until the keys are fetched again, at the next unknown kid or when their time is over (5 minutes to a day; TestWithdrawnKey in auth/oidc), and never after it", func(t *testing.T, l *lab) {
		p, old := l.providers["rotating"], l.providers["partner"] // whose key is one that rotating publishes too
		public, kid, alg := old.PublicKey()
		signed := func(k *idp.Knobs) {
			k.SignIDToken = func(_, c map[string]any) string { return old.Sign(map[string]any{"typ": "JWT"}, c) }
		}
		l.signinTurn("rotating", func(k *idp.Knobs) {
			signed(k)
			k.MutateJWKS = func(set map[string]any) {
				own, _ := set["keys"].([]any)
				set["keys"] = append(own, idp.PublicJWK(kid, alg, public))
			}
		})
		l.signinDone(l.signinWhole("rotating", oidctest.Alice))
		if err := p.RotateKeys(); err != nil {
			t.Fatal(err)
		}
		p.Turn(func(k *idp.Knobs) { k.SignIDToken, k.MutateJWKS = nil, nil })
		l.signinDone(l.signinWhole("rotating", oidctest.Alice)) // with the new key, which nobody knew
		p.Turn(signed)
		event := l.signinRefused(l.signinWhole("rotating", oidctest.Alice))
		l.signinSaw(traces{sessions: 2, events: []string{"session.started", "session.started", event}})
	}},
	{"T-38", "high", "clocks that are 50 s and 10 minutes off, either way", "50 s are taken, 10 minutes are refused", func(t *testing.T, l *lab) {
		var events []string
		for _, good := range []oidctest.Forgery{idtokenShifted("iat", 50*time.Second), idtokenShifted("nbf", 50*time.Second), idtokenShifted("exp", -time.Hour-50*time.Second)} {
			l.signinTurn("corp", good.Turn)
			l.signinDone(l.signinWhole("corp", oidctest.Alice))
			events = append(events, "session.started")
			l.providers["corp"].Turn(func(k *idp.Knobs) { k.MutateIDToken = nil })
		}
		l.signinSaw(traces{sessions: 3, events: events})
		l.before = l.marks()
		l.idtokensRefused(idtokenForged(l, []string{"T-38"}, idtokenShifted("iat", 10*time.Minute), idtokenShifted("nbf", 10*time.Minute), idtokenShifted("exp", -time.Hour-10*time.Minute)))
	}},
}
