package attacks

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

func init() { sections = append(sections, renewal) }

func TestRenewal(t *testing.T) {
	t.Parallel()
	quick := providerLab(t, renewalLife, setup{more: "session: { rotation_grace: 1s }\n"})
	alone := providerLab(t, 5*time.Minute, setup{routes: "  - upstream: %[1]q\n", more: "session: { store: cookie }\n"})
	renewal.tryOn(t, quick, map[string]*lab{"R-10": alone})
}

// renewalLife is that of an access token in the labs where it is waited for.
const renewalLife = 2 * time.Second

// renewalOver waits until a token that is at hand now is over.
func renewalOver() { time.Sleep(renewalLife + 100*time.Millisecond) }

// renewalToken is the access token that the app got, and what it claims.
func renewalToken(t *testing.T, g *got) (token string, claims map[string]any) {
	t.Helper()
	token, ok := strings.CutPrefix(g.Header.Get("Authorization"), "Bearer ")
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		t.Fatalf("the app got no token:\n%s", g.head())
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	return token, must(t, claims, err)
}

// renewal is how an access token is replaced, and the handle in the cookie with it.
var renewal = &section{name: "Renewal", test: "TestRenewal", attacks: []attack{
	{"R-02", "critical", "50 people, four requests of each at once, at the moment when everybody's token is over",
		"each request goes up with its own person's name and token, and each session is renewed once", func(t *testing.T, l *lab) {
			const people, each = 50, 4
			jars := make([]*jar, people)
			for i := range jars {
				u := idp.User{Subject: fmt.Sprint("subject-", i), Username: fmt.Sprint("person-", i), Password: password}
				if err := l.provider().SetUser(u); err != nil {
					t.Fatal(err)
				}
				jars[i] = l.newJar("a browser")
				jars[i].enter(u.Username, u.Password)
			}
			l.provider().ResetStats()
			renewalOver()
			var all sync.WaitGroup
			for i, j := range jars {
				lines := j.lines()
				for k := range each {
					x := l.line()
					all.Go(func() {
						if r := x.get(fmt.Sprintf("/%d/%d", i, k), lines...); r.StatusCode != 200 {
							t.Errorf("person %d: got %d %.200q", i, r.StatusCode, r.body)
						}
					})
				}
			}
			all.Wait()
			for _, g := range l.saw(traces{app: people * each}) {
				var i, k int
				_, err := fmt.Sscanf(g.URL.Path, "/%d/%d", &i, &k)
				_, claims := renewalToken(t, g)
				if err != nil || g.Header.Get("X-Forwarded-User") != fmt.Sprint("subject-", i) || claims["sub"] != fmt.Sprint("subject-", i) {
					t.Errorf("%s went up as %q with a token of %v", g.URL.Path, g.Header.Get("X-Forwarded-User"), claims["sub"])
				}
			}
			if s := l.provider().Stats(); s.RefreshGrants < people || s.RefreshGrants > 2*people || s.MaxConcurrentRefreshPerGrant > 1 || s.ReuseDetected > 0 {
				t.Errorf("the provider counted %d grants, up to %d of one at once, %d used twice; want about one for each of %d", s.RefreshGrants, s.MaxConcurrentRefreshPerGrant, s.ReuseDetected, people)
			}
		}},
	{"R-03", "high", "answers that carry a new handle are lost, three times: the client hangs up before it has read them",
		"the handle of before goes on until a new one has been in use for `rotation_grace`; then it is asked to come again, and not served", func(t *testing.T, l *lab) {
			j := l.newJar("a browser")
			j.enter("alice", oidctest.Alice.Password)
			old := j.copy("a browser")
			renewalOver()
			for range 3 {
				n, c := l.app.count(), l.dial(gatewayHost)
				if _, err := io.WriteString(c, l.request("GET", "/lost", j.lines()...)); err != nil {
					t.Fatal(err)
				}
				for range 500 {
					if l.app.count() > n {
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
				c.Close()
			}
			requests := 3
			if j.get("/").status(t, 200); j.sid() == old.sid() {
				t.Error("the old handle got no new one")
			}
			requests++
			for began := time.Now(); time.Since(began) < 4*time.Second; time.Sleep(300 * time.Millisecond) {
				j.get("/").status(t, 200)
				requests++
			}
			l.get("/", old.lines()...).status(t, http.StatusTemporaryRedirect)
			j.get("/").status(t, 200)
			l.saw(traces{app: requests + 1, any: true})
			l.hears("session.reuse_suspected")
			for _, e := range l.events()[l.before.audit:] {
				if e["event"] == "session.reuse_detected" {
					t.Error("lost answers were taken for theft")
				}
			}
		}},
	{"R-04", "critical", "a copy of the cookie from before a rotation, from another browser, once the owner's has settled",
		"the session ends for both, its refresh token is revoked at the provider, and the audit log has `session.reuse_detected`", func(t *testing.T, l *lab) {
			j := l.newJar("a browser")
			j.enter("alice", oidctest.Alice.Password)
			thief := j.copy("another browser")
			requests, revoked := renewalRotated(l, j), l.provider().Stats().Revocations
			l.denied(thief.get("/"))
			l.denied(j.get("/"))
			l.saw(traces{app: requests, sessions: -1, events: []string{"session.reuse_suspected", "session.reuse_detected"}})
			renewalRevoked(l, revoked)
		}},
	{"R-05", "critical", "the provider answers `invalid_grant`", "the session ends and the person is asked to sign in, also once the provider thinks otherwise again", func(t *testing.T, l *lab) {
		j := l.newJar("a browser")
		j.enter("alice", oidctest.Alice.Password)
		l.provider().Turn(func(k *idp.Knobs) { k.TokenError, k.OnlyRefresh = "invalid_grant", true })
		renewalOver()
		r := j.get("/")
		l.provider().Turn(func(k *idp.Knobs) { k.TokenError, k.OnlyRefresh = "", false })
		l.denied(r)
		l.denied(j.get("/"))
		l.saw(traces{sessions: -1, events: []string{"session.withdrawn/grant_refused"}})
	}},
	{"R-08", "medium", "answers without a refresh token; and without `expires_in`, or with one of zero, minus one, three hundred years and a word",
		"the refresh token at hand is kept and used again; a life that is not said is five minutes and none is over 30 days, and an app that says that a token is over gets a fresh one at once", func(t *testing.T, l *lab) {
			j := l.newJar("a browser")
			j.enter("alice", oidctest.Alice.Password)
			p := l.provider()
			defer p.Turn(func(k *idp.Knobs) { k.NoRotation, k.OmitExpiresIn, k.RewriteTokenAnswer = false, false, nil })
			p.Turn(func(k *idp.Knobs) { k.NoRotation = true })
			var sent []string
			for range 2 {
				renewalOver()
				j.get("/").status(t, 200)
				sent = append(sent, p.Stats().LastTokenForm.Get("refresh_token"))
			}
			if sent[0] == "" || sent[0] != sent[1] {
				t.Error("the refresh token that was not replaced is not the one that was sent next")
			}
			// Sessions whose token is said to live for another time than it does.
			jars := map[string]*jar{}
			var over sync.Map // the tokens that they begin with
			for _, lie := range []string{"", "0", "-1", "9500000000", `"soon"`} {
				p.Turn(func(k *idp.Knobs) {
					k.OmitExpiresIn = lie == ""
					k.RewriteTokenAnswer = func(b []byte) []byte {
						var a map[string]any
						if json.Unmarshal(b, &a) != nil {
							return b
						}
						over.Store(a["access_token"], true)
						if lie == "" {
							return b
						}
						a["expires_in"] = json.RawMessage(lie)
						b, _ = json.Marshal(a)
						return b
					}
				})
				said := l.newJar("a browser")
				said.enter("alice", oidctest.Alice.Password)
				jars[lie] = said
			}
			p.Turn(func(k *idp.Knobs) { k.OmitExpiresIn, k.RewriteTokenAnswer = false, nil })
			l.app.answers(t, func(g *got) string { // as an app that looks at its tokens
				token, _ := renewalToken(t, g)
				if _, ok := over.Load(token); ok {
					return answer(401, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n", "")
				}
				return echo(g)
			})
			renewalOver()
			for lie, j := range jars {
				if r := j.get("/"); r.StatusCode != 200 {
					t.Errorf("expires_in %q: got %d, want a token that is good", lie, r.StatusCode)
				}
			}
			l.saw(traces{app: 2 * len(jars), any: true}) // each once with the token at hand, and once anew
		}},
	{"R-09", "high", "somebody is taken out of a group at the provider while they are signed in", "from the next renewal on they are refused what the group may, and the app is told of the groups of now", func(t *testing.T, l *lab) {
		p, user := l.provider(), oidctest.Alice
		user.Groups = []string{"staff", "admin"}
		set := func(groups ...string) {
			user.Groups = groups
			if err := p.SetUser(user); err != nil {
				t.Fatal(err)
			}
		}
		set("staff", "admin")
		j := l.newJar("a browser")
		j.enter("alice", user.Password)
		j.get("/admin/x").status(t, 200)
		set("staff")
		renewalOver()
		j.get("/") // a request that renews
		j.get("/admin/x").status(t, 403)
		all := l.saw(traces{app: 2})
		if last := all[len(all)-1].Header.Get("X-Forwarded-Groups"); last != "staff" {
			t.Errorf("the app was told of the groups %q, want staff", last)
		}
		if err := p.SetUser(oidctest.Alice); err != nil {
			t.Fatal(err)
		}
	}},
	{"R-10", "high", "a session that began 31 days ago, with a refresh token that the provider would take, and one that is a day from its end",
		"the first has to sign in again, and the provider is not asked; with a store: `TestIdleAndAbsoluteEnd`", func(t *testing.T, l *lab) {
			j := l.newJar("a browser")
			j.enter("bob", oidctest.Bob.Password)
			began := func(ago time.Duration) *jar {
				old := j.copy("a browser")
				cookiesAnew(l, old, func(p map[string]any) { p["created"] = cookiesAgo(ago) })
				return old
			}
			asked := l.provider().Stats().TokenRequests
			over := began(31 * 24 * time.Hour)
			l.denied(over.get("/"))
			if n := l.provider().Stats().TokenRequests - asked; n != 0 {
				t.Errorf("the provider was asked %d times", n)
			}
			began(29*24*time.Hour).get("/").status(t, 200)
			l.saw(traces{app: 1, events: []string{"session.ended/lifetime"}})
		}},
}}

// renewalRotated goes on with a jar until its first handle is two generations old, and returns
// how many requests the app got.
func renewalRotated(l *lab, j *jar) (requests int) {
	l.t.Helper()
	first, rotations := j.sid(), 0
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(250 * time.Millisecond) {
		was := j.sid()
		j.get("/").status(l.t, 200)
		requests++
		if j.sid() != was {
			rotations++
		}
		if rotations >= 2 && j.sid() != first {
			return requests
		}
	}
	l.t.Fatalf("the handle rotated %d times", rotations)
	return requests
}

// renewalRevoked waits until the provider was told to revoke.
func renewalRevoked(l *lab, before int) {
	l.t.Helper()
	l.eventually("the provider is told to revoke", func() bool { return l.provider().Stats().Revocations > before })
}
