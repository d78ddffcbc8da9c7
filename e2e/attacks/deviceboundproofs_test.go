package attacks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// arriveAs is arrive for somebody who binds nothing, whose sign-in is part of the case.
func (l *lab) arriveAs(user string) *browser {
	l.t.Helper()
	before := l.before
	b, _ := l.arrive(user)
	l.before.requests, l.before.log, l.before.audit = before.requests, before.log, before.audit
	return b
}

// keyAlone begins the name of a proof that is wrong by the key that it brings along: at a refresh
// nobody looks at that.
const keyAlone = "key: "

// refusedProofs: none of the proofs registers a key, and none renews a bound cookie.
func refusedProofs(t *testing.T, l *lab, make func(b *browser, challenge string) map[string]string) {
	t.Helper()
	b, offered := l.arrive("alice")
	for what, proof := range make(b, offered) {
		b.refuses(what, b.register(proof), 400)
	}
	b.get("/").status(t, 200) // bound to nothing, it goes on as ever
	b.registered(b.register(b.registration(offered)))
	l.settled("session.bound")
	for what, proof := range make(b, b.asked()) {
		if strings.HasPrefix(what, keyAlone) {
			continue
		}
		r := b.refresh(proof)
		if r.StatusCode != 403 || len(r.Cookies()) != 0 {
			t.Errorf("%s, as a refresh: got %d %.200q with %d cookies, want to be asked again", what, r.StatusCode, r.body, len(r.Cookies()))
		}
		b.challenged(r)
	}
	b.prove()
	b.get("/").status(t, 200)
	boundSeenBy(l, l.saw(traces{app: 1}), "alice")
}

// boundForged is DB-01.
var boundForged = attack{"DB-01", "critical", "proofs with `alg` none in four spellings, HS256 with the public key and with no key as the secret, RS256 over an EC key, ES384 and nothing at all",
	"400 at the registration, and 403 with another challenge at the refresh: no key is taken, no bound cookie comes of it; a proof with ES256 is taken afterwards",
	func(t *testing.T, l *lab) {
		refusedProofs(t, l, func(b *browser, challenge string) map[string]string {
			jwk := jwkOf(t, b.key)
			public, err := json.Marshal(jwk)
			public = must(t, public, err)
			forged := map[string]string{}
			for _, alg := range []any{"none", "None", "NONE", "nOnE", "", nil, "ES384", "ES256K", "PS256", "EdDSA", []string{"ES256"}, 256} {
				head := boundHead("", map[string]any{"alg": alg, "jwk": jwk})
				forged[fmt.Sprintf("alg %v, signed", alg)] = b.signed(head, challenge)
				forged[fmt.Sprintf("alg %v, unsigned", alg)] = l.signed(head, challenge, nil)
			}
			for what, secret := range map[string][]byte{"the public key": public, "nothing": {}} {
				forged["HS256 by "+what] = l.signed(boundHead("HS256", map[string]any{"jwk": jwk}), challenge, secret)
			}
			forged["HS256 by its own key"] = l.signed(boundHead("HS256", map[string]any{"jwk": map[string]any{"kty": "oct", "k": b64url([]byte("secret"))}}), challenge, []byte("secret"))
			forged["RS256 over an EC key"] = b.signed(boundHead("RS256", map[string]any{"jwk": jwk}), challenge)
			forged["ES256 without a signature"] = l.signed(boundHead("ES256", map[string]any{"jwk": jwk}), challenge, nil)
			return forged
		})
	}}

// boundKeys is DB-02.
var boundKeys = attack{"DB-02", "critical", "a proof by an attacker's key, which it brings along as `jwk`, or names as `jku`, `x5u`, `x5c` and `kid`, with the cookies and a challenge of somebody whose session is bound",
	"403 with another challenge: the key that the session was bound to counts and no other, and nothing is fetched",
	func(t *testing.T, l *lab) {
		owner := l.bound("alice")
		thief := owner.stolen()
		for _, field := range []map[string]any{
			nil, {"jwk": jwkOf(t, thief.key)}, {"jku": l.app.url() + "/jwks.json"}, {"x5u": l.app.url() + "/x.pem"}, {"x5c": []string{"MIIB"}}, {"kid": owner.id},
			{"kid": "../../dev/null"}, {"jwk": jwkOf(t, thief.key), "jku": l.app.url(), "kid": owner.id},
		} {
			thief.asks(thief.refresh(thief.signed(boundHead("ES256", field), thief.asked())))
		}
		owner.prove()
		owner.get("/").status(t, 200)
		boundSeenBy(l, l.saw(traces{app: 1}), "alice")
	}}

