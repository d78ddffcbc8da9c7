package session_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

func (b *cookieBed) signOut(j jar) *auth.Login {
	b.Helper()
	h := http.Header{}
	login, err := b.s.End(h, j.request("POST"))
	if err != nil {
		b.Fatalf("end: %v", err)
	}
	j.take(h)
	return login
}

func TestStatelessSignOutDeniesEveryCookie(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		old := j.clone()
		time.Sleep(life)
		b.mustServe(j, "token-1")
		newest := j.clone()
		login := b.signOut(j)
		if login == nil || login.IDToken.Reveal() != "id-token-alice" {
			b.Errorf("got %v, want the login with its ID token", login)
		}
		if len(j) > 0 {
			b.Errorf("got %v left in the jar, want nothing", j)
		}
		synctest.Wait()
		if got := b.provider.gaveBack(); got != "[refresh-1]" {
			b.Errorf("revoked %s, want the newest, refresh-1", got)
		}
		b.mustBeAbsent(old, auth.Ended)
		b.mustBeAbsent(newest, auth.Ended)
		time.Sleep(11 * time.Hour)
		b.mustBeAbsent(newest, auth.Ended)
		time.Sleep(60 * time.Hour)
		_, _, err := b.get(newest)
		if !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("beyond max_lifetime: got %v, want nobody", err)
		}
		b.wantGrants(1)
	})
}

func TestStatelessSignOutWithALateCookie(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		old := j.clone()
		time.Sleep(life)
		b.mustServe(j, "token-1")
		b.signOut(old)
		synctest.Wait()
		if got := b.provider.gaveBack(); got != "[refresh-1]" {
			b.Errorf("revoked %s, want the newest, refresh-1", got)
		}
		b.mustBeAbsent(j, auth.Ended)
	})
}

func TestStatelessSignOutBeatsARenewal(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.provider.set(func(m *method) { m.slow = 2 * time.Second })
		time.Sleep(life + time.Second)
		answered := make(chan error)
		tab := j.clone()
		go func() {
			_, h, err := b.get(tab)
			if len(h) > 0 {
				b.Errorf("got %v, want no cookie after the sign-out", h)
			}
			answered <- err
		}()
		time.Sleep(time.Second)
		b.signOut(j)
		if err := <-answered; !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("got %v, want nobody", err)
		}
		time.Sleep(time.Second)
		if got := b.provider.gaveBack(); got != "[refresh-0-alice refresh-1]" {
			b.Errorf("revoked %s, want what was there and what came too late", got)
		}
		b.mustBeAbsent(tab, auth.Ended)
	})
}

func TestStatelessSignOutBetweenRequestAndResponse(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		old := j.clone()
		time.Sleep(life)
		b.mustServe(j, "token-1")
		login, err := b.s.Authenticate(old.request("GET"))
		if err != nil {
			b.Fatal(err)
		}
		b.signOut(j)
		h := http.Header{}
		login.Session.Deliver(b.Context(), h)
		if len(h) > 0 {
			b.Errorf("got %v, want no cookie: it would come back after the sign-out", h)
		}
		if _, err := login.Session.Token(b.Context(), auth.Wanted{}); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("got %v, want nobody", err)
		}
	})
}

func TestStatelessNewSignInReplacesTheOld(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		old := j.clone()
		late, err := b.s.Authenticate(old.request("GET"))
		if err != nil {
			b.Fatal(err)
		}
		b.begin(j, idpLogin("alice"))
		b.mustServe(old, "token-0") // what is under way in other tabs
		time.Sleep(life / 20)
		h := http.Header{}
		late.Session.Deliver(b.Context(), h)
		if len(h) > 0 {
			b.Errorf("got %v, want nothing over the newer sign-in", h)
		}
		time.Sleep(2 * grace)
		b.mustBeAbsent(old, auth.Ended)
		b.mustServe(j, "token-0")

		planted := b.signIn()
		victim := planted.clone()
		b.begin(victim, idpLogin("bob"))
		b.mustBeAbsent(planted, auth.Ended)
		if login := b.mustServe(victim, "token-0"); login.Identity.User != "bob" {
			b.Errorf("got %q, want bob", login.Identity.User)
		}
	})
}

func TestStatelessSignOutEndsWhatItReplaced(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		old := j.clone()
		b.begin(j, idpLogin("alice"))
		b.signOut(j)
		b.mustBeAbsent(old, auth.Ended)
	})
}

func TestStatelessIdleTimeout(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		for range 4 {
			time.Sleep(11 * time.Hour)
			login, h, err := b.get(j)
			if err != nil {
				b.Fatal(err)
			}
			_ = login
			j.take(h)
		}
		b.restart()
		time.Sleep(11 * time.Hour) // 55 hours after the sign-in
		if _, _, err := b.get(j); err != nil {
			b.Errorf("got %v, want the last use known over a restart", err)
		}
		time.Sleep(12*time.Hour + time.Second)
		b.mustBeAbsent(j, auth.Idle)
	})
}

