package session_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	happened "github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

const (
	boundName = "__Host-evergate-bound"
	boundFor  = 10 * time.Minute
)

// boundSessions are sessions that can be bound, wherever they lie.
type boundSessions interface {
	auth.Bindings
	auth.Authenticator
	Begin(header http.Header, r *http.Request, login *auth.Login, remember bool) error
	Reconfigure(s session.Settings) error
}

// keyBed is a bed or a cookieBed.
type keyBed struct {
	*testing.T
	*heardOf
	m        boundSessions
	ring     *session.Ring
	key      secret.Text
	login    func() *auth.Login
	settings session.Settings
	again    func() // another gateway, where this one was
}

func (b *bed) keys() *keyBed {
	k := &keyBed{T: b.T, heardOf: &b.heardOf, m: b.m, ring: b.ring, key: b.key, settings: b.settings()}
	k.again = func() { b.again(); k.m = b.m }
	k.login = func() *auth.Login {
		return &auth.Login{AccessToken: token("token-0"), AuthTime: time.Now(), Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}}
	}
	return k
}

func (b *cookieBed) keys() *keyBed {
	k := &keyBed{T: b.T, heardOf: &b.heardOf, m: b.s, ring: b.ring, key: b.key, settings: b.settings()}
	k.again = func() { b.restart(); k.m = b.s }
	k.login = func() *auth.Login { return idpLogin("alice") }
	return k
}

// bindable has f look at sessions in a store, and at those in their cookies.
func bindable(t *testing.T, f func(b *keyBed)) {
	t.Run("store", func(t *testing.T) { run(t, func(b *bed) { f(b.keys()) }) })
	t.Run("cookie", func(t *testing.T) { runCookie(t, func(b *cookieBed) { f(b.keys()) }) })
}

func (b *keyBed) signInWith(j jar) {
	b.Helper()
	h := http.Header{}
	if err := b.m.Begin(h, j.request("POST"), b.login(), false); err != nil {
		b.Fatalf("begin: %v", err)
	}
	j.take(h)
}

func (b *keyBed) signIn() jar {
	b.Helper()
	j := jar{}
	b.signInWith(j)
	return j
}

func (b *keyBed) get(j jar) (*auth.Login, error) { return requestOf(b.m, j, "GET") }

func (b *keyBed) mustServe(j jar) *auth.Login {
	b.Helper()
	login, err := b.get(j)
	if err != nil {
		b.Fatalf("got %v, want the request served", err)
	}
	return login
}

func (b *keyBed) mustBeAbsent(j jar, reason string) {
	b.Helper()
	_, err := b.get(j)
	if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Reason != reason {
		b.Errorf("got %v, want nobody signed in: %s", err, reason)
	}
}

// challenge is what the browser of j is to sign next.
func (b *keyBed) challenge(j jar) string {
	b.Helper()
	c, err := b.m.Challenge(j.request("POST"))
	if err != nil {
		b.Fatalf("challenge: %v", err)
	}
	return c
}

// bind has the browser of j hold a key. What it signs is not looked at here.
func (b *keyBed) bind(j jar, key string) auth.Binding {
	b.Helper()
	h := http.Header{}
	binding, err := b.m.Bind(h, j.request("POST"), key, b.challenge(j))
	if err != nil {
		b.Fatalf("bind: %v", err)
	}
	j.take(h)
	return binding
}

func (b *keyBed) prove(j jar) {
	b.Helper()
	h := http.Header{}
	if err := b.m.Prove(h, j.request("POST"), b.challenge(j)); err != nil {
		b.Fatalf("prove: %v", err)
	}
	j.take(h)
}

// without is j without its bound cookie, as it is once that is over.
func without(j jar) jar {
	j = j.clone()
	delete(j, boundName)
	return j
}

// boundBed is a browser whose session is bound, and what was under way is over.
func (b *keyBed) boundBed() jar {
	b.Helper()
	j := b.signIn()
	b.bind(j, "key")
	time.Sleep(grace)
	return j
}

func (b *keyBed) mustBeRefused(err error) { b.Helper(); mustBeRefused(b.T, err) }

func (b *cookieBed) mustBeRefused(err error) { b.Helper(); mustBeRefused(b.T, err) }

func mustBeRefused(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[*auth.Refused](err); !ok {
		t.Errorf("got %v, want a refusal", err)
	}
}

