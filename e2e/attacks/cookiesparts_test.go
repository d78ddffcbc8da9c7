package attacks

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/internal/idp"
)

// cookiesParts are about sessions that lie in cookies alone, in parts.
var cookiesParts = []attack{
	{"C-02", "critical", "`session.store: cookie`: the first part of alice's session with the second part of bob's, and the other way round",
		"neither is let in, and the parts are deleted", func(t *testing.T, l *lab) {
			alice, bob := cookiesMany(l, "alice"), cookiesMany(l, "bob")
			for _, pair := range [][2]*jar{{alice, bob}, {bob, alice}} {
				mixed := pair[0].copy("a thief")
				mixed.all[sessionCookie+"-1"] = pair[1].all[sessionCookie+"-1"]
				cookiesRefused(l, mixed)
			}
			alice.get("/").status(t, 200)
			bob.get("/").status(t, 200)
			l.saw(traces{app: 2})
		}},
	{"C-03", "high", "`session.store: cookie`: parts left out, too many, in another order, twice under two names, and a part that an older, larger session left behind",
		"nobody is let in, and the parts are deleted: each bears under its seal what set it is of, its place and how many there are", func(t *testing.T, l *lab) {
			j := cookiesMany(l, "alice")
			older := cookiesMany(l, "alice")
			first, second := sessionCookie, sessionCookie+"-1"
			for name, change := range map[string]func(all map[string]string){
				"the first alone":             func(all map[string]string) { cookiesDrop(all, first) },
				"all but the first":           func(all map[string]string) { delete(all, first) },
				"one more":                    func(all map[string]string) { all[cookiesPart(len(all))] = all[second] },
				"the last that there can be":  func(all map[string]string) { all[cookiesPart(5)] = all[second] },
				"the first two swapped":       func(all map[string]string) { all[first], all[second] = all[second], all[first] },
				"the first one twice":         func(all map[string]string) { all[second] = all[first] },
				"a part of another sign-in's": func(all map[string]string) { all[second] = older.all[second] },
			} {
				mixed := j.copy(name)
				change(mixed.all)
				cookiesRefused(l, mixed)
			}
			// A session of one part, in a jar that a larger one left a part in.
			user := oneOf(l, "alice")
			user.Groups = []string{"staff"}
			if err := l.provider().SetUser(user); err != nil {
				t.Fatal(err)
			}
			small := l.newJar("a browser")
			small.enter(user.Username, user.Password)
			if len(small.all) != 1 {
				t.Fatalf("the small session takes %d cookies, want one", len(small.all))
			}
			stale := small.copy("a browser")
			stale.all[second] = j.all[second]
			cookiesRefused(l, stale)
			small.get("/").status(t, 200)
			l.saw(traces{app: 1, events: nil})
		}},
	{"C-04", "high", "`session.store: cookie`: names that claim a great many parts, such as `…-99999999`, and counters beside them",
		"turned away at once: six names are looked at, and how many parts there are is under their seal", func(t *testing.T, l *lab) {
			j := cookiesMany(l, "alice")
			for _, lie := range []string{"-99999999", "-6", "-00", "-01", "--1", "-count", "_chunks"} {
				lied := j.copy("a liar")
				cookiesDrop(lied.all, sessionCookie)
				lied.all[sessionCookie+lie] = "99999999"
				within(t, 2*time.Second, lie, func() { cookiesRefused(l, lied) })
			}
			l.saw(traces{})
		}},
	{"C-09", "high", "`session.store: cookie`, with the key ring at hand: a session that began 31 days ago, one that nobody used for 13 hours, and one of both in the future; and the attributes of a cookie sent back as if they counted",
		"turned away, though the provider would renew it; with a store: `TestIdleAndAbsoluteEnd`", func(t *testing.T, l *lab) {
			j := l.newJar("a browser")
			j.enter("bob", oidctest.Bob.Password)
			for name, change := range map[string]func(p map[string]any){
				"31 days":  func(p map[string]any) { p["created"] = cookiesAgo(31 * 24 * time.Hour) },
				"13 hours": func(p map[string]any) { p["seen"] = cookiesAgo(13 * time.Hour) },
				"both": func(p map[string]any) {
					p["created"], p["seen"] = cookiesAgo(31*24*time.Hour), cookiesAgo(13*time.Hour)
				},
				"no time":    func(p map[string]any) { delete(p, "created") },
				"13 h, used": func(p map[string]any) { p["created"], p["seen"] = cookiesAgo(721*time.Hour), cookiesAgo(0) },
			} {
				old := j.copy(name)
				cookiesAnew(l, old, change)
				r := l.get("/", old.lines("Cookie: Max-Age=99999999; Expires=Fri, 01 Jan 2100 00:00:00 GMT; Path=/")...)
				l.denied(r)
			}
			if n := l.provider().Stats().RefreshGrants; n != 0 {
				t.Errorf("the provider made %d grants for them, want none", n)
			}
			// What is made like that counts otherwise, or all of the above would say nothing.
			same := j.copy("as it was")
			cookiesAnew(l, same, func(map[string]any) {})
			same.get("/").status(t, 200)
			l.saw(traces{app: 1, any: true})
			l.hears("session.ended")
		}},
	{"C-18", "high", "`session.store: cookie`: a provider whose ID token takes 20 kB and more",
		"the sign-in is refused with a page that says why, without a session; what fits is in lines of 4096 bytes at most", func(t *testing.T, l *lab) {
			j := cookiesMany(l, "alice")
			for name, value := range j.all {
				if n := len(name + "=" + value + "; Path=/; HttpOnly; Secure; SameSite=Lax"); n > 4096 {
					t.Errorf("the line of %s has %d bytes", name, n)
				}
			}
			l.provider().Turn(func(k *idp.Knobs) {
				k.MutateIDToken = func(_, claims map[string]any) { claims["groups"] = cookiesGroups(24 << 10) }
			})
			defer l.provider().Turn(func(k *idp.Knobs) { k.MutateIDToken = nil })
			large := l.newJar("a browser")
			r := large.callback("bob", oidctest.Bob.Password)
			if r.StatusCode < 400 || cookiesHas(r, sessionCookie) || !strings.Contains(r.body, "too large") && !strings.Contains(r.body, "too much") {
				t.Errorf("got %d %.600q, want a page that says that it is too large, and no session", r.StatusCode, r.body)
			}
			l.saw(traces{any: true})
		}},
}