func TestStatelessIdleTimeoutOverARestart(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		b.mustServe(j, "token-0")
		b.restart()
		time.Sleep(12*time.Hour + 37*time.Minute)
		b.mustBeAbsent(j, auth.Idle)
		b.wantGrants(0)
	})
}

func TestStatelessLastUseTravelsWithoutARenewal(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := jar{}
		login := idpLogin("alice")
		login.AccessToken.Expires = time.Now().Add(48 * time.Hour)
		b.begin(j, login)
		time.Sleep(30 * time.Minute)
		if _, h, err := b.get(j); err != nil || len(h) > 0 {
			b.Errorf("after 30m: got %v and %v, want no cookie yet", err, h)
		}
		time.Sleep(10 * time.Minute)
		_, h, err := b.get(j)
		if err != nil || len(h) == 0 {
			b.Errorf("after 40m: got %v and %v, want a cookie with the last use", err, h)
		}
		b.mustServe(j, "token-0") // it was lost, and the one before is as good
		b.wantGrants(0)
	})
}

func TestStatelessMaxLifetime(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		for range 7 {
			time.Sleep(10 * time.Hour)
			_, h, err := b.get(j)
			if err != nil {
				b.Fatal(err)
			}
			j.take(h)
		}
		time.Sleep(2 * time.Hour)
		b.mustBeAbsent(j, auth.Over)
	})
}

func TestStatelessWithoutRefreshToken(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		login := idpLogin("alice")
		login.RefreshToken = secret.Text{}
		if err := b.s.Begin(http.Header{}, jar{}.request("POST"), login, false); err == nil {
			b.Error("got a session that can neither be renewed nor ends, want it refused")
		}
		login.Until = login.AccessToken.Expires
		j := jar{}
		b.begin(j, login)
		b.mustServe(j, "token-0")
		kept := j.clone()
		b.restart()
		_, _, err := b.get(kept)
		if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Silent != "idp" {
			b.Errorf("after a restart: got %v, want to be signed in at idp without a word", err)
		}
		b.wantGrants(0)
	})
}

func TestStatelessEndAllSaysThatItCannot(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		n, err := b.s.EndAll(b.Context(), "idp", "", "sid-bob")
		if _, ok := errors.AsType[*session.Unsupported](err); !ok || n != 0 {
			b.Errorf("got %d, %v, want none and that it cannot", n, err)
		}
		n, err = b.s.EndAll(b.Context(), "idp", "alice", "")
		if _, ok := errors.AsType[*session.Unsupported](err); !ok || n != 1 {
			b.Errorf("got %d, %v, want the one in memory and that it cannot", n, err)
		}
		b.mustBeAbsent(j, auth.Elsewhere)
	})
}

func TestStatelessOnce(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		until := time.Now().Add(10 * time.Minute)
		for _, want := range []bool{true, false} {
			if first, err := b.s.Once(b.Context(), "flow", until); err != nil || first != want {
				b.Errorf("got %v, %v, want %v", first, err, want)
			}
		}
		time.Sleep(11 * time.Minute)
		if first, err := b.s.Once(b.Context(), "flow", time.Now().Add(time.Minute)); err != nil || !first {
			b.Errorf("after its time: got %v, %v, want it the first", first, err)
		}
	})
}

func TestStatelessMemoryIsGivenBack(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		want := func(when string, sessions, hot, heirs int) {
			b.Helper()
			if s, h, e := b.s.Known(); s != sessions || h != hot || e != heirs {
				b.Errorf("%s: got %d sessions, %d with tokens, %d successors, want %d, %d, %d", when, s, h, e, sessions, hot, heirs)
			}
		}
		out, j := b.signIn(), b.signIn()
		b.signOut(out)
		for i := range 30 {
			time.Sleep(life)
			if _, _, err := b.get(j); err != nil { // keeps no cookie
				b.Fatal(err)
			}
			_, _, heirs := b.s.Known()
			want("in use", 2, 1, min(i+1, heirs, 16))
		}
		_, h, err := b.get(j)
		if err != nil {
			b.Fatal(err)
		}
		j.take(h)
		b.mustServe(j, "token-30")
		time.Sleep(9 * time.Minute) // no token is left for long
		_, h, err = b.get(j)
		if err != nil {
			b.Fatal(err)
		}
		j.take(h)
		time.Sleep(2 * time.Minute)
		b.mustServe(j, "token-31")
		time.Sleep(9 * time.Minute)
		b.mustServe(j, "token-32")
		want("the cookie is kept again", 2, 1, 2)
		time.Sleep(13 * time.Minute)
		want("nobody uses it", 2, 0, 2)
		time.Sleep(13 * time.Hour)
		want("idle", 1, 0, 0)
		time.Sleep(60 * time.Hour)
		want("beyond max_lifetime", 0, 0, 0)
	})
}
