package session_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	happened "github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// signInAt signs subject in with a provider's tokens, in a browser of their own.
func (b *bed) signInAt(subject, sid string, change func(*auth.Login)) jar {
	b.Helper()
	j, h := jar{}, make(map[string][]string)
	login := &auth.Login{
		AccessToken: token("token-0"), RefreshToken: secret.New("refresh-0"), IDToken: secret.New("id-0"), SID: sid, AuthTime: time.Now(),
		Identity: auth.Identity{Provider: "local", Subject: subject, User: subject},
	}
	if change != nil {
		change(login)
	}
	if err := b.m.Begin(h, j.request("POST"), login, false); err != nil {
		b.Fatalf("begin: %v", err)
	}
	j.take(h)
	return j
}

func TestSessionsEndFromElsewhere(t *testing.T) {
	for _, c := range []struct {
		name, provider, subject, sid string
		want                         int
		ended                        [3]bool
	}{
		{"by sid", "local", "", "s1", 1, [3]bool{true, false, false}},
		{"by subject", "local", "alice", "", 2, [3]bool{true, true, false}},
		{"by both", "local", "alice", "s2", 1, [3]bool{false, true, false}},
		{"another's sid under a subject", "local", "bob", "s1", 0, [3]bool{}},
		{"at another provider", "other", "alice", "", 0, [3]bool{}},
		{"an unknown sid", "local", "", "s9", 0, [3]bool{}},
		{"nobody named", "local", "", "", 0, [3]bool{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bed) {
				jars := []jar{b.signInAt("alice", "s1", nil), b.signInAt("alice", "s2", nil), b.signInAt("bob", "s3", nil)}
				n, err := b.m.EndAll(b.Context(), c.provider, c.subject, c.sid)
				if n != c.want || err != nil {
					b.Errorf("got %d ended, %v, want %d", n, err, c.want)
				}
				for i, j := range jars {
					if c.ended[i] {
						b.mustBeAbsent(j, auth.Elsewhere)
					} else {
						b.mustServe(j)
					}
				}
			})
		})
	}
}

func TestSessionEndedElsewhereClosesItsStreams(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signInAt("alice", "s1", nil)
		attended, _ := b.mustServe(j).Session.Attend(b.Context(), func(*auth.Login) error { return nil })
		if _, err := b.m.EndAll(b.Context(), "local", "", "s1"); err != nil {
			b.Fatal(err)
		}
		select {
		case <-attended.Done():
		case <-time.After(time.Second):
			b.Error("the stream is still open a second later")
		}
	})
}

// TestEndIsToldOnce, though all streams and requests of the session find out at once.
func TestEndIsToldOnce(t *testing.T) {
	for name, end := range map[happened.Name]func(b *bed){
		happened.SessionWithdrawn: func(b *bed) {
			b.method.set(func(m *method) { m.check = &auth.Refused{Reason: "disabled"} })
			b.m.Recheck()
		},
		happened.SessionEnded: func(b *bed) { time.Sleep(73 * time.Hour) },
	} {
		run(t, func(b *bed) {
			b.store.deleting = time.Second
			j := b.signIn()
			var streams []context.Context
			for range 10 {
				attended, _ := b.mustServe(j).Session.Attend(b.Context(), func(*auth.Login) error { return nil })
				streams = append(streams, attended)
			}
			end(b)
			for _, s := range streams {
				<-s.Done()
			}
			var requests sync.WaitGroup
			for range 10 {
				requests.Go(func() { _, _ = b.m.Authenticate(j.request("GET")) })
			}
			requests.Wait()
			if n := b.told(name); n != 1 {
				b.Errorf("%s: told %d times, want 1", name, n)
			}
		})
	}
}