// cookiesMany signs somebody in whose session takes several cookies.
func cookiesMany(l *lab, username string) *jar {
	l.t.Helper()
	user := oneOf(l, username)
	was := user
	user.Groups = cookiesGroups(5 << 10)
	if err := l.provider().SetUser(user); err != nil {
		l.t.Fatal(err)
	}
	j := l.newJar("a browser of " + username)
	j.enter(user.Username, user.Password)
	if len(j.all) < 2 {
		l.t.Fatalf("the session takes %d cookies, want several", len(j.all))
	}
	if err := l.provider().SetUser(was); err != nil {
		l.t.Fatal(err)
	}
	return j
}

// cookiesGroups are groups of so many bytes that do not get smaller by being compressed.
func cookiesGroups(size int) (groups []string) {
	for n := 0; n < size; n += 26 {
		groups = append(groups, rand.Text())
	}
	return groups
}

// oneOf is a user of the lab's provider.
func oneOf(l *lab, username string) idp.User {
	l.t.Helper()
	for _, u := range []idp.User{oidctest.Alice, oidctest.Bob} {
		if u.Username == username {
			return u
		}
	}
	l.t.Fatalf("there is no %s", username)
	return idp.User{}
}

// cookiesRefused fails the case unless whoever has the jar is turned away, and what is in it is deleted.
func cookiesRefused(l *lab, j *jar) {
	l.t.Helper()
	r := l.get("/", j.lines()...)
	if r.StatusCode == http.StatusOK {
		l.t.Errorf("%s: got in", j.agent)
	}
	l.denied(r)
	for name := range j.all {
		if name == sessionCookie || strings.HasPrefix(name, sessionCookie+"-") && len(name) == len(sessionCookie)+2 && name[len(name)-1] >= '1' && name[len(name)-1] <= '5' {
			l.clears(r, name)
		}
	}
}

// cookiesPart is the name of a part.
func cookiesPart(i int) string {
	if i == 0 {
		return sessionCookie
	}
	return fmt.Sprintf("%s-%d", sessionCookie, i)
}

// cookiesDrop takes all away but one.
func cookiesDrop(all map[string]string, but string) {
	for name := range all {
		if name != but {
			delete(all, name)
		}
	}
}

func cookiesHas(r *reply, name string) bool {
	for _, c := range r.Cookies() {
		if c.Name == name && c.Value != "" && c.MaxAge >= 0 {
			return true
		}
	}
	return false
}

func cookiesQuery(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Query().Get(name)
}

func cookiesForm(user string) string {
	return url.Values{"username": {user}, "password": {password}, "rd": {"/"}}.Encode()
}

func cookiesAgo(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

// cookiesAnew replaces the session in a jar by another of the same contents after change, sealed
// as the gateway does: for what only a clock could make otherwise.
func cookiesAnew(l *lab, j *jar, change func(payload map[string]any)) {
	l.t.Helper()
	const head = 1 + 16 + 8 + 16 + 2 // version, session, generation, digest, place and count
	if len(j.all) != 1 {
		l.t.Fatalf("the session takes %d cookies, want one", len(j.all))
	}
	ring := l.ring()
	plain, err := ring.Open("chunk", gatewayHost, j.sid())
	if err != nil || len(plain) < head {
		l.t.Fatalf("open the session: %v", err)
	}
	text, err := io.ReadAll(flate.NewReader(bytes.NewReader(plain[head:])))
	if err != nil {
		l.t.Fatal(err)
	}
	payload := map[string]any{}
	if err := json.Unmarshal(text, &payload); err != nil {
		l.t.Fatal(err)
	}
	change(payload)
	if text, err = json.Marshal(payload); err != nil {
		l.t.Fatal(err)
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		l.t.Fatal(err)
	}
	_, _ = w.Write(text)
	_ = w.Close()
	chunk := bytes.Clone(plain[:head])
	_, _ = rand.Read(chunk[1:17]) // a session that the gateway has not heard of
	sum := sha256.Sum256(packed.Bytes())
	copy(chunk[25:41], sum[:])
	sealed, err := ring.Seal("chunk", gatewayHost, append(chunk, packed.Bytes()...), 0)
	j.all[sessionCookie] = must(l.t, sealed, err)
}
