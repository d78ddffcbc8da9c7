package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/session"
)

// settings are those of a bed, to be changed.
func (b *bed) settings() session.Settings {
	return session.Settings{Methods: map[string]auth.Refresher{"local": b.method}, Minter: b.minter,
		IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: grace, MaxStale: 10 * time.Minute}
}

func (b *cookieBed) settings() session.Settings {
	return session.Settings{Methods: b.cfg.Methods, Minter: b.cfg.Minter,
		IdleTimeout: b.cfg.IdleTimeout, MaxLifetime: b.cfg.MaxLifetime, Grace: b.cfg.Grace, MaxStale: b.cfg.MaxStale}
}

func (b *bed) reconfigure(f func(*session.Settings)) {
	b.Helper()
	s := b.settings()
	f(&s)
	if err := b.m.Reconfigure(s); err != nil {
		b.Fatal(err)
	}
}

func TestSettingsThatChange(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*session.Settings)
		wait   time.Duration
		reason string // why nobody is signed in afterwards, "" if they are
	}{
		{"nothing", func(*session.Settings) {}, time.Hour, ""},
		{"a shorter idle time", func(s *session.Settings) { s.IdleTimeout = 30 * time.Minute }, time.Hour, auth.Idle},
		{"a shorter life", func(s *session.Settings) { s.MaxLifetime = 30 * time.Minute }, time.Hour, auth.Over},
		{"a longer idle time, from the next use on", func(s *session.Settings) { s.IdleTimeout = 40 * time.Hour }, 30 * time.Hour, ""},
		{"no way to sign in as they did", func(s *session.Settings) { s.Methods = nil }, 0, auth.Withdrawn},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, func(b *bed) {
				j := b.signIn()
				b.reconfigure(c.change)
				if c.reason == "" {
					time.Sleep(13 * time.Minute) // the next use is a renewal, which tells the store
					b.mustServe(j)
					synctest.Wait()
				}
				time.Sleep(c.wait)
				if c.reason == "" {
					b.mustServe(j)
				} else {
					b.mustBeAbsent(j, c.reason)
				}
			})
		})
	}
}

// TestSettingsReachStreams: a stream that is open obeys what is in force now, at once.
func TestSettingsReachStreams(t *testing.T) {
	run(t, func(b *bed) {
		attended, _ := b.mustServe(b.signIn()).Session.Attend(context.Background(), func(*auth.Login) error { return nil })
		time.Sleep(time.Hour)
		if attended.Err() != nil {
			t.Fatal("the stream ended by itself")
		}
		b.reconfigure(func(s *session.Settings) { s.MaxLifetime = time.Hour })
		synctest.Wait()
		if attended.Err() == nil {
			t.Error("the stream goes on after the end of its session")
		}
	})
}

// TestRenewalsUseTheMethodInForce: a session that another one signed in is renewed by
// the one of now.
func TestRenewalsUseTheMethodInForce(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		next := &method{}
		b.reconfigure(func(s *session.Settings) { s.Methods = map[string]auth.Refresher{"local": next} })
		time.Sleep(life + time.Second)
		if got := b.mustServe(j).AccessToken.Value.Reveal(); got != "token-1" || next.calls() != 1 || b.method.calls() != 0 {
			t.Errorf("got %q by %d and %d calls, want token-1 by the new method", got, next.calls(), b.method.calls())
		}
	})
}

// TestMintedTokensFollowTheMinter: what another one signed has another audience or life.
func TestMintedTokensFollowTheMinter(t *testing.T) {
	run(t, func(b *bed) {
		s := b.mustServe(b.signIn()).Session
		next := &minter{}
		for _, set := range []*minter{b.minter, next, next} {
			b.reconfigure(func(s *session.Settings) { s.Minter = set })
			if _, err := s.Token(t.Context(), auth.Wanted{Kind: auth.Minted}); err != nil {
				t.Fatal(err)
			}
		}
		if b.minter.minted != 1 || next.minted != 1 {
			t.Errorf("got %d and %d minted, want one by each", b.minter.minted, next.minted)
		}
	})
}

func TestBadSettingsChangeNothing(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		s := b.settings()
		s.IdleTimeout = 0
		if err := b.m.Reconfigure(s); err == nil {
			t.Error("an idle timeout of zero was taken")
		}
		b.mustServe(j)
	})
}

// TestStatelessSettings: with the cookie as the store too; and whoever signed out stays
// out where sessions live longer than when they did.
func TestStatelessSettings(t *testing.T) {
	runCookie(t, func(b *cookieBed) {
		set := func(most time.Duration) {
			b.Helper()
			if err := b.s.Reconfigure(session.Settings{Methods: b.cfg.Methods, Minter: b.cfg.Minter, IdleTimeout: 100 * time.Hour,
				MaxLifetime: most, Grace: grace, MaxStale: 10 * time.Minute}); err != nil {
				b.Fatal(err)
			}
		}
		set(100 * time.Hour)
		out, stays, ends := jar{}, jar{}, jar{}
		for user, j := range map[string]jar{"alice": out, "bob": stays, "carol": ends} {
			b.begin(j, idpLogin(user))
		}
		copied := out.clone()
		if _, err := b.s.End(map[string][]string{}, out.request("POST")); err != nil {
			t.Fatal(err)
		}
		set(200 * time.Hour)
		time.Sleep(90 * time.Hour) // each is used, so that none is idle
		for _, j := range []jar{stays, ends} {
			if _, h, err := b.get(j); err != nil {
				t.Fatalf("90 hours later: %v, want the request served", err)
			} else {
				j.take(h)
			}
		}
		time.Sleep(60 * time.Hour)
		b.mustBeAbsent(copied, auth.Ended)
		if _, _, err := b.get(stays); err != nil {
			t.Errorf("with twice the life: %v, want the request served", err)
		}
		set(120 * time.Hour)
		b.mustBeAbsent(ends, auth.Over)
	})
}

// TestLeave: what is under way goes on when another process takes the sessions over; what
// merely stops ends it.
func TestLeave(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(m *session.Manager) error
		over bool
	}{"left": {(*session.Manager).Leave, false}, "closed": {(*session.Manager).Close, true}} {
		t.Run(name, func(t *testing.T) {
			run(t, func(b *bed) {
				s := b.mustServe(b.signIn()).Session
				yes := func(*auth.Login) error { return nil }
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				before, _ := s.Attend(ctx, yes)
				if err := c.end(b.m); err != nil {
					t.Fatal(err)
				}
				after, _ := s.Attend(ctx, yes)
				synctest.Wait()
				if got := before.Err() != nil; got != c.over {
					t.Errorf("ended: got %v, want %v", got, c.over)
				}
				if got := after.Err() != nil; got != c.over {
					t.Errorf("one that began afterwards ended: got %v, want %v", got, c.over)
				}
			})
		})
	}
}
