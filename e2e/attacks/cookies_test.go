package attacks

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func init() { sections = append(sections, cookies) }

func TestCookies(t *testing.T) {
	t.Parallel()
	usual := newLab(t, setup{more: "session: { rotation_grace: 1s }\n"})
	quick := providerLab(t, 2*time.Second, setup{more: "session: { rotation_grace: 1s }\n"})
	alone := providerLab(t, 5*time.Minute, setup{routes: "  - upstream: %[1]q\n", more: "session: { store: cookie, rotation_grace: 1s }\n"})
	cookiesAlone = alone
	others := map[string]*lab{"C-05": quick, "C-19": quick, "C-21": quick, "C-02": alone, "C-03": alone, "C-04": alone, "C-09": alone, "C-18": alone}
	if shared := redisLab(t); shared != nil {
		others["C-10"], others["C-22"], others["C-24"], others["C-25"] = shared, shared, shared, shared
	}
	others["C-07"] = keysLab(t)
	cookies.tryOn(t, usual, others)
}

// cookies are those of the gateway, and where sessions lie.
var cookies = &section{name: "Cookies and the session store", test: "TestCookies", attacks: slices.Concat(cookiesSealed, cookiesParts, cookiesStored)}

// cookiesSealed are about one cookie.
var cookiesSealed = []attack{
	{"C-01", "critical", "the session cookie with each single bit flipped, cut off at each length, and with something behind it",
		"nobody is let in, what cannot be read is deleted, and the cookie as it was goes on", func(t *testing.T, l *lab) {
			cookie := l.signIn("alice")
			value := sidIn(t, cookie)
			x := l.line()
			try := func(v string) *reply {
				r := x.get("/", "Cookie: "+sessionCookie+"="+v)
				if r.StatusCode != http.StatusBadRequest { // a line break or a NUL is no header
					l.denied(r)
				}
				return r
			}
			for i := range value {
				for bit := range 8 {
					b := []byte(value)
					b[i] ^= 1 << bit
					try(string(b))
				}
				if i > 0 {
					l.clears(try(value[:i]), sessionCookie)
				}
			}
			for _, more := range []string{".", "=", "A", "AAAA", "%00", value, "." + value} {
				l.clears(try(value+more), sessionCookie)
			}
			x.get("/", cookie).status(t, 200)
			l.saw(traces{app: 1})
		}},
	{"C-05", "critical", "what was sealed for one purpose in the place of another: the cookie of a sign-in under way, its state and a probe as the session, and the session as each of them",
		"nobody is let in, and no sign-in comes of it: the purpose is part of the seal", func(t *testing.T, l *lab) {
			j := l.newJar("a browser")
			j.enter("alice", oneOf(l, "alice").Password)
			stranger := l.newJar("a stranger")
			r := stranger.keep(l.get("/.evergate/login/oidc?rd=/", stranger.lines()...))
			state := cookiesQuery(r.Header.Get("Location"), "state")
			flows := 0
			for name, value := range stranger.all {
				if strings.Contains(name, "-flow-") {
					flows++
					for _, v := range []string{value, state} {
						r := l.get("/", "Cookie: "+sessionCookie+"="+v)
						l.denied(r)
						l.clears(r, sessionCookie)
					}
					r := l.get("/.evergate/callback/oidc?code=x&state="+state, "Cookie: "+name+"="+j.sid())
					r.status(t, 303, 400)
					if cookiesHas(r, sessionCookie) {
						t.Error("a session came of a callback with the session for its flow")
					}
				}
			}
			if flows != 1 || state == "" {
				t.Fatalf("got %d flows and the state %q", flows, state)
			}
			l.get("/.evergate/callback/oidc?code=x&state="+j.sid(), stranger.lines()...).status(t, 303, 400)
			// All purposes, of the very bytes that are a handle.
			ring := l.ring()
			plain, err := ring.Open("handle", gatewayHost, j.sid())
			if err != nil {
				t.Fatal(err)
			}
			for _, purpose := range []string{"", "Handle", "handle ", "probe", "chunk", "flow", "state", "form", "errand", "handle|" + gatewayHost} {
				sealed, err := ring.Seal(purpose, gatewayHost, plain, 0)
				r := l.get("/", "Cookie: "+sessionCookie+"="+must(t, sealed, err))
				l.denied(r)
				l.clears(r, sessionCookie)
			}
			// The session as its own probe proves nothing, and does no harm.
			l.get("/", "Cookie: "+sessionCookie+"="+j.sid()+"; "+sessionCookie+"-probe="+j.sid()).status(t, 200)
			l.saw(traces{app: 1, events: []string{"login.failed/bad_callback"}})
		}},
	{"C-06", "critical", "the session cookie of gw.test at other.test, and one sealed for another host at gw.test",
		"turned away: the host is part of the seal, and each host has handles of its own", func(t *testing.T, l *lab) {
			cookie := l.signIn("alice")
			value := sidIn(t, cookie)
			at := func(host string) *reply {
				return l.one("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n" + cookie + "\r\n\r\n")
			}
			other := strings.Replace(l.host, gatewayHost, otherHost, 1)
			r := at(other)
			l.denied(r)
			l.clears(r, sessionCookie)
			ring := l.ring()
			plain, err := ring.Open("handle", gatewayHost, value)
			if err != nil {
				t.Fatal(err)
			}
			for _, host := range []string{"", otherHost, l.host, "GW.TEST", "gw.test.", "*", "test"} {
				sealed, err := ring.Seal("handle", host, plain, 0)
				r := l.get("/", "Cookie: "+sessionCookie+"="+must(t, sealed, err))
				l.denied(r)
				l.clears(r, sessionCookie)
			}
			at(strings.ToUpper(l.host)).status(t, 200) // the same host, spelled otherwise
			l.saw(traces{app: 1})
		}},
	{"C-08", "high", "the time in front of the seal set an hour ahead, years ahead, to nothing and to no number",
		"turned away and deleted: the time is under the seal, and no lifetime goes by it", func(t *testing.T, l *lab) {
			value := sidIn(t, l.signIn("alice"))
			id, sealed, _ := strings.Cut(value, ".")
			b, err := base64.URLEncoding.DecodeString(sealed)
			if err != nil {
				t.Fatal(err)
			}
			stamp, rest, ok := strings.Cut(string(b), "|")
			seconds, err := strconv.ParseInt(stamp, 10, 64)
			if !ok || err != nil || time.Since(time.Unix(seconds, 0)) > time.Minute {
				t.Fatalf("the cookie begins with %q, want its time", stamp)
			}
			for _, other := range []string{fmt.Sprint(seconds + 3600), fmt.Sprint(seconds + 1e9), "0", "-1", "", "9223372036854775808", " " + stamp, stamp + "0", "x"} {
				r := l.get("/", "Cookie: "+sessionCookie+"="+id+"."+base64.URLEncoding.EncodeToString([]byte(other+"|"+rest)))
				l.denied(r)
				l.clears(r, sessionCookie)
			}
			l.saw(traces{})
		}},
	{"C-12", "critical", "a session of the attacker's own in the browser of somebody who then signs in, and made-up cookies in its place",
		"the sign-in is a session of its own, nothing is carried over, and the planted one is over at once", func(t *testing.T, l *lab) {
			planted := l.signIn("bob")
			for i, cookie := range []string{planted, "Cookie: " + sessionCookie + "=planted", "Cookie: " + sessionCookie + "=a; " + sessionCookie + "=b"} {
				r := l.post("/.evergate/login", cookiesForm("alice"), "Origin: https://"+l.host, cookie)
				r.status(t, http.StatusSeeOther)
				fresh := l.cookiesOf(r)
				if fresh == "" || fresh == cookie {
					t.Fatalf("got the cookie %.40q after %.40q", fresh, cookie)
				}
				l.get("/", fresh).status(t, 200)
				if i == 0 {
					l.denied(l.get("/", planted))
				}
			}
			for _, g := range l.saw(traces{app: 3, sessions: 2, events: []string{"session.started", "session.started", "session.started", "session.ended/replaced"}}) {
				if user := g.Header.Get("X-Forwarded-User"); user != "alice" {
					t.Errorf("the app was told of %q, want alice", user)
				}
			}
		}},
	{"C-13", "high", "a second sign-in of the same person, as after a step-up, and then the cookie of before",
		"another session with another cookie; the one before ends once what was under way is answered (`session.rotation_grace`)", func(t *testing.T, l *lab) {
			old := l.signIn("alice")
			r := l.post("/.evergate/login", cookiesForm("alice"), "Origin: https://"+l.host, old)
			r.status(t, http.StatusSeeOther)
			fresh := l.cookiesOf(r)
			ring := l.ring()
			was, err1 := ring.Open("handle", gatewayHost, sidIn(t, old))
			is, err2 := ring.Open("handle", gatewayHost, sidIn(t, fresh))
			if err1 != nil || err2 != nil || string(was[1:17]) == string(is[1:17]) || string(was[41:]) == string(is[41:]) {
				t.Errorf("the second sign-in has the session or the key of the first (%v, %v)", err1, err2)
			}
			time.Sleep(1100 * time.Millisecond) // the grace time of this lab
			l.denied(l.get("/", old))
			l.get("/", fresh).status(t, 200)
			l.saw(traces{app: 1, any: true})
			l.hears("session.started")
		}},
	{"C-14", "high", "a cookie tossed beside the own one: before it, behind it, in a line of its own, and a copy of it",
		"nobody is let in by whichever comes first: both are deleted, and a page says so", func(t *testing.T, l *lab) {
			alice, bob := l.signIn("alice"), strings.TrimPrefix(l.signIn("bob"), "Cookie: ")
			own := strings.TrimPrefix(alice, "Cookie: ")
			for _, lines := range [][]string{
				{alice + "; " + bob}, {"Cookie: " + bob + "; " + own}, {alice, "Cookie: " + bob}, {"Cookie: " + bob, alice},
				{alice + "; " + own}, {alice + "; " + sessionCookie + "="}, {alice + ";" + sessionCookie + "=x"}, {"Cookie: " + sessionCookie + "; " + own},
			} {
				r := l.get("/", lines...)
				l.denied(r)
				l.clears(r, sessionCookie)
			}
			// Names that are others to browsers are others here.
			l.get("/", alice+"; __host-http-evergate=x; X"+sessionCookie+"=y").status(t, 200)
			l.saw(traces{app: 1})
		}},
	{"C-16", "medium", "3001 cookies, with a session among them, with two, and with none",
		"no error: who brings one good session is served or asked to sign in, everybody else is turned away, and no cookie of the gateway goes up", func(t *testing.T, l *lab) {
			own := strings.TrimPrefix(l.signIn("alice"), "Cookie: ")
			many := strings.Repeat("a=1; ", 3000)
			r := l.get("/", "Cookie: "+many+own)
			r.status(t, 200, 303, 401)
			served := 0
			if r.StatusCode == 200 {
				served++
			}
			l.denied(l.get("/", "Cookie: "+many+"a=1"))
			l.denied(l.get("/", "Cookie: "+many+own+"; "+own))
			l.denied(l.get("/", "Cookie: "+own+"; "+many+sessionCookie+"=x"))
			for _, g := range l.saw(traces{app: served}) {
				if strings.Contains(g.head(), "evergate=") {
					t.Error("the app got the session")
				}
			}
		}},
	{"C-17", "medium", "a cookie bomb that a sister site set for the whole domain: 8, 32, 60 and 100 kB of cookies",
		"up to `limits.header_bytes` it is carried, and above it is 431 and never an error of the gateway's; the next request without it is served", func(t *testing.T, l *lab) {
			cookie := l.signIn("alice")
			for _, kb := range []int{8, 32, 60} {
				l.get("/", cookie+"; bomb="+strings.Repeat("x", kb<<10)).status(t, 200)
			}
			l.get("/", cookie+"; bomb="+strings.Repeat("x", 100<<10)).status(t, 431)
			l.get("/", cookie).status(t, 200)
			l.saw(traces{app: 4})
		}},
}
