package attacks

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func init() { sections = append(sections, deviceBound) }

func TestDeviceBound(t *testing.T) {
	t.Parallel()
	usual := newLab(t, setup{routes: boundRoutes, more: boundSession})
	storm := newLab(t, setup{routes: "  - upstream: %[1]q\n    rate_limit: { requests: 2, per: 1m, by: address }\n", more: boundSession + "limits: { connections_per_address: 32 }\n"})
	deviceBound.tryOn(t, usual, map[string]*lab{"DB-12": storm})
}

// deviceBound are attacks on Device Bound Session Credentials: sessions that take the proof of a
// key beside the cookie. The lab's proofs are good for ten seconds, the least there is.
var deviceBound = &section{name: "Sessions that are bound to a device", test: "TestDeviceBound", attacks: []attack{
	boundForged, boundKeys, boundShapes, boundCrossed, boundTwice, boundCopied, boundStolen, boundSkipped,
	{"DB-09", "medium", "the id of the binding and the proof as strings of RFC 9651 have them, in quotes, and bare, as Chromium sends them",
		"each is taken: the next bound cookie, nothing else",
		func(t *testing.T, l *lab) {
			b, offered := l.arrive("alice")
			b.registered(b.register(`"` + b.registration(offered) + `"`))
			l.settled("session.bound")
			for _, id := range []string{b.id, `"` + b.id + `"`} {
				for _, quote := range []string{"", `"`} {
					line := []string{"Sec-Secure-Session-Id: " + id}
					ask := l.post(refreshPath, "", b.own(line...)...)
					proof := quote + b.proof(b.asks(ask)) + quote
					b.proves(b.keep(l.post(refreshPath, "", b.own(append(line, "Secure-Session-Response: "+proof)...)...)))
				}
			}
			b.get("/").status(t, 200)
			boundSeenBy(l, l.saw(traces{app: 1}), "alice")
		}},
	{"DB-11", "medium", "a proof long before the bound cookie is over: with the challenge that came with the registration, and with the one that came with the proof before",
		"200 and the next bound cookie without another round trip, each time with the next challenge",
		func(t *testing.T, l *lab) {
			b := l.bound("alice")
			first := b.all[boundCookie]
			for range 3 {
				was := b.all[boundCookie]
				b.proves(b.refresh(b.proof(b.next)))
				if b.all[boundCookie] == was {
					t.Error("the bound cookie is the one of before")
				}
			}
			b.all[boundCookie] = first // a request that was on its way
			b.get("/").status(t, 200)
			l.saw(traces{app: 1})
		}},
	boundStorm,
	{"DB-13", "medium", "proofs after the person has signed out, was signed out by the operator, and has signed in anew",
		"`{\"continue\":false}`, with no cookie, so that the browser forgets its key; the new session takes a binding of its own",
		func(t *testing.T, l *lab) {
			b := l.bound("alice")
			proof, late := b.proof(b.asked()), b.stolen()
			late.key = b.key
			b.signOut()
			boundContinues(b, b.refresh(proof), false)
			boundContinues(b, late.refresh(proof), false) // with the cookies of before
			l.denied(late.get("/"))
			l.saw(traces{sessions: -1, events: []string{"session.ended/signed_out"}})

			b = l.bound("alice")
			if code, said := evergate(t, l.dir, nil, "session", "revoke", "--config", l.config, "--user", "alice"); code != 0 {
				t.Errorf("session revoke: got exit code %d: %s", code, said)
			}
			boundContinues(b, b.refresh(""), false)
			old := b.id
			b, offered := l.arrive("alice")
			new := b.id
			b.id = old
			boundContinues(b, b.refresh(""), false)
			b.id = new
			b.registered(b.register(b.registration(offered)))
			l.settled("session.bound")
			if b.id == old {
				t.Error("the new binding has the name of the old one")
			}
			b.prove()
			b.get("/").status(t, 200)
			l.saw(traces{app: 1})
		}},
	{"DB-14", "high", "registrations and proofs that a page of another site, of a sister site, of plain http and of no origin sends with the person's cookies; preflights; GET; without `Sec-Secure-Session-Id`, which no page can send",
		"403 and 405, with no cookie, no challenge and no `Access-Control-Allow-…`; each answer is `no-store`, `Cross-Origin-Resource-Policy: same-origin` and in no frame; nothing is used up",
		func(t *testing.T, l *lab) {
			b, offered := l.arrive("alice")
			good := b.registration(offered)
			for _, from := range append(crossSiteSenders, []string{"Origin: null"}, []string{"Origin: http://" + l.host}) {
				what := strings.Join(from, ", ")
				r := b.register(good, from...)
				b.refuses(what, r, 403)
				l.boundOurs(what, r)
				r = b.refresh(good, from...)
				b.refuses(what, r, 403)
				l.boundOurs(what, r)
			}
			for _, path := range []string{registerPath, refreshPath} {
				for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
					line := l.request(method, path, b.own("Secure-Session-Response: "+good)...)
					if method == "HEAD" {
						continue // its answer has no body, which l.one would wait for
					}
					b.refuses(method, l.one(line), 405)
				}
				r := l.one(l.request("OPTIONS", path, "Origin: https://evil.test", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: secure-session-response"))
				if r.StatusCode/100 == 2 || r.Header.Get("Access-Control-Allow-Origin") != "" || r.Header.Get("Access-Control-Allow-Methods") != "" {
					t.Errorf("a preflight for %s: got %d with %v", path, r.StatusCode, r.Header)
				}
			}
			r := b.register(good)
			b.registered(r)
			l.boundOurs("the registration", r)
			l.settled("session.bound")
			b.refuses("without the id", l.post(refreshPath, "", b.own("Secure-Session-Response: "+b.proof(b.next))...), 403)
			r = b.refresh("")
			l.boundOurs("the question", r)
			r = b.refresh(b.proof(b.asks(r)))
			l.boundOurs("the proof", r)
			b.proves(r)
			l.saw(traces{})
		}},
}}

// boundStorm is DB-12.
var boundStorm = attack{"DB-12", "medium", "300 proofs and questions for them, eight and then all at once, from one address, with a `rate_limit` of two requests a minute on the route and `connections_per_address: 32`",
	"200, or 403 with a challenge, or 503, or a connection that is closed, which a browser takes for a bad moment: never 429, another 4xx or a redirect, at which it would give its binding up",
	func(t *testing.T, l *lab) {
		b := l.bound("alice")
		proof := b.proof(b.asked())
		client := l.wearClient("127.0.0.98")
		client.Transport.(*http.Transport).DisableKeepAlives = true
		for _, storm := range []struct {
			how    func(n int, f func(i int))
			closes bool
		}{{wearInTurn, false}, {wearAll, true}} {
			count := boundStormed(b, client, proof, storm.how)
			t.Logf("the answers: %v", count)
			for s := range count {
				if s != "200" && s != "403" && s != "503" && !(s == "closed" && storm.closes) {
					t.Errorf("%d answers are %s", count[s], s)
				}
			}
			if count["200"] == 0 || count["403"] == 0 {
				t.Errorf("the answers are %v, want bound cookies and challenges among them", count)
			}
			b.proves(b.refresh(b.proof(b.asked())))
			proof = b.proof(b.asked())
		}
		// What the route's limit is for is counted apart.
		for i, want := range []int{200, 200, 429} {
			if r := b.get("/"); r.StatusCode != want {
				t.Errorf("request %d of the page: got %d, want %d", i+1, r.StatusCode, want)
			}
		}
		b.prove()
		l.saw(traces{app: 2})
	}}

// boundStormed sends 300 refreshes, half of them with a proof, and counts the answers.
func boundStormed(b *browser, client *http.Client, proof string, how func(n int, f func(i int))) map[string]int {
	said := make([]string, 300)
	how(len(said), func(i int) {
		req, err := http.NewRequest("POST", "https://"+b.l.address+refreshPath, nil)
		if err != nil {
			said[i] = err.Error()
			return
		}
		req.Host = b.l.host
		lines := append(b.own(), "Sec-Secure-Session-Id: "+b.id)
		if i%2 == 0 {
			lines = append(lines, "Secure-Session-Response: "+proof)
		}
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			req.Header.Add(name, value)
		}
		res, err := client.Do(req)
		if err != nil {
			said[i] = "closed"
			return
		}
		res.Body.Close()
		said[i] = fmt.Sprint(res.StatusCode)
		if res.StatusCode == 403 && !boundChallenge.MatchString(res.Header.Get("Secure-Session-Challenge")) {
			said[i] += " without a challenge"
		}
	})
	count := map[string]int{}
	for _, s := range said {
		count[s]++
	}
	return count
}