// TestBoundInTimeOrNotAtAll: whoever copies the cookie of a session that is bound to nothing
// must not bind it to a key of theirs.
func TestBoundInTimeOrNotAtAll(t *testing.T) {
	offered := func(b *bed, r *http.Request) string {
		t.Helper()
		challenge, err := b.m.Offer(r)
		if err != nil {
			t.Fatal(err)
		}
		return challenge
	}
	run(t, func(b *bed) {
		k := b.keys()
		j := b.signIn()
		if offered(b, j.request("GET")) == "" {
			t.Error("after the sign-in: got no challenge")
		}
		late := k.challenge(j)
		time.Sleep(time.Minute)
		if offered(b, j.request("GET")) != "" {
			t.Error("a minute later: got a challenge")
		}
		_, err := b.m.Bind(http.Header{}, j.request("POST"), "thief", late)
		k.mustBeRefused(err)
		b.mustServe(j)
	})
	run(t, func(b *bed) {
		k := b.keys()
		owner, there := k.boundBed(), jar{}
		time.Sleep(2 * time.Minute)
		// Where it is bound it may be bound on a host that it is handed to as well.
		b.visit(owner, there, wiki)
		if offered(b, there.at(wiki)) == "" {
			t.Error("after the hand-over: got no challenge")
		}
		if offered(b, owner.request("GET")) != "" {
			t.Error("on the first host: got a challenge once more")
		}
		time.Sleep(time.Minute)
		if offered(b, there.at(wiki)) != "" {
			t.Error("a minute after the hand-over: got a challenge")
		}
	})
}

func TestBoundSessionNeedsItsProof(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.signIn()
		if got, err := b.m.Binding(j.request("POST")); err != nil || got.ID != "" {
			b.Fatalf("before: got %+v, %v, want none", got, err)
		}
		if b.mustServe(j).Session.Bound() {
			b.Error("it is bound before")
		}
		made := b.bind(j, "key")
		if got, err := b.m.Binding(j.request("POST")); err != nil || got != made || got.Key != "key" || got.Cookie != boundName {
			b.Errorf("got %+v, %v, want %+v", got, err, made)
		}
		if !b.mustServe(j).Session.Bound() {
			b.Error("it is not bound afterwards")
		}
		b.mustServe(without(j)) // it was on its way
		time.Sleep(grace)
		b.mustBeAbsent(without(j), auth.OtherDevice)
		b.mustServe(j)
		time.Sleep(boundFor - grace)
		b.mustServe(j) // on its way as the browser dropped the cookie
		time.Sleep(grace)
		b.mustBeAbsent(j, auth.OtherDevice)
		b.prove(j)
		b.mustServe(j)
		if n := b.told(happened.SessionBound); n != 1 {
			b.Errorf("got %d events of the binding, want 1", n)
		}
	})
}

// TestBoundIsListed: a list and the page of their devices say of a session whether it is bound
// wherever it has a cookie.
func TestBoundIsListed(t *testing.T) {
	run(t, func(b *bed) {
		j, there := b.signIn(), jar{}
		login := b.mustServe(j)
		want := func(when string, want bool) {
			t.Helper()
			own, err := b.m.OwnDevices(t.Context(), login)
			if err != nil || len(own) != 1 || own[0].Bound != want {
				t.Errorf("%s: their devices are %+v, %v, want one with bound %v", when, own, err, want)
			}
			all, err := b.m.List(t.Context(), "")
			if err != nil || len(all) != 1 || all[0].Bound != want {
				t.Errorf("%s: the list is %+v, %v, want one with bound %v", when, all, err, want)
			}
		}
		want("before", false)
		b.keys().bind(j, "key")
		want("bound", true)
		if err := b.receive(there, wiki, b.send(j, wiki, "v"), "v"); err != nil {
			t.Fatal(err)
		}
		want("with another host, where it is not", false)
		challenge, err := b.m.Challenge(there.at(wiki))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.m.Bind(http.Header{}, there.at(wiki), "another", challenge); err != nil {
			t.Fatal(err)
		}
		want("on both", true)
	})
}

func TestKeyOfASessionStays(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.boundBed()
		_, err := b.m.Bind(http.Header{}, j.request("POST"), "another", b.challenge(j))
		b.mustBeRefused(err)
		if got, _ := b.m.Binding(j.request("POST")); got.Key != "key" {
			b.Errorf("got the key %q, want that of the first", got.Key)
		}
	})
}