// boundShapes is DB-15.
var boundShapes = attack{"DB-15", "medium", "another `typ` and none, `crit`, keys of P-384 and P-521, a point off the curve, at infinity and of one byte, RSA of 512, 1024 and 16384 bits and with the exponent 1, a private key, no challenge, two proofs, 5 kB and 1 MB of header",
	"400 or 431, no key is taken, and what comes after it is served",
	func(t *testing.T, l *lab) {
		wide := map[string]*ecdsa.PrivateKey{}
		for _, curve := range []elliptic.Curve{elliptic.P384(), elliptic.P521()} {
			key, err := ecdsa.GenerateKey(curve, rand.Reader)
			wide[curve.Params().Name] = must(t, key, err)
		}
		small, err := rsa.GenerateKey(rand.Reader, 1024)
		small = must(t, small, err)
		usual, err := rsa.GenerateKey(rand.Reader, 2048)
		usual = must(t, usual, err)
		refusedProofs(t, l, func(b *browser, challenge string) map[string]string {
			jwk := jwkOf(t, b.key)
			with := func(fields ...any) map[string]any {
				key := map[string]any{}
				for name, value := range jwk {
					key[name] = value
				}
				for i := 0; i < len(fields); i += 2 {
					key[fields[i].(string)] = fields[i+1]
				}
				return map[string]any{"jwk": key}
			}
			zero := b64url(make([]byte, 32))
			shapes := map[string]string{
				"no challenge":             b.signed(boundHead("ES256", with()), ""),
				keyAlone + "a short key":   b.signed(boundHead("ES256", with("x", "AA", "y", "AA")), challenge),
				keyAlone + "off the curve": b.signed(boundHead("ES256", with("y", jwk["x"])), challenge),
				keyAlone + "at infinity":   b.signed(boundHead("ES256", with("x", zero, "y", zero)), challenge),
				keyAlone + "another curve": b.signed(boundHead("ES256", with("crv", "P-384")), challenge),
				keyAlone + "another kty":   b.signed(boundHead("ES256", with("kty", "OKP")), challenge),
				"no jwk at all":            b.signed(boundHead("ES256", map[string]any{"jwk": 7}), challenge) + "x",
				"RSA 1024":                 l.signed(boundHead("RS256", map[string]any{"jwk": rsaJWK(&small.PublicKey)}), challenge, small),
				"RSA 512":                  l.signed(boundHead("RS256", map[string]any{"jwk": map[string]any{"kty": "RSA", "n": strings.Repeat("_", 85) + "w", "e": "AQAB"}}), challenge, usual),
				"RSA 16384":                l.signed(boundHead("RS256", map[string]any{"jwk": map[string]any{"kty": "RSA", "n": strings.Repeat("_", 2730), "e": "AQAB"}}), challenge, usual),
				"exponent 1":               l.signed(boundHead("RS256", map[string]any{"jwk": map[string]any{"kty": "RSA", "n": b64url(usual.N.Bytes()), "e": "AQ"}}), challenge, usual),
				"5 kB":                     b.signed(boundHead("ES256", map[string]any{"jwk": jwk, "x": strings.Repeat("x", 5000)}), challenge),
				"two":                      b.registration(challenge) + "\r\nSecure-Session-Response: " + b.registration(challenge),
				"two in a line":            b.registration(challenge) + ", " + b.registration(challenge),
				"no JWT":                   "x", "four parts": b.registration(challenge) + ".x", "a JSON text": `{"jti":"` + challenge + `"}`,
			}
			for _, typ := range []any{"JWT", "dbsc+jwt2", "application/dbsc+jwt", nil, 1} {
				shapes[fmt.Sprintf("typ %v", typ)] = b.signed(boundHead("ES256", map[string]any{"jwk": jwk, "typ": typ}), challenge)
			}
			shapes["crit"] = b.signed(boundHead("ES256", map[string]any{"jwk": jwk, "crit": []string{"jwk"}}), challenge)
			for name, key := range wide {
				shapes[name] = l.signed(boundHead("ES256", map[string]any{"jwk": jwkOf(t, key)}), challenge, key)
			}
			return shapes
		})
		for _, path := range []string{registerPath, refreshPath} {
			if status := l.wearStatus(l.request("POST", path, "Content-Length: 0", "Secure-Session-Response: "+strings.Repeat("x", 1<<20))); status != 431 && status != 0 {
				t.Errorf("1 MB at %s: got %d, want 431", path, status)
			}
		}
	}}