func TestSessionOfAnotherProcessEndsFromElsewhere(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signInAt("alice", "s1", nil)
		if err := b.m.Close(); err != nil {
			b.Fatal(err)
		}
		ring, err := session.NewRing(session.NewKey(time.Now()), b.key)
		if err != nil {
			b.Fatal(err)
		}
		b.ring = ring
		b.start() // knows nothing but the store, and a newer key comes first
		if n, err := b.m.EndAll(b.Context(), "local", "alice", ""); n != 1 || err != nil {
			b.Errorf("got %d ended, %v, want 1", n, err)
		}
		b.mustBeAbsent(j, auth.Elsewhere)
	})
}

func TestNameIsUsedOnce(t *testing.T) {
	run(t, func(b *bed) {
		until := time.Now().Add(time.Minute)
		for i, want := range []bool{true, false, false} {
			if got, err := b.m.Once(b.Context(), "jti-1", until); got != want || err != nil {
				b.Errorf("use %d: got %v, %v, want %v", i+1, got, err, want)
			}
		}
		if got, err := b.m.Once(b.Context(), "jti-2", until); !got || err != nil {
			b.Errorf("another name: got %v, %v, want true", got, err)
		}
		b.store.write.Store(true)
		if _, err := b.m.Once(b.Context(), "jti-3", until); !isUnavailable(err) {
			b.Errorf("store out of order: got %v, want unavailable", err)
		}
	})
}

func isUnavailable(err error) bool {
	_, ok := errors.AsType[*auth.Unavailable](err)
	return ok
}

// revoked are the refresh tokens that the provider was told of.
func revoked(b *bed) []string {
	time.Sleep(time.Second) // it is told beside
	b.method.mu.Lock()
	defer b.method.mu.Unlock()
	return slices.Clone(b.method.revoked)
}

func TestTokensAreRevokedAtTheProvider(t *testing.T) {
	t.Run("at logout", func(t *testing.T) {
		run(t, func(b *bed) {
			j := b.signInAt("alice", "s1", nil)
			if _, err := b.m.End(make(map[string][]string), j.request("POST")); err != nil {
				b.Fatal(err)
			}
			if got := revoked(b); !slices.Equal(got, []string{"refresh-0"}) {
				b.Errorf("got %q revoked, want refresh-0", got)
			}
		})
	})
	t.Run("at reuse", func(t *testing.T) {
		run(t, func(b *bed) {
			j := b.signInAt("alice", "s1", nil)
			thief := b.rotate(j)
			b.mustServe(j)
			time.Sleep(grace + time.Second)
			b.mustServe(j)
			b.mustBeAbsent(thief, auth.Theft)
			if got := revoked(b); len(got) != 1 {
				b.Errorf("got %q revoked, want one refresh token", got)
			}
		})
	})
	t.Run("when a renewal comes back to an ended session", func(t *testing.T) {
		run(t, func(b *bed) {
			b.method.set(func(m *method) { m.slow, m.rotates = 3*time.Second, true })
			j := b.signInAt("alice", "s1", nil)
			time.Sleep(life - 90*time.Second)
			b.mustServe(j)               // the renewal runs beside
			time.Sleep(time.Second / 10) // and has begun
			if _, err := b.m.End(make(map[string][]string), j.request("POST")); err != nil {
				b.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if got := revoked(b); !slices.Equal(got, []string{"refresh-0", "refresh-1"}) {
				b.Errorf("got %q revoked, want what the session had and what came too late", got)
			}
		})
	})
}

func TestSessionThatCannotBeRenewedEndsWithItsToken(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signInAt("alice", "", func(l *auth.Login) {
			l.RefreshToken, l.Until = secret.Text{}, l.AccessToken.Expires
		})
		time.Sleep(life - time.Second)
		b.mustServe(j)
		if n := b.method.calls(); n != 0 {
			b.Errorf("got %d renewals, want none: there is nothing to renew with", n)
		}
		time.Sleep(2 * time.Second)
		_, err := b.get(j)
		if !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("after the end: got %v, want nobody signed in", err)
		}
	})
}