// TestChallenges: each is for one session on one host, and for a while (DB-03, DB-05).
func TestChallenges(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j, other := b.signIn(), b.signIn()
		of := b.challenge(other)
		_, err := b.m.Bind(http.Header{}, j.request("POST"), "key", of)
		b.mustBeRefused(err)
		_, err = b.m.Bind(http.Header{}, j.at("other.test"), "key", b.challenge(j))
		if err == nil {
			b.Error("a cookie of one host was bound on another")
		}
		b.bind(j, "key")
		old := b.challenge(j)
		time.Sleep(5 * time.Minute)
		b.mustBeRefused(b.m.Prove(http.Header{}, j.request("POST"), old))
		j, other = b.signIn(), b.signIn()
		b.mustBeRefused(b.m.Prove(http.Header{}, j.request("POST"), b.challenge(j))) // there is no key
		b.bind(j, "key")
		b.bind(other, "key")
		for _, c := range []string{"", "x", j["__Host-Http-evergate"], j[boundName], b.challenge(other)} {
			b.mustBeRefused(b.m.Prove(http.Header{}, j.request("POST"), c))
		}
		if _, err := b.m.Challenge(jar{}.request("POST")); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("nobody's challenge: got %v", err)
		}
	})
}

// TestCopiedCookiesEndWithTheProof: DB-06 and DB-07.
func TestCopiedCookiesEndWithTheProof(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.boundBed()
		thief := j.clone()
		b.mustServe(thief) // as long as the copy of the proof is good
		time.Sleep(boundFor)
		b.prove(j)
		b.mustServe(j)
		b.mustBeAbsent(thief, auth.OtherDevice)
		if n := b.told(happened.DeviceMismatch); n != 1 {
			b.Errorf("got %d events, want 1", n)
		}
		// The cookie of another session proves nothing here.
		thief[boundName] = b.boundBed()[boundName]
		b.mustBeAbsent(thief, auth.OtherDevice)
		b.mustServe(j)
	})
}

// TestWithoutProofAgainAndAgain ends the session, if its browser does not prove itself meanwhile.
func TestWithoutProofAgainAndAgain(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.boundBed()
		tries := func(n int) {
			for range n {
				for range 20 {
					b.mustBeAbsent(without(j), auth.OtherDevice)
				}
				time.Sleep(10 * time.Second)
			}
		}
		tries(4)
		b.prove(j)
		tries(4)
		b.mustServe(j)
		if n := b.told(happened.DeviceMismatch); n != 8 {
			b.Errorf("got %d events, want one in ten seconds", n)
		}
		for i, e := range b.events(happened.DeviceMismatch) {
			if e.Count != i%4+1 {
				t.Errorf("event %d counts %d, want %d", i, e.Count, i%4+1)
			}
		}
		tries(1)
		_, err := b.get(j)
		if !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("got %v, want the session ended", err)
		}
		if n := b.told(happened.SessionRevoked); n != 1 {
			b.Errorf("got %d events of the end, want 1", n)
		}
	})
}

// TestAskedForFromElsewhere: browsers do not prove their key for what a page of another origin, or
// an extension, has them send. Nothing is served by that, and it ends nothing.
func TestAskedForFromElsewhere(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.boundBed()
		for range 10 {
			for _, from := range []string{"same-site", "cross-site", "none"} {
				r := without(j).request("GET")
				r.Header.Set("Sec-Fetch-Site", from)
				var absent *auth.Absent
				if _, err := b.m.Authenticate(r); !errors.As(err, &absent) || absent.Reason != auth.OtherDevice {
					b.Fatalf("%s: got %v, want nobody signed in", from, err)
				}
			}
			time.Sleep(10 * time.Second)
		}
		b.mustServe(j)
		if n := b.told(happened.DeviceMismatch); n != 0 {
			b.Errorf("got %d events, want none", n)
		}
	})
}