// boundContinues: the browser is told whether to go on proving its key.
func boundContinues(b *browser, r *reply, want bool) {
	b.l.t.Helper()
	if r.StatusCode != 200 || !strings.HasPrefix(r.body, `{"session_identifier":"`) || !strings.HasSuffix(r.body, fmt.Sprintf(`","continue":%v}`, want)) || len(r.Cookies()) != 0 || r.Header.Get("Content-Type") != "application/json" {
		b.l.t.Errorf("got %d %.200q with %d cookies, want to be told that it is over", r.StatusCode, r.body, len(r.Cookies()))
	}
	b.l.boundOurs("the end", r)
}

// boundSeenBy: the app was asked by user alone, and saw nothing of the binding's cookies.
func boundSeenBy(l *lab, all []*got, user string) {
	l.t.Helper()
	for _, g := range all {
		if is := g.Header.Get("X-Forwarded-User"); is != user {
			l.t.Errorf("%s was asked by %q, want %q", g.RequestURI, is, user)
		}
		if strings.Contains(g.head(), sessionCookie) {
			l.t.Errorf("the app got a cookie of the gateway's: %.300s", g.head())
		}
	}
}

// boundStolen is DB-07.
var boundStolen = attack{"DB-07", "high", "the whole cookie jar, with the bound cookie, in another browser: at once, and once that cookie is over",
	"while the bound cookie is good, so is the copy: `session.bound_for` and no longer. Then 401 or the sign-in page, also where the owner goes on; and the thief's key proves nothing",
	func(t *testing.T, l *lab) {
		owner := l.bound("alice")
		thief := owner.stolen()
		thief.get("/").status(t, 200) // which is what bound_for is for
		owner.over()
		l.denied(thief.get("/"))
		owner.prove()
		owner.get("/").status(t, 200)
		l.denied(thief.get("/"))
		l.denied(l.get("/", thief.lines("Sec-Fetch-Mode: cors")...))
		thief.asks(thief.refresh(thief.proof(thief.asked())))
		thief.asks(thief.refresh(thief.registration(thief.asked())))
		thief.refuses("a second registration", thief.register(thief.registration(thief.asked())), 403)
		l.denied(thief.get("/"))
		// The owner's next one, in the jar of somebody who is signed in as somebody else.
		bob := l.arriveAs("bob")
		bob.all[boundCookie] = owner.all[boundCookie]
		bob.get("/").status(t, 200)
		seen := l.saw(traces{app: 3, any: true})
		boundSeenBy(l, seen[:2], "alice")
		boundSeenBy(l, seen[2:], "bob")
		l.hears("session.device_mismatch")
	}}