func TestRenewalForAResourceReplacesTheRefreshToken(t *testing.T) {
	run(t, func(b *bed) {
		b.method.set(func(m *method) { m.rotates = true })
		j := b.signInAt("alice", "", nil)
		s := b.mustServe(j).Session
		want := auth.Wanted{Resource: "https://api.test"}
		first, err := s.Token(b.Context(), want)
		if err != nil || first.Value.Reveal() != "token-1" {
			b.Fatalf("got %q, %v, want token-1", first.Value.Reveal(), err)
		}
		again, err := b.mustServe(j).Session.Token(b.Context(), want)
		if err != nil || again.Value.Reveal() != "token-1" || b.method.calls() != 1 {
			b.Errorf("got %q after %d grants, %v, want the same without another", again.Value.Reveal(), b.method.calls(), err)
		}
		if got := b.mustServe(j).AccessToken.Value.Reveal(); got != "token-0" {
			b.Errorf("the access token: got %q, want token-0, untouched", got)
		}
		time.Sleep(life)
		login := b.mustServe(j)
		got, err := login.Session.Token(b.Context(), want)
		if err != nil || login.AccessToken.Value.Reveal() == "token-0" || got.Value.Reveal() == "token-1" || b.method.calls() != 3 {
			b.Errorf("a life later: got %q and %q after %d grants, %v, want both renewed by one grant each",
				login.AccessToken.Value.Reveal(), got.Value.Reveal(), b.method.calls(), err)
		}
		if _, err := b.m.End(make(map[string][]string), j.request("POST")); err != nil {
			b.Fatal(err)
		}
		if got := revoked(b); !slices.Equal(got, []string{"refresh-3"}) {
			b.Errorf("got %q revoked, want the newest refresh token", got)
		}
	})
}

func TestRenewalsForManyResourcesAreSerialised(t *testing.T) {
	run(t, func(b *bed) {
		b.method.set(func(m *method) { m.rotates, m.slow = true, time.Second })
		j := b.signInAt("alice", "", nil)
		s := b.mustServe(j).Session
		started := time.Now()
		done := make(chan error)
		for i := range 40 {
			go func() {
				_, err := s.Token(context.Background(), auth.Wanted{Resource: []string{"a", "b", "c", "d"}[i%4]})
				done <- err
			}()
		}
		for range 40 {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
		if n, took := b.method.calls(), time.Since(started); n != 4 || took != 4*time.Second {
			b.Errorf("got %d grants in %v, want 4 of a second each, one after the other", n, took)
		}
	})
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signInAt("alice", "", nil)
		s := b.mustServe(j).Session
		refused, err := s.Token(b.Context(), auth.Wanted{})
		if err != nil {
			b.Fatal(err)
		}
		for range 3 { // each of three requests was refused with it
			got, err := s.Replace(b.Context(), auth.Wanted{}, refused)
			if err != nil || got.Value.Reveal() != "token-1" || b.method.calls() != 1 {
				b.Errorf("got %q after %d renewals, %v, want token-1 by one", got.Value.Reveal(), b.method.calls(), err)
			}
		}
		b.method.set(func(m *method) { m.err = &auth.Unavailable{What: "the provider"} })
		second, _ := s.Token(b.Context(), auth.Wanted{})
		got, err := s.Replace(b.Context(), auth.Wanted{}, second)
		if err != nil || got.Value.Reveal() != "token-1" {
			b.Errorf("in an outage: got %q, %v, want the refused one back", got.Value.Reveal(), err)
		}
	})
}

func TestKindsOfToken(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signInAt("alice", "", nil)
		s := b.mustServe(j).Session
		for _, c := range []struct {
			want  auth.Wanted
			value string
		}{
			{auth.Wanted{}, "token-0"},
			{auth.Wanted{Kind: auth.IDToken}, "id-0"},
			{auth.Wanted{Kind: auth.NoToken}, ""},
			{auth.Wanted{Kind: auth.Minted, Audience: "reports"}, "minted for alice and reports"},
		} {
			got, err := s.Token(b.Context(), c.want)
			if err != nil || got.Value.Reveal() != c.value {
				b.Errorf("%+v: got %q, %v, want %q", c.want, got.Value.Reveal(), err, c.value)
			}
		}
		if _, err := s.Token(b.Context(), auth.Wanted{Kind: auth.Minted, Audience: "reports"}); err != nil || b.minter.minted != 1 {
			b.Errorf("got %d minted, %v, want the first kept", b.minter.minted, err)
		}
		time.Sleep(life)
		if _, err := b.mustServe(j).Session.Token(b.Context(), auth.Wanted{Kind: auth.Minted, Audience: "reports"}); err != nil || b.minter.minted != 2 {
			b.Errorf("a life later: got %d minted, %v, want a second", b.minter.minted, err)
		}
	})
}