// TestSkippedProof: a browser that says that it could not prove itself is not signed out, and
// not served either (DB-10).
func TestSkippedProof(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := without(b.boundBed())
		for range 10 {
			r := j.request("GET")
			r.Header.Set("Secure-Session-Skipped", `unreachable;session_identifier="x"`)
			var away *auth.Unavailable
			if _, err := b.m.Authenticate(r); !errors.As(err, &away) {
				b.Fatalf("got %v, want an outage", err)
			}
			time.Sleep(10 * time.Second)
		}
		if n := b.told(happened.DeviceMismatch); n != 0 {
			b.Errorf("got %d events, want none", n)
		}
		r := j.request("GET")
		if _, err := b.m.Authenticate(r.WithContext(auth.WithoutBinding(r.Context()))); err != nil {
			b.Errorf("where nobody asks for the proof: got %v", err)
		}
	})
}

// TestSpentHandleIsNotWaitedFor: a thief who still had the proof has had the handle replaced, and
// the owner comes back when theirs is over. No browser can prove a key with a spent handle, so
// the owner is asked to sign in, and not told for hours that something is out of order.
func TestSpentHandleIsNotWaitedFor(t *testing.T) {
	run(t, func(b *bed) {
		k := b.keys()
		owner := k.boundBed()
		thief := owner.clone()
		for range 19 {
			time.Sleep(30 * time.Second)
			b.mustServe(thief)
		}
		if thief["__Host-Http-evergate"] == owner["__Host-Http-evergate"] {
			t.Fatal("the thief's handle has not rotated")
		}
		time.Sleep(boundFor)
		b.mustBeAbsent(thief, auth.OtherDevice)
		owner = without(owner)
		var away *auth.Unavailable
		if _, err := b.m.Challenge(owner.request("POST")); !errors.As(err, &away) {
			t.Errorf("the refresh: got %v, want an outage, for it may be a late one", err)
		}
		r := owner.request("GET")
		r.Header.Set("Secure-Session-Skipped", `server_error;session_identifier="x"`)
		var absent *auth.Absent
		if _, err := b.m.Authenticate(r); !errors.As(err, &absent) || absent.Reason != auth.OtherDevice {
			t.Errorf("the page after it: got %v, want nobody signed in", err)
		}
	})
}

func TestBoundSessionOutlivesRestartAndNewKeys(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.boundBed()
		b.again()
		b.mustServe(j)
		b.mustBeAbsent(without(j), auth.OtherDevice)
		if err := b.ring.Replace(session.NewKey(time.Now()), b.key); err != nil {
			b.Fatal(err)
		}
		time.Sleep(boundFor - grace)
		b.mustServe(j)
		b.prove(j)
		b.mustServe(j)
		time.Sleep(boundFor)
		b.prove(j)
		b.mustServe(j)
	})
}

// TestBoundInAnOutage: what is known in memory is served while the store is away, to whoever
// has the proof.
func TestBoundInAnOutage(t *testing.T) {
	run(t, func(b *bed) {
		k := b.keys()
		j := k.boundBed()
		b.mustServe(j)
		b.store.read.Store(true)
		b.mustServe(j)
		var away *auth.Unavailable
		if _, err := b.get(without(j)); !errors.As(err, &away) {
			t.Errorf("got %v, want an outage", err)
		}
		if err := b.m.Prove(http.Header{}, j.request("POST"), "x"); !errors.As(err, &away) {
			t.Errorf("prove: got %v, want an outage", err)
		}
		b.store.read.Store(false)
		b.mustServe(j)
	})
}

// TestPlantedBoundCookie hides nothing and proves nothing.
func TestPlantedBoundCookie(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.boundBed()
		for _, first := range []bool{true, false} {
			r := without(j).request("GET")
			cookies := []*http.Cookie{{Name: boundName, Value: j[boundName]}, {Name: boundName, Value: "planted"}}
			if !first {
				cookies[0], cookies[1] = cookies[1], cookies[0]
			}
			for _, c := range cookies {
				r.AddCookie(c)
			}
			if _, err := b.m.Authenticate(r); err != nil {
				b.Errorf("got %v, want it served", err)
			}
		}
	})
}

// TestBoundAndRotating: handles go on as they do for others.
func TestBoundAndRotating(t *testing.T) {
	run(t, func(b *bed) {
		k := b.keys()
		j := k.boundBed()
		handles := map[string]bool{}
		for range 60 {
			time.Sleep(time.Minute)
			k.prove(j)
			b.mustServe(j)
			handles[j["__Host-Http-evergate"]] = true
		}
		if len(handles) < 4 {
			t.Errorf("got %d handles in an hour, want it to rotate", len(handles))
		}
		if n := b.told(happened.ReuseSuspected); n != 0 {
			t.Errorf("got %d suspicions", n)
		}
	})
}

