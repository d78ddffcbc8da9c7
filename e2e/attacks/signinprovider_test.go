package attacks

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// signinStarts is how many sign-ins S-07 begins.
const signinStarts = 3000

// signinProviders are about what goes between the gateway and a provider.
var signinProviders = []attack{
	{"S-07", "high", "3000 sign-ins begun, and the verifiers of some ended ones", "S256 alone; state, nonce and challenge are never the same twice, and each is of 256 bits", func(t *testing.T, l *lab) {
		c := l.dial(gatewayHost)
		in := bufio.NewReader(c)
		seen := map[string]bool{}
		for range signinStarts {
			_ = c.SetDeadline(time.Now().Add(patience)) // of each; all of them take as long as the machine does
			if _, err := io.WriteString(c, "GET /.evergate/login/corp HTTP/1.1\r\nHost: "+l.host+"\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			to, err := r.Location()
			if err != nil {
				t.Fatalf("got %d: %v", r.StatusCode, err)
			}
			q := to.Query()
			if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("nonce")) < 43 || len(q.Get("state")) < 43 || q.Get("response_type") != "code" {
				t.Fatalf("a sign-in begins with %v", q)
			}
			for _, name := range []string{"state", "nonce", "code_challenge"} {
				if seen[q.Get(name)] {
					t.Fatalf("%s %q is there twice", name, q.Get(name))
				}
				seen[q.Get(name)] = true
			}
		}
		for range 5 {
			l.signinDone(l.signinWhole("corp", oidctest.Alice))
			verifier := l.providers["corp"].Stats().LastTokenForm.Get("code_verifier")
			if len(verifier) < 43 || seen[verifier] {
				t.Errorf("a verifier of %d letters, or one that was there before", len(verifier))
			}
			seen[verifier] = true
			l.secrets.add("a verifier", verifier)
		}
		l.signinSaw(traces{sessions: 5, events: []string{"session.started", "session.started", "session.started", "session.started", "session.started"}})
	}},
	{"S-08", "medium", "a provider whose metadata list PKCE with `plain` alone", "S256 is sent all the same, never `plain` and never nothing; `evergate init oidc` warns of such a provider", func(t *testing.T, l *lab) {
		f := l.signinBegin("plain")
		if q := f.to.Query(); q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 {
			t.Errorf("it asks with %v", q)
		}
		l.signinDone(l.signinVisit(l.signinAnswer(f, oidctest.Alice).RequestURI(), f.cookie))
		if s := l.providers["plain"].Stats(); s.CodeGrants != 1 || s.LastTokenForm.Get("code_verifier") == "" {
			t.Errorf("the provider, which does check it, counted %d grants with the verifier %q", s.CodeGrants, s.LastTokenForm.Get("code_verifier"))
		}
		l.signinSaw(traces{sessions: 1, events: []string{"session.started"}})
	}},
	{"S-09", "high", "callbacks of a provider that promises `iss`: without it, with another, with a slash more, in capitals, empty, and twice", "refused before the code is sent anywhere", func(t *testing.T, l *lab) {
		p := l.providers["corp"]
		p.ResetStats()
		var events []string
		for _, iss := range [][]string{nil, {"https://evil.test"}, {p.Issuer + "/"}, {strings.ToUpper(p.Issuer)}, {""}, {p.Issuer, p.Issuer}, {p.Issuer, "https://evil.test"}, {p.Issuer + "\x00"}, {" " + p.Issuer}} {
			f := l.signinBegin("corp")
			back := l.signinAnswer(f, oidctest.Alice)
			q := back.Query()
			if q["iss"] = iss; iss == nil {
				q.Del("iss")
			}
			events = append(events, l.signinRefused(l.signinVisit(back.Path+"?"+q.Encode(), f.cookie)))
		}
		if n := p.Stats().TokenRequests; n != 0 {
			t.Errorf("the token endpoint got %d requests, want none", n)
		}
		l.signinSaw(traces{events: events})
	}},
	{"S-10", "critical", "a sign-in begun at one provider and answered with the code and `iss` of another, at either callback", "refused, and neither provider is sent the other's code; each has a callback of its own", func(t *testing.T, l *lab) {
		corp, partner := l.providers["corp"], l.providers["partner"]
		other := l.signinBegin("partner")
		theirs := l.signinAnswer(other, oidctest.Bob).Query()
		corp.ResetStats()
		partner.ResetStats()
		var events []string
		for _, iss := range []string{partner.Issuer, corp.Issuer} {
			for _, path := range []string{"corp", "partner"} {
				f := l.signinBegin("corp")
				if f.to.Query().Get("redirect_uri") == other.to.Query().Get("redirect_uri") {
					t.Error("both providers have the same redirect URI")
				}
				q := url.Values{"code": theirs["code"], "iss": {iss}, "state": {f.to.Query().Get("state")}}
				if path == "corp" && iss == corp.Issuer {
					continue // corp itself would have to say so, and would be sent the code: it is S-06
				}
				events = append(events, l.signinRefused(l.signinVisit("/.evergate/callback/"+path+"?"+q.Encode(), f.cookie)))
			}
		}
		if a, b := corp.Stats().TokenRequests, partner.Stats().TokenRequests; a+b != 0 {
			t.Errorf("the token endpoints got %d and %d requests, want none", a, b)
		}
		l.signinSaw(traces{events: events})
	}},
	{"S-19", "high", "a token endpoint that answers with a redirect, a page, 1 GB, nothing for a minute, an error in its own words, a MAC token, no ID token, and a thing said twice",
		"nobody is signed in, within a second or two; no redirect is followed with the secret, at most 1 MiB is read, and no word of it is shown", func(t *testing.T, l *lab) {
			var events []string
			for _, a := range signinTokenEndpoints {
				f := l.signinBegin(a.name)
				q := url.Values{"code": {"made-up"}, "state": {f.to.Query().Get("state")}}
				r := l.signinVisit("/.evergate/callback/"+a.name+"?"+q.Encode(), f.cookie)
				events = append(events, l.signinRefused(r))
				if strings.Contains(r.body, "words of the provider") || strings.Contains(r.body, "alert(") {
					t.Errorf("%s: the page has what the provider said", a.name)
				}
			}
			if n := signinLies.got("/evil/token"); n != 0 {
				t.Errorf("%d redirects were followed", n)
			}
			if n := signinLies.endless(); n > 16<<20 {
				t.Errorf("%d bytes of an endless answer were taken", n)
			}
			again := func(more string) func(*idp.Knobs) {
				return func(k *idp.Knobs) {
					k.RewriteTokenAnswer = func(b []byte) []byte { return append(bytes.TrimSuffix(b, []byte("}")), more+"}"...) }
				}
			}
			for i, lie := range []func(*idp.Knobs){
				func(k *idp.Knobs) { k.TokenType = "mac" }, func(k *idp.Knobs) { k.TokenType = "DPoP" },
				func(k *idp.Knobs) { k.OmitIDTokenAtLogin = true }, func(k *idp.Knobs) { k.OmitAccessToken = true },
				func(k *idp.Knobs) { k.HugeBody = true }, func(k *idp.Knobs) { k.MalformedJSON = true },
				again(`,"access_token":"another"`), again(`,"refresh_token":"another"`), again(`,"token_type":"Bearer"`), again(`,"access\u005ftoken":"another"`),
				again(`,"Refresh_Token":"another"`), again(`,"ACCESS_TOKEN":"another"`), again(`,"id_token":["another"]`), again(`} {"access_token":"another"`),
			} {
				good := l.providers["corp"].Knobs()
				l.signinTurn("corp", lie)
				if e := l.signinRefused(l.signinWhole("corp", oidctest.Alice)); e != "" {
					events = append(events, e)
				} else {
					t.Errorf("answer %d was taken", i)
				}
				l.providers["corp"].Turn(func(k *idp.Knobs) { *k = good })
			}
			l.signinSaw(traces{events: events})
		}},
	{"S-20", "high", "metadata of another issuer, of nearly this one, with endpoints over http, of a cloud's own address, of a file, of a script, behind a redirect, and too long",
		"nothing of them is believed: no sign-in begins, a page says that the provider does not answer, and no such address is asked", func(t *testing.T, l *lab) {
			var events []string
			for _, d := range signinDiscoveries {
				r := l.signinVisit("/.evergate/login/" + d.name)
				if e := l.signinRefused(r); e != "login.failed/unavailable" {
					t.Errorf("%s: got %d and event %s, want 503", d.name, r.StatusCode, e)
				}
				events = append(events, "login.failed/unavailable")
				if strings.Contains(r.body, "169.254") || strings.Contains(r.body, "other.test") {
					t.Errorf("%s: the page has what the provider said", d.name)
				}
				if n := signinLies.got("/" + d.name + "/.well-known/openid-configuration"); n != 1 {
					t.Errorf("%s was asked %d times, want once", d.name, n)
				}
			}
			if n := signinLies.got("/evil/metadata"); n != 0 {
				t.Errorf("%d redirects were followed", n)
			}
			l.signinSaw(traces{events: events})
		}},
	{"S-22", "high", "a provider whose metadata name other endpoints, which wants the client to prove itself with a signed assertion", "the assertion's `aud` is the issuer and nothing else, so it is worth nothing to any other provider; it is short-lived and of one use", func(t *testing.T, l *lab) {
		f := l.signinBegin("assert")
		// What was pushed has the state, and the browser does not.
		pushed := signinLies.formOf("/assert/par")
		if f.to.Query().Get("state") != "" || pushed.Get("state") == "" {
			t.Fatalf("the browser carries %v, and %v was pushed", f.to.Query(), pushed)
		}
		q := url.Values{"code": {"made-up"}, "state": {pushed.Get("state")}}
		event := l.signinRefused(l.signinVisit("/.evergate/callback/assert?"+q.Encode(), f.cookie))
		var ids []any
		for _, path := range []string{"/assert/par", "/assert/token"} {
			form := signinLies.formOf(path)
			claims := idtokenClaims(t, form.Get("client_assertion"))
			if aud := claims["aud"]; !reflect.DeepEqual(aud, signinLies.issuer("assert")) && !reflect.DeepEqual(aud, []any{signinLies.issuer("assert")}) {
				t.Errorf("%s: aud is %v, want the issuer alone", path, aud)
			}
			exp, _ := claims["exp"].(float64)
			iat, _ := claims["iat"].(float64)
			if claims["iss"] != oidctest.ClientID || claims["sub"] != oidctest.ClientID || exp-iat > 120 || exp <= iat || claims["jti"] == nil || form.Has("client_secret") {
				t.Errorf("%s: the assertion says %v", path, claims)
			}
			ids = append(ids, claims["jti"])
			l.secrets.add("an assertion", form.Get("client_assertion"))
		}
		if ids[0] == ids[1] {
			t.Error("one assertion was used twice")
		}
		l.signinSaw(traces{events: []string{event}})
	}},
}