func TestSignOutEndsWhatTheSessionReplaced(t *testing.T) {
	run(t, func(b *bed) {
		first := b.signIn()
		attended, _ := b.mustServe(first).Session.Attend(b.Context(), func(*auth.Login) error { return nil })
		second := first.clone()
		b.signInWith(second, "alice")
		third := second.clone()
		b.signInWith(third, "alice")
		b.mustServe(first) // what its tab had under way is still answered
		if _, err := b.m.End(make(map[string][]string), third.request("POST")); err != nil {
			b.Fatal(err)
		}
		for i, j := range []jar{first, second, third} {
			if _, err := b.get(j); !errors.Is(err, auth.ErrAnonymous) {
				b.Errorf("session %d after the sign-out: got %v, want nobody signed in", i+1, err)
			}
		}
		select {
		case <-attended.Done():
		case <-time.After(time.Second):
			b.Error("a stream of the first session is still open a second later")
		}
	})
}

func TestSessionCookieIsAsSafeAsCookiesGet(t *testing.T) {
	run(t, func(b *bed) {
		for _, c := range []struct {
			remember bool
			want     string
		}{{false, "; Path=/; HttpOnly; Secure; SameSite=Lax"}, {true, "; Path=/; Max-Age=259200; HttpOnly; Secure; SameSite=Lax"}} {
			h := http.Header{}
			login := &auth.Login{AccessToken: token("t"), Identity: auth.Identity{Provider: "local", Subject: "alice"}}
			if err := b.m.Begin(h, jar{}.request("POST"), login, c.remember); err != nil {
				b.Fatal(err)
			}
			got := h.Get("Set-Cookie")
			name, rest, _ := strings.Cut(got, "=")
			_, attributes, _ := strings.Cut(rest, ";")
			if name != "__Host-Http-evergate" || ";"+attributes != c.want {
				b.Errorf("remember %v: got %s and %q, want __Host-Http-evergate and %q", c.remember, name, ";"+attributes, c.want)
			}
			if strings.Contains(got, "token") {
				b.Error("the cookie shows a token")
			}
		}
	})
}

func TestExchangedTokenIsKeptForAsLongAsWhatItWasMadeOf(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signInAt("alice", "", nil)
		want := auth.Wanted{Kind: auth.Exchanged, Audience: "reports", Scope: "read"}
		done := make(chan error)
		s := b.mustServe(j).Session
		for range 20 {
			go func() {
				got, err := s.Token(context.Background(), want)
				if err == nil && got.Value.Reveal() != "exchanged 1 of token-0 for reports read" {
					err = errors.New(got.Value.Reveal())
				}
				done <- err
			}()
		}
		for range 20 {
			if err := <-done; err != nil {
				b.Error(err)
			}
		}
		time.Sleep(life)
		got, err := b.mustServe(j).Session.Token(b.Context(), want)
		if err != nil || got.Value.Reveal() != "exchanged 2 of token-1 for reports read" {
			b.Errorf("a life later: got %q, %v, want one of the new token", got.Value.Reveal(), err)
		}
		b.method.set(func(m *method) { m.err = errors.New("invalid_target") })
		if _, err := b.mustServe(j).Session.Token(b.Context(), auth.Wanted{Kind: auth.Exchanged, Audience: "other"}); !isUnavailable(err) {
			b.Errorf("refused there: got %v, want unavailable: the session goes on", err)
		}
		b.mustServe(j)
	})
}