// TestBoundOnEachHost: a host's browser cookies are bound by themselves.
func TestBoundOnEachHost(t *testing.T) {
	run(t, func(b *bed) {
		k := b.keys()
		j, there := k.boundBed(), jar{}
		if err := b.receive(there, wiki, b.send(j, wiki, "v"), "v"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.m.Authenticate(there.at(wiki)); err != nil {
			t.Errorf("the other host, bound to nothing: got %v", err)
		}
		challenge, err := b.m.Challenge(there.at(wiki))
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		if _, err := b.m.Bind(h, there.at(wiki), "another", challenge); err != nil {
			t.Fatal(err)
		}
		time.Sleep(grace)
		if _, err := b.m.Authenticate(there.at(wiki)); err == nil {
			t.Error("the other host was served without its proof")
		}
		there.take(h)
		if _, err := b.m.Authenticate(there.at(wiki)); err != nil {
			t.Errorf("with it: got %v", err)
		}
		// A browser that has lost the key, or its cookies of that host, comes by the first host
		// again and begins anew there; what it had before is nobody's.
		before := there.clone()
		for _, lost := range []jar{without(there), {}} {
			if err := b.receive(lost, wiki, b.send(j, wiki, "v"), "v"); err != nil {
				t.Fatal(err)
			}
			if login, err := b.m.Authenticate(lost.at(wiki)); err != nil || login.Session.Bound() {
				t.Errorf("once handed over anew: got %v, %v", login, err)
			}
			if _, err := b.m.Authenticate(before.at(wiki)); !errors.Is(err, auth.ErrAnonymous) {
				t.Errorf("the cookies of before: got %v, want nobody", err)
			}
			if challenge, err := b.m.Offer(lost.at(wiki)); err != nil || challenge == "" {
				t.Errorf("got no offer to bind it again: %v", err)
			}
			h := http.Header{}
			if _, err := b.m.Bind(h, lost.at(wiki), "once more", must(b.m.Challenge(lost.at(wiki)))); err != nil {
				t.Fatal(err)
			}
			lost.take(h)
			time.Sleep(grace)
			k.prove(j)
			if _, err := b.m.Authenticate(lost.at(wiki)); err != nil {
				t.Errorf("bound again: got %v", err)
			}
			before, there = lost.clone(), lost
		}
		// With both it goes on as it was.
		kept := there.clone()
		if err := b.receive(there, wiki, b.send(j, wiki, "v"), "v"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.m.Authenticate(kept.at(wiki)); err != nil {
			t.Errorf("handed over once more: got %v", err)
		}
		there[boundName] = j[boundName]
		if _, err := b.m.Authenticate(there.at(wiki)); err == nil {
			t.Error("the proof of one host counted on another")
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestLongerProofsDoNotLengthenOlderOnes: a cookie is good for as long as it was sealed for,
// whatever has come into force since.
func TestLongerProofsDoNotLengthenOlderOnes(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.boundBed()
		b.prove(j)
		longer := b.settings
		longer.BoundFor = 12 * time.Hour
		if err := b.m.Reconfigure(longer); err != nil {
			b.Fatal(err)
		}
		b.mustServe(j) // it is remembered from here on
		time.Sleep(boundFor + grace)
		b.mustBeAbsent(j, auth.OtherDevice)
	})
}

// TestReplacedSessionIsNeitherBoundNorProven: its bound cookie would take the place of that of
// the sign-in that replaced it.
func TestReplacedSessionIsNeitherBoundNorProven(t *testing.T) {
	bindable(t, func(b *keyBed) {
		j := b.boundBed()
		fresh := b.signIn()
		for _, old := range []jar{j, fresh} {
			challenge := b.challenge(old)
			b.signInWith(old.clone())
			h := http.Header{}
			if err := b.m.Prove(h, old.request("POST"), challenge); !errors.Is(err, auth.ErrAnonymous) || len(h) > 0 {
				b.Errorf("prove: got %v and %v, want nobody", err, h)
			}
			if _, err := b.m.Bind(h, old.request("POST"), "key", challenge); !errors.Is(err, auth.ErrAnonymous) || len(h) > 0 {
				b.Errorf("bind: got %v and %v, want nobody", err, h)
			}
		}
	})
}
