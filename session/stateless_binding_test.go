package session_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	happened "github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
)

// boundCookies is a browser whose session is bound, and its cookies from before that.
func boundCookies(b *cookieBed) (j, before jar) {
	b.Helper()
	j = b.signIn()
	before = j.clone()
	b.keys().bind(j, "key")
	time.Sleep(grace)
	return j, before
}

// TestCookiesFromBeforeTheBinding are held to it by the process that saw it, also when nothing
// else is remembered of the session, and whoever has the proof gets the newer ones.
func TestCookiesFromBeforeTheBinding(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j, before := boundCookies(b)
		if j[chunk] == before[chunk] {
			b.Fatal("the answer to the binding brought no new set")
		}
		b.mustBeAbsent(before, auth.OtherDevice)
		time.Sleep(30 * time.Minute)
		if _, hot, _ := b.s.Known(); hot != 0 {
			b.Fatal("its tokens are still in memory")
		}
		b.mustBeAbsent(before, auth.OtherDevice)
		late := before.clone()
		b.keys().prove(late)
		b.mustServe(late, "token-1")
		if late[chunk] == before[chunk] {
			b.Fatal("got no newer set")
		}
		b.restart()
		b.mustBeAbsent(without(late), auth.OtherDevice)
		b.mustServe(late, "token-2")
	})
}

// TestBindingAmidARenewal: both are in what is handed out afterwards, to whichever request.
func TestBindingAmidARenewal(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j, login := jar{}, idpLogin("alice")
		login.AccessToken.Expires = time.Now().Add(30 * time.Second)
		b.begin(j, login)
		b.provider.set(func(m *method) { m.slow = 2 * time.Second })
		time.Sleep(30 * time.Second)
		tab, done := j.clone(), make(chan struct{})
		go func() {
			defer close(done)
			b.mustServe(tab, "token-1")
		}()
		time.Sleep(time.Second)
		b.keys().bind(j, "key")
		<-done
		b.keys().prove(tab)
		both := tab.clone()
		b.mustServe(j, "token-1")
		time.Sleep(grace)
		for _, set := range []jar{j, both} {
			b.restart()
			b.mustBeAbsent(without(set), auth.OtherDevice)
		}
		b.mustServe(both, "token-2")
	})
}

// TestBindingsAtTheSameTime: one of them counts, and all are answered.
func TestBindingsAtTheSameTime(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		challenge := b.keys().challenge(j)
		made := make(chan error)
		for _, key := range []string{"one", "another", "a third"} {
			go func() {
				_, err := b.s.Bind(http.Header{}, j.request("POST"), key, challenge)
				made <- err
			}()
		}
		bound := 0
		for range 3 {
			if err := <-made; err == nil {
				bound++
			} else {
				b.mustBeRefused(err)
			}
		}
		if bound != 1 {
			b.Errorf("got %d bindings, want one", bound)
		}
	})
}

// TestCookiesFromBeforeTheBindingAfterARestart: they are served until a request of the browser
// comes whose cookies say otherwise, or brings the key; what they were bound to meanwhile does
// not count.
func TestCookiesFromBeforeTheBindingAfterARestart(t *testing.T) {
	for _, rotates := range []bool{false, true} {
		runCookie(t, func(b *cookieBed) {
			b.provider.set(func(m *method) { m.rotates = rotates })
			j := b.signIn()
			thief := j.clone()
			b.keys().bind(j, "key")
			time.Sleep(10 * time.Second)
			b.restart()
			b.mustServe(thief, "token-1") // which is what there is to be known here
			b.keys().bind(thief, "stolen")
			time.Sleep(grace)
			b.keys().prove(thief)
			b.mustServe(thief, "token-1")

			b.mustBeAbsent(without(j), auth.OtherDevice)
			if got, err := b.s.Binding(j.request("POST")); err != nil || got.Key != "key" {
				b.Fatalf("got the key %q, %v, want the one that was first", got.Key, err)
			}
			b.mustBeAbsent(thief, auth.OtherDevice)
			_, err := b.s.Bind(http.Header{}, thief.request("POST"), "stolen", b.keys().challenge(thief))
			b.mustBeRefused(err)
			b.keys().prove(j)
			b.mustServe(j, "token-1")
			b.mustBeAbsent(thief, auth.OtherDevice)

			b.restart() // and now in the other order
			b.mustServe(j, "token-2")
			b.mustBeAbsent(thief, auth.OtherDevice)
		})
	}
}