func TestSessionWithoutRefreshTokenMayComeBackWithoutAWord(t *testing.T) {
	for _, after := range []time.Duration{time.Second, 50 * time.Minute} {
		run(t, func(b *bed) {
			j := b.signInAt("alice", "", func(l *auth.Login) { l.RefreshToken, l.Until = secret.Text{}, l.AccessToken.Expires })
			time.Sleep(life + after)
			_, err := b.get(j)
			absent, ok := errors.AsType[*auth.Absent](err)
			if !ok || absent.Reason != auth.Over || absent.Silent != "local" {
				b.Errorf("%v after its end: got %+v, want over, and the provider that may be asked", after, err)
			}
			_, err = b.get(j)
			if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Silent != "" {
				b.Errorf("once more: got %+v, want to be asked once", err)
			}
		})
	}
	run(t, func(b *bed) {
		j := b.signInAt("alice", "", nil)
		time.Sleep(73 * time.Hour)
		_, err := b.get(j)
		if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Silent != "" {
			b.Errorf("a session that could be renewed, past max_lifetime: got %+v, want nobody to be asked silently", err)
		}
	})
}

func TestUpstreamThatRefusesEveryTokenForcesFewGrants(t *testing.T) {
	run(t, func(b *bed) {
		b.method.set(func(m *method) { m.rotates = true })
		j := b.signInAt("alice", "", nil)
		for range 100 {
			s := b.mustServe(j).Session
			tok, err := s.Token(b.Context(), auth.Wanted{})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.Replace(b.Context(), auth.Wanted{}, tok); err != nil {
				b.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if n := b.method.calls(); n > 3 {
			b.Errorf("100 refused requests in 100 s forced %d grants, want one a minute", n)
		}
	})
}

// TestGrantOnTheWireOutlivesAStop: a gateway that is asked to stop waits for the
// answer, for a refresh token is good once.
func TestGrantOnTheWireOutlivesAStop(t *testing.T) {
	run(t, func(b *bed) {
		b.method.set(func(m *method) { m.rotates, m.slow = true, 5*time.Second })
		j := b.signInAt("alice", "", nil)
		time.Sleep(life - 90*time.Second)
		b.mustServe(j)               // the renewal runs beside
		time.Sleep(time.Second / 10) // and has begun
		if err := b.m.Close(); err != nil {
			b.Fatal(err)
		}
		b.start()
		if got := b.mustServe(j); got.AccessToken.Value.Reveal() != "token-1" || got.RefreshToken.Reveal() != "refresh-1" {
			b.Errorf("after the restart: got %q and %q, want what came while it stopped", got.AccessToken.Value.Reveal(), got.RefreshToken.Reveal())
		}
	})
}

// TestRefreshTokenThatIsStoredLateIsNotLost: the store does not write when a
// renewal comes back, and does again while the next is on its way.
func TestRefreshTokenThatIsStoredLateIsNotLost(t *testing.T) {
	run(t, func(b *bed) {
		b.method.set(func(m *method) { m.rotates = true })
		j := b.signInAt("alice", "", nil)
		b.store.write.Store(true)
		time.Sleep(life + time.Second)
		b.mustServe(j)
		synctest.Wait() // refresh-1 is known here, and refresh-0 is stored
		b.method.set(func(m *method) { m.slow = 10 * time.Second })
		s := b.mustServe(j).Session
		done := make(chan error)
		go func() {
			_, err := s.Token(context.Background(), auth.Wanted{Resource: "api"})
			done <- err
		}()
		time.Sleep(time.Second)
		b.store.write.Store(false) // what is kept behind is written now
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if err := b.m.Close(); err != nil {
			b.Fatal(err)
		}
		b.start()
		if got := b.mustServe(j).RefreshToken.Reveal(); got != "refresh-2" {
			b.Errorf("stored in the end: got %q, want refresh-2, the only one that is good", got)
		}
	})
}
