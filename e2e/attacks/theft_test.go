package attacks

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
)

func init() { sections = append(sections, theft) }

func TestTheft(t *testing.T) {
	t.Parallel()
	quick := providerLab(t, renewalLife, setup{more: "session: { rotation_grace: 1s }\n"})
	local := newLab(t, setup{})
	bound := newLab(t, setup{routes: boundRoutes, more: boundSession})
	proven := providerLab(t, 5*time.Minute, setup{identity: "      dpop: true\n", routes: "  - upstream: %[1]q\n    token: { dpop: true }\n"})
	keys := newLab(t, setup{identity: "  - local: { users_file: users.yaml, second_factor: required }\n", files: map[string]string{"users.yaml": usersFile}})
	theft.tryOn(t, quick, map[string]*lab{"TD-2": local, "TD-3": local, "TD-7": bound, "TD-8": proven, "TD-9": keys})
}

// theft are drills: something is stolen, and is used for as long as it is worth something. The
// labs have tokens of two seconds and a rotation_grace of one, and proofs that are good for ten, so
// that minutes are seconds.
var theft = &section{name: "Theft", test: "TestTheft", attacks: []attack{
	{"TD-1", "critical", "a copy of the session cookie in another browser: while its owner is away, and then while both are active",
		"the thief is the owner while those are away, until an operator ends it. With both active the session ends for both within about two rotations, and at the provider; the owner signs in again, and the thief has nothing",
		func(t *testing.T, l *lab) {
			owner := l.newJar("the owner's browser")
			owner.enter("alice", oidctest.Alice.Password)
			thief, served := owner.copy("the thief's browser"), 0
			for began := time.Now(); time.Since(began) < 3*renewalLife; time.Sleep(250 * time.Millisecond) {
				thief.get("/").status(t, 200)
				served++
			}
			for _, g := range l.saw(traces{app: served}) { // nothing shows
				if user := g.Header.Get("X-Forwarded-User"); user != oidctest.Alice.Subject {
					t.Errorf("the thief is %q to the app, want the owner", user)
				}
			}
			code, said := evergate(t, l.dir, nil, "session", "revoke", "--config", l.config, "--user", oidctest.Alice.Subject)
			if code != 0 {
				t.Errorf("session revoke: got exit code %d: %s", code, said)
			}
			l.denied(thief.get("/"))
			if e := l.hears("session.revoked"); e["reason"] != "by_operator" {
				t.Errorf("the audit log has %v, want that the operator ended it", e)
			}

			owner = l.newJar("the owner's browser")
			owner.enter("alice", oidctest.Alice.Password)
			thief, served = owner.copy("the thief's browser"), 0
			revoked, began := l.provider().Stats().Revocations, time.Now()
			for both := 2; both == 2; time.Sleep(200 * time.Millisecond) {
				both = 0
				for _, j := range []*jar{owner, thief} {
					if r := j.get("/"); r.StatusCode == 200 {
						both++
						served++
					} else {
						l.denied(r)
					}
				}
				if time.Since(began) > 30*time.Second {
					t.Fatal("after 30 seconds both are still served")
				}
			}
			took := time.Since(began)
			t.Logf("both together were served %d times in %v", served, took.Round(100*time.Millisecond))
			if most := 4 * (renewalLife + time.Second); took > most { // two rotations, and a settling each
				t.Errorf("it took %v until it showed, want %v at most", took, most)
			}
			l.denied(owner.get("/"))
			l.denied(thief.get("/"))
			l.hears("session.reuse_detected")
			renewalRevoked(l, revoked)
			again := l.newJar("the owner's browser")
			l.saw(traces{app: served, sessions: -1, any: true})
			again.enter("alice", oidctest.Alice.Password)
			again.get("/").status(t, 200)
			l.denied(thief.get("/"))
			l.saw(traces{app: 1})
		}},
	theftDump, theftRing,
	{"TD-4", "high", "an access token, as an app could leak it: at the app itself, and at the gateway as a Bearer token, a cookie and a parameter",
		"at an app that it is for it is good until it runs out, also once the session was ended; at the gateway it is nothing. Nobody sees it, and nothing but its end ends it",
		func(t *testing.T, l *lab) {
			owner := l.newJar("the owner's browser")
			owner.enter("alice", oidctest.Alice.Password)
			var token string
			var taken time.Time
			tries := 0
			for good := false; !good; {
				renewalOver() // so that the token is as fresh as one can be
				began := time.Now()
				owner.get("/").status(t, 200)
				tries++
				token, _ = renewalToken(t, l.saw(traces{app: tries})[tries-1])
				good, taken = theftGood(t, l, token), time.Now()
				// Where all that took a token's life, which is told in whole seconds, it says nothing.
				if !good && (tries == 5 || taken.Sub(began) < renewalLife-time.Second) {
					t.Fatal("the app does not take its own token")
				}
			}
			bearer := "Authorization: Bearer " + token
			l.denied(l.get("/", bearer))
			l.get("/.evergate/session", bearer).status(t, 401)
			l.denied(l.get("/", "Cookie: "+sessionCookie+"="+token))
			l.denied(l.get("/?access_token=" + token))
			l.denied(l.get("/admin/x", bearer, "X-Forwarded-User: alice"))
			owner.signOut()
			l.saw(traces{app: tries, sessions: -1, events: []string{"session.ended/signed_out"}})
			for theftGood(t, l, token) {
				if time.Since(taken) > 2*renewalLife {
					t.Fatalf("%v later the token is good still", time.Since(taken))
				}
				time.Sleep(50 * time.Millisecond)
			}
			l.saw(traces{app: tries, sessions: -1, events: []string{"session.ended/signed_out"}}) // and no more
		}},
	{"TD-5", "critical", "a handle that has been replaced, as a backup of a browser's profile or an old log has it: by a program without a jar, and in a browser",
		"the program is not served and does no harm, but `session.reuse_suspected`; the browser is told apart from a late request, and the session ends for both",
		func(t *testing.T, l *lab) {
			owner := l.newJar("the owner's browser")
			owner.enter("alice", oidctest.Alice.Password)
			leaked := owner.copy("a program")
			requests := renewalRotated(l, owner)
			for range 5 {
				r := l.get("/", leaked.lines()...)
				r.status(t, http.StatusTemporaryRedirect)
				if to := r.Header.Get("Location"); to != "/" {
					t.Errorf("it is sent to %q, want to where it is", to)
				}
			}
			l.one(l.request("POST", "/transfer", append(leaked.lines(), "Content-Length: 2")...)+"{}").status(t, http.StatusTemporaryRedirect)
			owner.get("/").status(t, 200)
			l.saw(traces{app: requests + 1, any: true})
			l.hears("session.reuse_suspected")
			l.before = l.marks()
			thief := leaked.copy("the thief's browser")
			l.denied(thief.get("/"))
			l.denied(owner.get("/"))
			l.hears("session.reuse_detected")
			l.saw(traces{sessions: -1, any: true})
			owner.enter("alice", oidctest.Alice.Password)
			owner.get("/").status(t, 200)
			l.denied(thief.get("/"))
			l.saw(traces{app: 1, any: true})
		}},
	{"TD-6", "high", "the client secret, at the provider: to renew without a refresh token, to exchange the code of somebody's sign-in, and to begin one",
		"no session and nobody's tokens: a code is exchanged by whoever began the sign-in (PKCE), so it takes a person who signs in for the thief",
		func(t *testing.T, l *lab) {
			p := l.provider()
			owner := l.newJar("the owner's browser")
			owner.enter("alice", oidctest.Alice.Password)
			r := owner.keep(l.get("/.evergate/login/oidc?rd=/", l.newJar("another tab").lines()...))
			back := p.SignIn(t, nil, r.Header.Get("Location"), "alice", oidctest.Alice.Password)
			code, redirect := back.Query().Get("code"), "https://"+l.host+"/.evergate/callback/oidc"
			for name, form := range map[string]url.Values{
				"without a refresh token": {"grant_type": {"refresh_token"}, "refresh_token": {"guessed"}},
				"as itself":               {"grant_type": {"client_credentials"}},
				"without a verifier":      {"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}},
				"another verifier":        {"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {strings.Repeat("v", 43)}},
			} {
				req, err := http.NewRequest(http.MethodPost, p.Issuer+"/token", strings.NewReader(form.Encode()))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				req.SetBasicAuth(p.ClientID, url.QueryEscape(p.ClientSecret))
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != 400 && res.StatusCode != 401 || strings.Contains(string(body), "access_token") {
					t.Errorf("%s: the provider answers %d %.200s", name, res.StatusCode, body)
				}
			}
			owner.get("/").status(t, 200)
			l.saw(traces{app: 1})
		}},
	theftBound, theftProven, theftPasskey,
}}

// theftGood reports whether an app takes a token of the lab's provider: it looks at the signature and the time, as JWT libraries do.
func theftGood(t *testing.T, l *lab, token string) bool {
	t.Helper()
	input, signature, _ := cutLast(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	public, _, _ := l.provider().PublicKey()
	sum := sha256.Sum256([]byte(input))
	_, claims := renewalToken(t, &got{Request: &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}})
	ends, _ := claims["exp"].(float64)
	return rsa.VerifyPKCS1v15(public.(*rsa.PublicKey), crypto.SHA256, sum[:], raw) == nil && float64(time.Now().Unix()) < ends
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