// TestCookiesFromBeforeTheBindingOfALongTimeAgo open nothing, restart or not: their last use
// is in them.
func TestCookiesFromBeforeTheBindingOfALongTimeAgo(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		b.provider.set(func(m *method) { m.rotates = false })
		j, before := boundCookies(b)
		for range 3 {
			time.Sleep(5 * time.Hour)
			b.keys().prove(j)
			_, h, err := b.get(j)
			if err != nil {
				b.Fatal(err)
			}
			j.take(h)
		}
		b.restart()
		b.mustBeAbsent(before, auth.Idle)
	})
}

// TestSpentCookieSaysThatItIsBound although it opens nothing itself.
func TestSpentCookieSaysThatItIsBound(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j, before := boundCookies(b)
		time.Sleep(life)
		b.keys().prove(j)
		b.mustServe(j, "token-1")
		b.restart()
		b.provider.set(func(m *method) { m.rotates = false })
		b.mustServe(j, "token-2")
		b.mustBeAbsent(before, auth.Ended) // its refresh token leads nowhere any more
		b.mustBeAbsent(without(j), auth.OtherDevice)
	})
}

// TestClockSetBackGivesNoGrace: what the cookie says of the time is of another process.
func TestClockSetBackGivesNoGrace(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j, _ := boundCookies(b)
		back := func() time.Time { return time.Now().Add(-time.Hour) }
		b.cfg.Now = back
		b.restart()
		b.mustBeAbsent(without(j), auth.OtherDevice)
	})
}

// TestEndForWantOfProof is like the other ends: it holds for every cookie, and the provider is
// told.
func TestEndForWantOfProof(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j, before := boundCookies(b)
		time.Sleep(life)
		b.keys().prove(j)
		b.mustServe(j, "token-1")
		b.keys().prove(j)
		for range 5 {
			b.mustBeAbsent(before, auth.OtherDevice)
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		if got := b.provider.gaveBack(); got != "[refresh-1]" {
			b.Errorf("revoked %s, want the newest, refresh-1", got)
		}
		b.mustBeAbsent(j, auth.OtherDevice)
		_, err := b.s.Challenge(j.request("POST"))
		if !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("challenge: got %v, want nobody", err)
		}
		if n := b.told(happened.SessionRevoked); n != 1 {
			b.Errorf("got %d events of the end, want 1", n)
		}
		time.Sleep(11 * time.Hour)
		b.mustBeAbsent(j, auth.OtherDevice)
	})
}

// TestEndForWantOfProofHoldsForLaterCookies that this process has not seen yet.
func TestEndForWantOfProofHoldsForLaterCookies(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		b.provider.set(func(m *method) { m.rotates = false })
		j, _ := boundCookies(b)
		thief := without(j)
		time.Sleep(life)
		b.keys().prove(j)
		b.provider.answerWith("other claims")
		b.mustServe(j, "token-1")
		if thief[chunk] == j[chunk] {
			b.Fatal("there is no later set")
		}
		b.restart()
		for range 5 {
			b.mustBeAbsent(thief, auth.OtherDevice)
			time.Sleep(10 * time.Second)
		}
		b.mustBeAbsent(j, auth.OtherDevice)
	})
}

