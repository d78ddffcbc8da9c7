package local_test

import (
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

// guards are the two, each with its state in memory.
var guards = map[string]func() local.Guard{
	"in one process": func() local.Guard { return local.NewThrottle(nil) },
	"on a shelf":     func() local.Guard { return &local.SharedThrottle{Shelf: newShelf()} },
}

// eachGuard runs a test on each Guard, in a bubble of its own time.
func eachGuard(t *testing.T, test func(t *testing.T, guard local.Guard)) {
	for name, guard := range guards {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, guard()) })
		})
	}
}

func TestThrottle(t *testing.T) {
	eachGuard(t, func(t *testing.T, guard local.Guard) {
		var count atomic.Int32
		users := []local.User{{Name: "alice", Password: hashOf(t, password)}}
		m := method(t, &users, local.CountingHasher(4, &count))
		m.Throttle = guard
		try := func(addr, user, pw string) (time.Duration, error) {
			_, err := m.Login(t.Context(), auth.Asker{Addr: netip.MustParseAddr(addr)}, user, pw)
			if th, ok := errors.AsType[*auth.Throttled](err); ok {
				return th.RetryAfter, err
			}
			return 0, err
		}
		if _, err := try("192.0.2.7", "alice", password); err != nil {
			t.Fatal(err)
		}
		// A stranger guesses from many addresses, in many spellings (U-01, U-03).
		looked := 0
		for i := range 1000 {
			user := []string{"alice", "Alice", "alice ", "ALICE"}[i%4]
			if wait, _ := try(fmt.Sprintf("198.51.%d.%d", i/250, i%250+1), user, "guess"); wait == 0 {
				looked++
			}
		}
		if looked > 12 {
			t.Errorf("%d of 1000 guesses were looked at, want about 10", looked)
		}
		wait, _ := try("203.0.113.1", "alice", password)
		if wait <= 0 || wait > time.Minute {
			t.Errorf("a stranger with the right password: got a wait of %v, want up to a minute", wait)
		}
		if _, err := try("192.0.2.7", "alice", password); err != nil {
			t.Errorf("alice from where she signed in lately: got %v, want in", err)
		}
		// It is never for good: after the wait, the right password is in.
		for range 10 {
			_, _ = try("203.0.113.9", "alice", "guess")
		}
		time.Sleep(time.Minute + time.Second)
		if _, err := try("203.0.113.1", "alice", password); err != nil {
			t.Errorf("after a minute: got %v, want in", err)
		}
		// One source that tries many names waits as well.
		looked = 0
		for i := range 200 {
			if wait, _ := try("2001:db8::"+fmt.Sprint(i%100+1), fmt.Sprintf("user%d", i), "guess"); wait == 0 {
				looked++
			}
		}
		if looked > 45 {
			t.Errorf("%d of 200 guesses from one /64 were looked at, want about 40", looked)
		}
	})
}

func TestParallelGuessesDoNotSlipPast(t *testing.T) {
	eachGuard(t, func(t *testing.T, guard local.Guard) {
		var count atomic.Int32
		users := []local.User{{Name: "alice", Password: hashOf(t, password)}}
		m := method(t, &users, local.CountingHasher(64, &count))
		m.Throttle = guard
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { _, _ = m.Login(t.Context(), auth.Asker{Addr: home}, "alice", "guess") })
		}
		wg.Wait()
		if n := count.Load(); n != 10 {
			t.Errorf("%d of 200 parallel guesses were looked at, want 10", n)
		}
	})
}

func TestFailuresAreForgotten(t *testing.T) {
	eachGuard(t, func(t *testing.T, guard local.Guard) {
		try := func(how local.Outcome) (waited bool) {
			wait, err := local.Attempt(t, guard, "alice", home, how)
			if err != nil {
				t.Fatal(err)
			}
			return wait > 0
		}
		for range 9 {
			try(local.Failed)
		}
		time.Sleep(14 * time.Minute)
		try(local.Failed)
		if !try(local.Failed) {
			t.Error("after 14 minutes the first failures were forgotten")
		}
		time.Sleep(15*time.Minute + time.Second)
		for i := range 10 {
			if try(local.Failed) {
				t.Fatalf("after 15 minutes attempt %d had to wait", i+1)
			}
		}
		time.Sleep(time.Minute)
		for i := range 50 {
			if try(local.Unjudged) {
				t.Fatalf("attempt %d had to wait after others that were not looked at", i+1)
			}
		}
		try(local.Succeeded)
		for i := range 10 {
			if try(local.Failed) {
				t.Fatalf("attempt %d after the right password had to wait", i+1)
			}
		}
		if try(local.Failed) {
			t.Error("a friend had to wait for the account")
		}
		time.Sleep(30 * 24 * time.Hour)
		for range 10 {
			try(local.Failed)
		}
		if !try(local.Failed) {
			t.Error("somebody who signed in 30 days ago is a friend yet")
		}
	})
}
