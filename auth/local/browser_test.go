package local_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
)

// at is somebody at the i-th of many addresses, each of them another one.
func at(i int) auth.Asker {
	return auth.Asker{Addr: netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})}
}

// by is from with a browser that signed in as login.
func by(from auth.Asker, login *auth.Login) auth.Asker {
	from.Browser = from.Browser.With(login, time.Now())
	return from
}

// how reports whether an attempt had to wait, and whether it signed in.
func how(t *testing.T, err error) (waited, in bool) {
	t.Helper()
	_, refused := errors.AsType[*auth.Refused](err)
	_, waited = errors.AsType[*auth.Throttled](err)
	if err != nil && !refused && !waited {
		t.Fatal(err)
	}
	return waited, err == nil
}

// TestKnownBrowserDoesNotWaitForStrangers: a stranger guesses at alice for 20 minutes, and she
// signs in by her browser from wherever she is (U-01).
func TestKnownBrowserDoesNotWaitForStrangers(t *testing.T) {
	eachGuard(t, func(t *testing.T, guard local.Guard) {
		var count atomic.Int32
		users := []local.User{{Name: "alice", Password: hashOf(t, password)}, {Name: "mallory", Password: hashOf(t, password)}}
		m := method(t, &users, local.CountingHasher(4, &count))
		m.Throttle = guard
		login := func(from auth.Asker, user, pw string) (*auth.Login, bool) {
			t.Helper()
			l, err := m.Login(t.Context(), from, user, pw)
			waited, _ := how(t, err)
			return l, waited
		}
		alice, _ := login(at(1), "alice", password)
		mallory, _ := login(at(2), "mallory", password)
		looked, next := 0, 10
		for half := range 40 {
			for range 20 {
				next++
				if _, waited := login(at(next), "alice", "guess"); !waited {
					looked++
				}
			}
			next++
			l, _ := login(by(at(next), alice), "alice", password)
			if l == nil {
				t.Fatalf("after %d half minutes her browser is kept out", half)
			}
			alice = l
			next++
			for name, from := range map[string]auth.Asker{"a stranger": at(next), "mallory's browser": by(at(next), mallory)} {
				if _, waited := login(from, "alice", password); !waited {
					t.Fatalf("after %d half minutes %s with the right password does not wait", half, name)
				}
			}
			time.Sleep(30 * time.Second)
		}
		if looked > 45 {
			t.Errorf("%d guesses of strangers were looked at in 20 minutes, want about ten and one a minute", looked)
		}
		// It is the same where somebody else at the same address guesses at many names.
		office := at(60_000)
		for i := range 200 {
			_, _ = login(office, fmt.Sprint("user", i), "guess")
		}
		if _, waited := login(office, "mallory", password); !waited {
			t.Error("after 200 guesses an address does not wait")
		}
		if _, waited := login(by(office, alice), "alice", password); waited {
			t.Error("the browser of somebody who signed in before waits for a colleague")
		}
	})
}

// TestKnownBrowserIsCountedByItself: whoever has a copy of the cookie has as many guesses as a
// stranger, and keeps nobody else out.
func TestKnownBrowserIsCountedByItself(t *testing.T) {
	eachGuard(t, func(t *testing.T, guard local.Guard) {
		var count atomic.Int32
		users := []local.User{{Name: "alice", Password: hashOf(t, password)}}
		m := method(t, &users, local.CountingHasher(64, &count))
		m.Throttle = guard
		alice, err := m.Login(t.Context(), at(1), "alice", password)
		if err != nil {
			t.Fatal(err)
		}
		thief := by(at(2), alice)
		count.Store(0)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { _, _ = m.Login(t.Context(), thief, "alice", "guess") })
		}
		all.Wait()
		if n := count.Load(); n != 10 {
			t.Errorf("%d of 100 guesses with a copied cookie were looked at, want 10", n)
		}
		for range 60 {
			_, _ = m.Login(t.Context(), thief, "alice", "guess")
			time.Sleep(time.Minute + time.Second)
		}
		if n := count.Load(); n > 70 {
			t.Errorf("%d guesses with a copied cookie were looked at in an hour, want one a minute", n)
		}
		_, _ = m.Login(t.Context(), thief, "alice", "guess")
		if waited, _ := how(t, login(t, m, auth.Asker{Addr: at(3).Addr, Browser: thief.Browser}, password)); !waited {
			t.Error("with the right password the copy does not wait")
		}
		// None of it is anybody else's: another browser of hers, a stranger, a network.
		for name, from := range map[string]auth.Asker{"another browser": by(at(4), alice), "a stranger": at(5), "the thief's address": at(2)} {
			if _, in := how(t, login(t, m, from, password)); !in {
				t.Errorf("%s is kept out by guesses with a copied cookie", name)
			}
		}
	})
}

func login(t *testing.T, m *local.Method, from auth.Asker, pw string) error {
	t.Helper()
	_, err := m.Login(t.Context(), from, "alice", pw)
	return err
}