// TestProvingIsNoUse of the session: browsers come by themselves.
func TestProvingIsNoUse(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j, _ := boundCookies(b)
		for range 12 {
			time.Sleep(59 * time.Minute)
			b.keys().prove(j)
		}
		time.Sleep(11 * time.Minute)
		b.mustBeAbsent(j, auth.Idle)
		b.wantGrants(0)
	})
}

// TestCookiesAreBoundInTimeOrNotAtAll: the time of the sign-in is in them, so that no restart
// and no clock makes it anew.
func TestCookiesAreBoundInTimeOrNotAtAll(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		offers := func(want bool) {
			t.Helper()
			challenge, err := b.s.Offer(j.request("GET"))
			if err != nil || (challenge != "") != want {
				b.Errorf("got the challenge %q, %v, want one: %v", challenge, err, want)
			}
		}
		refuses := func() {
			t.Helper()
			offers(false)
			_, err := b.s.Bind(http.Header{}, j.request("POST"), "thief", b.keys().challenge(j))
			b.mustBeRefused(err)
		}
		offers(true)
		time.Sleep(time.Minute - time.Second)
		b.restart()
		offers(true)
		time.Sleep(time.Second)
		refuses()
		b.restart()
		refuses()
		b.cfg.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		b.restart()
		refuses()
		b.cfg.Now = nil
		b.restart()
		j = b.signIn()
		b.keys().bind(j, "key")
		refuses()
	})
}

// largest is the most that a login's padding can have.
func (b *cookieBed) largest(of func(n int) *auth.Login) int {
	b.Helper()
	fits, over := 0, 20_000
	for over-fits > 1 {
		n := (fits + over) / 2
		if err := b.s.Begin(http.Header{}, jar{}.request("POST"), of(n), false); err == nil {
			fits = n
		} else {
			over = n
		}
	}
	return fits
}

// TestNoRoomForTheKey: the session goes on as it was, and says why it is not bound.
func TestNoRoomForTheKey(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		pad := noise(20_000)
		of := func(n int) *auth.Login {
			login := idpLogin("alice")
			login.Identity.Claims = map[string]any{"pad": pad[:n]}
			return login
		}
		j := jar{}
		b.begin(j, of(b.largest(of)))
		h := http.Header{}
		_, err := b.s.Bind(h, j.request("POST"), noise(400), b.keys().challenge(j))
		b.mustBeRefused(err)
		if !strings.Contains(err.Error(), "no room") || len(h) > 0 {
			b.Errorf("got %v and %v, want the reason and no cookie", err, h)
		}
		if got, err := b.s.Binding(j.request("POST")); err != nil || got.ID != "" {
			b.Errorf("got %+v, %v, want it unbound", got, err)
		}
		b.mustServe(j, "token-0")
		b.provider.answerWith("short")
		time.Sleep(life)
		b.mustServe(j, "token-1")
		b.restart()
		b.mustServe(j, "token-2") // so that it was in the answer, as if nothing had been
	})
}

// TestIDTokenMakesRoomForTheKey where no route needs it.
func TestIDTokenMakesRoomForTheKey(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		pad := noise(20_000)
		of := func(n int) *auth.Login {
			login := idpLogin("alice")
			login.IDToken = secret.New(pad[:n])
			return login
		}
		b.cfg.NeedIDToken = true
		b.restart()
		n := b.largest(of)
		for _, needed := range []bool{true, false} {
			b.cfg.NeedIDToken = needed
			b.restart()
			j := jar{}
			b.begin(j, of(n))
			h := http.Header{}
			_, err := b.s.Bind(h, j.request("POST"), noise(400), b.keys().challenge(j))
			if needed {
				b.mustBeRefused(err)
				continue
			}
			if err != nil {
				b.Fatal(err)
			}
			j.take(h)
			b.restart()
			if b.mustServe(j, "token-1"); len(j) > 3 {
				b.Errorf("got %d cookies, want the ID token left out", len(j))
			}
		}
	})
}
