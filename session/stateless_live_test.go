package session_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

func TestStatelessStreamRenewsAndTheNextRequestLearns(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		login := b.mustServe(j, "token-0")
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		attended, activity := login.Session.Attend(ctx, func(*auth.Login) error { return nil })
		for range 4 {
			time.Sleep(life)
			activity()
		}
		if attended.Err() != nil {
			b.Fatalf("got the stream closed: %v", context.Cause(attended))
		}
		if b.provider.calls() < 4 {
			b.Errorf("got %d grants, want one for each token", b.provider.calls())
		}
		n := b.provider.calls()
		before := j[chunk]
		if _, h, err := b.get(j); err != nil || len(h) == 0 {
			b.Errorf("got %v and %v, want served with the newest cookie", err, h)
		} else if j.take(h); j[chunk] == before {
			b.Error("got the same cookie, want the newest")
		}
		b.wantGrants(n)
		b.signOut(j)
		time.Sleep(time.Second)
		if attended.Err() == nil {
			b.Error("the stream is open after the sign-out")
		}
	})
}

func TestStatelessStreamEnds(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *cookieBed)
		within time.Duration
	}{
		"when the session is idle":    {func(*cookieBed) {}, 12*time.Hour + time.Second},
		"when access is lost":         {func(b *cookieBed) { b.provider.set(func(m *method) { m.groups = []string{"lost"} }) }, life},
		"when the provider refuses":   {func(b *cookieBed) { b.provider.set(func(m *method) { m.err = &auth.Refused{} }) }, life},
		"when the method says so":     {func(b *cookieBed) { b.provider.set(func(m *method) { m.check = &auth.Refused{} }); b.s.Recheck() }, time.Second},
		"with the sign-in after that": {func(b *cookieBed) {}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			runCookie(t, func(b *cookieBed) {
				j := b.signIn()
				login := b.mustServe(j, "token-0")
				attended, _ := login.Session.Attend(b.Context(), func(l *auth.Login) error {
					if len(l.Identity.Groups) > 0 {
						return errors.New("not any more")
					}
					return nil
				})
				time.Sleep(time.Second)
				if attended.Err() != nil {
					b.Fatal("closed before anything happened")
				}
				c.change(b)
				if c.within == 0 {
					b.begin(j, idpLogin("alice"))
					c.within = grace + time.Second
				}
				time.Sleep(c.within)
				if attended.Err() == nil {
					b.Errorf("open after %v", c.within)
				}
			})
		})
	}
}

func TestStatelessTokens(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		login := b.mustServe(j, "token-0")
		get := func(want auth.Wanted) string {
			b.Helper()
			got, err := login.Session.Token(b.Context(), want)
			if err != nil {
				b.Fatal(err)
			}
			return got.Value.Reveal()
		}
		for range 2 {
			// In this order: a grant makes those anew that were made of the token before.
			for _, c := range []struct {
				want   string
				wanted auth.Wanted
			}{
				{"token-0", auth.Wanted{}},
				{"", auth.Wanted{Kind: auth.NoToken}},
				{"id-token-alice", auth.Wanted{Kind: auth.IDToken}},
				{"token-1", auth.Wanted{Resource: "https://api.test"}},
				{"exchanged 1 of token-0 for api read", auth.Wanted{Kind: auth.Exchanged, Audience: "api", Scope: "read"}},
				{"minted for alice and wiki", auth.Wanted{Kind: auth.Minted, Audience: "wiki"}},
			} {
				if got := get(c.wanted); got != c.want {
					b.Errorf("%+v: got %q, want %q", c.wanted, got, c.want)
				}
			}
		}
		b.wantGrants(1)
		h := http.Header{}
		login.Session.Deliver(b.Context(), h)
		if len(h) == 0 {
			b.Error("got no cookie after a grant for a resource, want the new refresh token")
		}
	})
}

func TestStatelessReplace(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		login := b.mustServe(j, "token-0")
		refused, err := login.Session.Token(b.Context(), auth.Wanted{})
		if err != nil {
			b.Fatal(err)
		}
		for range 3 {
			got, err := login.Session.Replace(b.Context(), auth.Wanted{}, refused)
			if err != nil || got.Value.Reveal() != "token-1" {
				b.Errorf("got %q, %v, want token-1", got.Value.Reveal(), err)
			}
		}
		again, err := login.Session.Token(b.Context(), auth.Wanted{})
		if err != nil {
			b.Fatal(err)
		}
		if got, err := login.Session.Replace(b.Context(), auth.Wanted{}, again); err != nil || got.Value.Reveal() != "token-1" {
			b.Errorf("within a minute: got %q, %v, want token-1 again", got.Value.Reveal(), err)
		}
		b.wantGrants(1)
		h := http.Header{}
		login.Session.Deliver(b.Context(), h)
		if len(h) == 0 {
			b.Error("got no cookie after the renewal, want one")
		}
	})
}

func TestStatelessLongRequestFindsItsTokensAgain(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		login := b.mustServe(j, "token-0")
		time.Sleep(2 * time.Hour) // the upstream takes its time, and the tokens are forgotten
		attended, _ := login.Session.Attend(b.Context(), func(*auth.Login) error { return nil })
		time.Sleep(time.Minute)
		if attended.Err() != nil {
			b.Errorf("got the stream closed: %v", context.Cause(attended))
		}
		b.wantGrants(1)
	})
}

func TestStatelessStreamOutlivesAnOutage(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		j := b.signIn()
		login := b.mustServe(j, "token-0")
		attended, _ := login.Session.Attend(b.Context(), func(*auth.Login) error { return nil })
		b.provider.set(func(m *method) { m.err = &auth.Unavailable{What: "the provider"} })
		time.Sleep(time.Hour)
		b.provider.set(func(m *method) { m.err, m.renewed = nil, 0 })
		time.Sleep(time.Minute)
		if attended.Err() != nil {
			b.Errorf("got the stream closed: %v", context.Cause(attended))
		}
		b.wantGrants(1)
	})
}