// boundCrossed is DB-03.
var boundCrossed = attack{"DB-03", "critical", "alice's proof, her bound cookie and the name of her binding, each in the place of bob's, with his cookies and hers",
	"no bound cookie for anybody: a challenge is for one session on one host, and so is a bound cookie",
	func(t *testing.T, l *lab) {
		bob := l.bound("bob")
		alice := l.bound("alice")
		l.before = l.marks()
		proof := alice.proof(alice.asked())
		id, none := bob.id, bob.without()
		bob.asks(bob.refresh(proof))                               // her proof as his
		bob.asks(bob.refresh(bob.proof(alice.next)))               // her challenge, signed by his key
		bob.id = alice.id                                          // his cookies under her name
		boundContinues(bob, bob.refresh(proof), false)             // it is not his
		bob.id, none.all[boundCookie] = id, alice.all[boundCookie] // her bound cookie as his
		l.denied(none.get("/"))
		r := l.post(refreshPath, "", append(alice.own("Sec-Secure-Session-Id: "+id), "Secure-Session-Response: "+bob.proof(bob.asked()))...)
		boundContinues(alice, r, false)
		// And at another host nothing of it counts.
		elsewhere := strings.Replace(l.request("POST", refreshPath, append(alice.own("Sec-Secure-Session-Id: "+alice.id), "Content-Length: 0", "Secure-Session-Response: "+proof)...), "Host: "+l.host, "Host: "+strings.Replace(l.host, gatewayHost, otherHost, 1), 1)
		boundContinues(alice, l.one(elsewhere), false)
		alice.proves(alice.refresh(proof)) // none of which has used it up
		for _, b := range []*browser{alice, bob} {
			b.get("/").status(t, 200)
		}
		l.saw(traces{app: 2, events: []string{"session.device_mismatch"}})
	}}

// boundTwice is DB-05.
var boundTwice = attack{"DB-05", "high", "the proof of a registration once more: as another registration, as a refresh, ten seconds later; another key with a challenge that is good; a challenge of another session, of a session that is over, and made up",
	"a session is bound once, by what was offered to it. The same proof within ten seconds gets the answer that may have been lost; a challenge that was signed is used up for everything else",
	func(t *testing.T, l *lab) {
		other, theirs := l.arrive("bob")
		gone, over := l.arrive("bob")
		gone.signOut()
		b, offered := l.arrive("alice")
		for what, challenge := range map[string]string{"another session's": theirs, "of one that is over": over, "made up": "abc", "the cookie": b.sid(), "none that fits": offered + "A"} {
			b.refuses(what, b.register(b.registration(challenge)), 403)
		}
		second := b.offer("/.evergate/landed")
		proof := b.registration(offered)
		first := b.register(proof)
		b.registered(first)
		at := time.Now()
		thief := b.stolen()
		for what, challenge := range map[string]string{"the same challenge": offered, "another one": second} {
			thief.refuses(what+", another key", thief.register(thief.registration(challenge)), 403)
			b.refuses(what+", another proof", b.register(b.registration(challenge)), 403)
		}
		b.asks(b.refresh(proof)) // a proof does not say what it is for
		if again := b.register(proof); again.StatusCode != 200 || again.body != first.body {
			t.Errorf("the proof again: got %d %s, want what was answered before", again.StatusCode, again.body)
		}
		time.Sleep(time.Until(at.Add(10*time.Second + 200*time.Millisecond)))
		b.refuses("ten seconds later", b.register(proof), 403)
		b.asks(b.refresh(proof))
		b.prove()
		b.get("/").status(t, 200)
		other.get("/").status(t, 200) // whose session is bound to nothing
		l.saw(traces{app: 2, events: []string{"session.bound"}})
	}}