// TestKnownBrowserTakesNothingFromStrangers: her signing in gives those who guess meanwhile no
// more guesses, and what was not looked at is no failure of hers.
func TestKnownBrowserTakesNothingFromStrangers(t *testing.T) {
	eachGuard(t, func(t *testing.T, guard local.Guard) {
		attempt := func(browser string, how local.Outcome) bool {
			t.Helper()
			wait, err := local.AttemptBy(t, guard, "alice", browser, how)
			if err != nil {
				t.Fatal(err)
			}
			return wait > 0
		}
		for range 9 {
			attempt("", local.Failed)
		}
		attempt("hers", local.Succeeded)
		attempt("", local.Failed)
		if !attempt("", local.Failed) {
			t.Error("her signing in took the guesses of strangers away")
		}
		for range 9 {
			attempt("hers", local.Failed)
		}
		for range 30 {
			if attempt("hers", local.Unjudged) {
				t.Fatal("what was not looked at counts")
			}
		}
		for range 30 {
			if attempt("hers", local.Succeeded) {
				t.Fatal("the right password counts")
			}
		}
		attempt("hers", local.Failed)
		if !attempt("hers", local.Succeeded) {
			t.Error("after ten failures of its own a browser does not wait")
		}
		if attempt("another of hers", local.Succeeded) {
			t.Error("another browser waits")
		}
	})
}

// TestNewPasswordMakesStrangers: who signed in by the password of before has no count of
// their own any more, and no network, or whoever once knew it could have taken very many.
func TestNewPasswordMakesStrangers(t *testing.T) {
	eachGuard(t, func(t *testing.T, guard local.Guard) {
		var count atomic.Int32
		s := &userList{users: []local.User{{Name: "alice", Password: hashOf(t, password)}}}
		m := s.method(t, local.CountingHasher(4, &count))
		m.Throttle = guard
		old, err := m.Login(t.Context(), at(1), "alice", password)
		if err != nil {
			t.Fatal(err)
		}
		now, err := m.Change(t.Context(), by(at(1), old), old, password, other)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			_ = login(t, m, at(i+10), "guess")
		}
		for name, c := range map[string]struct {
			from auth.Asker
			want bool
		}{
			"a browser by the password of now":    {by(at(2), now), true},
			"a browser by the password of before": {by(at(3), old), false},
			"a network by the password of before": {at(1), false},
		} {
			if _, in := how(t, login(t, m, c.from, other)); in != c.want {
				t.Errorf("%s: got in %v, want %v", name, in, c.want)
			}
		}
		// Guessing the current one, to change it, counts as at a sign-in.
		hers := by(at(4), now)
		for range 10 {
			_, _ = m.Change(t.Context(), hers, now, "guess", "yet other words in a row")
		}
		if waited, _ := how(t, login(t, m, hers, other)); !waited {
			t.Error("ten guesses on the account page do not count at the sign-in")
		}
	})
}

// TestNobodyKnownIsNobodysFriend: where addresses are not known all share one, strangers too.
func TestNobodyKnownIsNobodysFriend(t *testing.T) {
	eachGuard(t, func(t *testing.T, guard local.Guard) {
		try := func(how local.Outcome) time.Duration {
			wait, err := local.Attempt(t, guard, "alice", netip.Addr{}, how)
			if err != nil {
				t.Fatal(err)
			}
			return wait
		}
		try(local.Succeeded)
		for range 10 {
			try(local.Failed)
		}
		if try(local.Failed) == 0 {
			t.Error("whoever has no address does not wait for the account, since somebody without one signed in")
		}
	})
}

func TestGatewaysCountABrowserTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		two := []local.Guard{&local.SharedThrottle{Shelf: s}, &local.SharedThrottle{Shelf: s}}
		for i, c := range []struct {
			how  local.Outcome
			want int
		}{{local.Failed, 1}, {local.Unjudged, 2}, {local.Succeeded, 2}} {
			if _, err := local.AttemptBy(t, two[i%2], "alice", "hers", c.how); err != nil {
				t.Fatal(err)
			}
			if got := s.wrote(); got != c.want {
				t.Errorf("attempt %d: got %d writes, want %d", i+1, got, c.want)
			}
		}
		for i := range 9 {
			if wait, err := local.AttemptBy(t, two[i%2], "alice", "hers", local.Failed); wait != 0 || err != nil {
				t.Fatalf("got %v, %v", wait, err)
			}
		}
		s.wrote()
		for _, guard := range two {
			if wait, err := local.AttemptBy(t, guard, "alice", "hers", local.Failed); wait <= 0 || err != nil {
				t.Errorf("got a wait of %v, %v, want one after ten failures at two gateways", wait, err)
			}
		}
		if got := s.wrote(); got != 0 {
			t.Errorf("attempts that had to wait: got %d writes, want none", got)
		}
		// Hanging up is no way out of the count, and what cannot be counted is an outage.
		time.Sleep(time.Hour)
		gone, hangUp := context.WithCancel(t.Context())
		hangUp()
		for range 10 {
			if _, err := local.AttemptByAs(gone, t, two[0], "alice", "hers", local.Failed); err != nil {
				t.Fatal(err)
			}
		}
		if wait, _ := local.AttemptBy(t, two[1], "alice", "hers", local.Failed); wait <= 0 {
			t.Error("whoever hangs up is not counted")
		}
		s.breakDown(errShelf)
		if _, err := local.AttemptBy(t, two[1], "alice", "hers", local.Succeeded); !errors.Is(err, errShelf) {
			t.Errorf("got %v, want that the shelf is away", err)
		}
	})
}