// boundCopied is DB-06.
var boundCopied = attack{"DB-06", "critical", "the session cookie of a bound session without its bound cookie, as a copy of a jar on disk has it: pages, an API, a WebSocket, a stream, the account page, the state of the session, another host and signing in there",
	"401 or the sign-in page, never the app; `session.device_mismatch` in the audit log; the owner goes on",
	func(t *testing.T, l *lab) {
		owner := l.bound("alice")
		thief := owner.without()
		l.denied(thief.get("/"))
		for _, more := range [][]string{
			{"Sec-Fetch-Mode: cors", "Accept: application/json"}, {"Accept: text/event-stream"}, {"Sec-Fetch-Mode: no-cors"},
			{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: https://" + l.host},
			{"Sec-Secure-Session-Id: " + owner.id}, {"Authorization: Bearer " + owner.all[boundCookie]},
		} {
			l.denied(l.get("/x", thief.own(more...)...))
		}
		l.denied(l.post("/x", "a=1", thief.own("Origin: https://"+l.host)...))
		l.get("/.evergate/session", thief.own()...).status(t, 401)
		if r := thief.get("/.evergate/account"); r.StatusCode == 200 || strings.Contains(r.body, "alice") {
			t.Errorf("the account page: got %d %.300q", r.StatusCode, r.body)
		}
		for _, planted := range []string{"", "x", owner.sid()} {
			thief.all[boundCookie] = planted
			l.denied(thief.get("/"))
		}
		r := l.get("/.evergate/login?rd=/&to=other.test", thief.without().lines()...)
		if to := r.Header.Get("Location"); strings.Contains(to, otherHost) {
			t.Errorf("handed over to %q", to)
		}
		l.get("/public/x", thief.lines()...).status(t, 200)
		owner.prove()
		owner.get("/").status(t, 200)
		seen := l.saw(traces{app: 2, events: []string{"session.device_mismatch"}})
		boundSeenBy(l, seen[:1], "") // the open page, of nobody's
		boundSeenBy(l, seen[1:], "alice")
	}}

// boundSkipped is DB-10.
var boundSkipped = attack{"DB-10", "medium", "`Secure-Session-Skipped` in place of the bound cookie, with each reason and with what is none, on a route as any, with `device_bound: off` and with `require`; and a session that is bound to nothing on those",
	"the route decides: 503 and no word of it to the app, as without the header with `off`; `require` takes bound sessions alone, and offers the others to bind theirs",
	func(t *testing.T, l *lab) {
		owner := l.bound("alice")
		b := owner.without()
		for _, reason := range []string{"unreachable", "server_error", "quota_exceeded", "x", `"quoted"`} {
			skipped := "Secure-Session-Skipped: " + reason + `;session_identifier="` + b.id + `"`
			for _, path := range []string{"/", "/strict/x"} {
				r := l.get(path, b.lines(skipped)...)
				if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
					t.Errorf("%s with %s: got %d, want 503 and when to come again", path, reason, r.StatusCode)
				}
			}
			l.get("/lax/x", b.lines(skipped)...).status(t, 200)
		}
		l.get("/lax/x", b.lines()...).status(t, 200)
		owner.get("/strict/x").status(t, 200)
		bob := l.arriveAs("bob")
		r := bob.get("/strict/x")
		if r.StatusCode != http.StatusForbidden || !boundOffer.MatchString(r.Header.Get("Secure-Session-Registration")) {
			t.Errorf("bound to nothing, on a route that wants it: got %d with the offer %q", r.StatusCode, r.Header.Get("Secure-Session-Registration"))
		}
		l.get("/strict/x", bob.lines("Secure-Session-Skipped: unreachable")...).status(t, 403)
		bob.get("/lax/x").status(t, 200)
		bob.get("/").status(t, 200)
		seen := l.saw(traces{app: 9, any: true})
		boundSeenBy(l, seen[:7], "alice")
		boundSeenBy(l, seen[7:], "bob")
		for _, e := range l.events()[l.before.audit:] {
			if e["event"] == "session.device_mismatch" {
				t.Errorf("the audit log tells of it: %v", e)
			}
		}
	}}
