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

// shelf is an auth.Shelf in memory that a test can break. Versions go on where a value
// was taken away, as they do in a store.
type shelf struct {
	mu      sync.Mutex // guards all below
	things  map[string]thing
	fault   error
	writes  int
	longest time.Duration
}

type thing struct {
	value   []byte
	version uint64
	until   time.Time
}

func newShelf() *shelf { return &shelf{things: map[string]thing{}} }

var errShelf = errors.New("the shelf fell down")

// live is what lies under name; mu is held.
func (s *shelf) live(name string) thing {
	at := s.things[name]
	if !time.Now().Before(at.until) {
		return thing{}
	}
	return at
}

func (s *shelf) Load(ctx context.Context, name string, _ uint64) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.live(name)
	return at.value, at.version, errors.Join(s.fault, ctx.Err())
}

func (s *shelf) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(s.fault, ctx.Err()); err != nil {
		return false, err
	}
	if s.live(name).version != prev {
		return false, nil
	}
	s.writes++
	s.longest = max(s.longest, ttl)
	s.things[name] = thing{value, prev + 1, time.Now().Add(ttl)}
	return true, nil
}

func (s *shelf) Now(context.Context) (time.Time, error) { return time.Now(), nil }

// wrote is how often the shelf was written to since it was last asked.
func (s *shelf) wrote() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.writes
	s.writes = 0
	return n
}

func (s *shelf) breakDown(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

// gateways are several that share a shelf and the users.
func gateways(t *testing.T, n int, s auth.Shelf, h *local.Hasher) (all []*local.Method) {
	t.Helper()
	users := []local.User{{Name: "alice", Password: hashOf(t, password)}}
	for range n {
		m := method(t, &users, h)
		m.Throttle = &local.SharedThrottle{Shelf: s}
		all = append(all, m)
	}
	return all
}

func TestParallelGuessesAtSeveralGatewaysDoNotSlipPast(t *testing.T) {
	for _, c := range []struct {
		name string
		user func(i int) string
		addr func(i int) netip.Addr
		want int32
	}{
		{"one account, one source", func(int) string { return "alice" }, func(int) netip.Addr { return home }, 10},
		{"one account, many sources", func(int) string { return "alice" },
			func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }, 10},
		{"many accounts, one source", func(i int) string { return fmt.Sprint("user", i) }, func(int) netip.Addr { return home }, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var count atomic.Int32
				two := gateways(t, 2, newShelf(), local.CountingHasher(100, &count))
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						_, err := two[i%2].Login(t.Context(), auth.Asker{Addr: c.addr(i)}, c.user(i), "guess")
						_, refused := errors.AsType[*auth.Refused](err)
						_, throttled := errors.AsType[*auth.Throttled](err)
						if !refused && !throttled {
							t.Errorf("got %v", err)
						}
					})
				}
				wg.Wait()
				if n := count.Load(); n != c.want {
					t.Errorf("%d of 100 guesses over two gateways were looked at, want %d", n, c.want)
				}
			})
		})
	}
}

func TestGatewaysCountTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int32
		two := gateways(t, 2, newShelf(), local.CountingHasher(4, &count))
		stranger := netip.MustParseAddr("203.0.113.1")
		login := func(i int, addr netip.Addr, pw string) error {
			_, err := two[i].Login(t.Context(), auth.Asker{Addr: addr}, "alice", pw)
			return err
		}
		if err := login(0, home, password); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			_ = login(0, stranger, "guess")
		}
		if _, throttled := errors.AsType[*auth.Throttled](login(1, stranger, password)); !throttled {
			t.Error("what was guessed at one gateway does not count at the other")
		}
		if err := login(1, home, password); err != nil {
			t.Errorf("who signed in lately at the other gateway: got %v, want in", err)
		}
		// Having signed in there takes the account's failures away here.
		if err := login(0, stranger, password); err != nil {
			t.Errorf("afterwards: got %v, want in", err)
		}
	})
}

func TestSignInCostsFewWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		guard := &local.SharedThrottle{Shelf: s}
		for _, c := range []struct {
			name string
			how  local.Outcome
			want int
		}{{"one that failed", local.Failed, 2}, {"one that was not looked at", local.Unjudged, 4}, {"the right password", local.Succeeded, 5}} {
			if _, err := local.Attempt(t, guard, "alice", home, c.how); err != nil {
				t.Fatal(err)
			}
			if got := s.wrote(); got != c.want {
				t.Errorf("%s: got %d writes, want %d", c.name, got, c.want)
			}
		}
		for i := range 40 {
			if _, err := local.Attempt(t, guard, fmt.Sprint("user", i), home, local.Failed); err != nil {
				t.Fatal(err)
			}
		}
		s.wrote()
		for i := range 100 {
			if wait, err := local.Attempt(t, guard, fmt.Sprint("user", i), home, local.Failed); wait <= 0 || err != nil {
				t.Fatalf("got a wait of %v, %v", wait, err)
			}
		}
		if got := s.wrote(); got != 0 {
			t.Errorf("100 attempts that had to wait: got %d writes, want none", got)
		}
		if s.longest > 30*24*time.Hour {
			t.Errorf("something is kept for %v", s.longest)
		}
		time.Sleep(30*24*time.Hour + time.Second)
		for name := range s.things {
			if value, _, _ := s.Load(t.Context(), name, 0); value != nil {
				t.Errorf("%q stays for ever", name)
			}
		}
	})
}

func TestNobodyIsRefusedWhileTheShelfIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int32
		s := newShelf()
		m := gateways(t, 1, s, local.CountingHasher(4, &count))[0]
		s.breakDown(errShelf)
		for _, pw := range []string{password, "guess"} {
			_, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", pw)
			if _, down := errors.AsType[*auth.Unavailable](err); !down || !errors.Is(err, errShelf) {
				t.Errorf("got %v, want a *Unavailable", err)
			}
		}
		if n := count.Load(); n != 0 {
			t.Errorf("%d passwords were looked at that nobody counted", n)
		}
		s.breakDown(nil)
		if _, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password); err != nil {
			t.Errorf("once it is back: got %v", err)
		}
	})
}

// TestShelfThatGoesAwayWhileAPasswordIsChecked: who typed the right one is in, and what
// could not be taken back counts.
func TestShelfThatGoesAwayWhileAPasswordIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf()
		guard := &local.SharedThrottle{Shelf: s}
		down := func() { s.breakDown(errShelf) }
		for i := range 10 {
			if err := local.AttemptMeanwhile(t, guard, "alice", home, local.Succeeded, down); !errors.Is(err, errShelf) {
				t.Fatalf("attempt %d: got %v, want to hear that it counts as failed", i+1, err)
			}
			s.breakDown(nil)
		}
		if wait, err := local.Attempt(t, guard, "alice", home, local.Failed); wait <= 0 || err != nil {
			t.Errorf("got a wait of %v, %v, want ten failures to count", wait, err)
		}
	})
}

func TestFailuresThatCannotBeReadAreAnOutage(t *testing.T) {
	s := newShelf()
	guard := &local.SharedThrottle{Shelf: s}
	if _, err := local.Attempt(t, guard, "alice", home, local.Failed); err != nil {
		t.Fatal(err)
	}
	for name, at := range s.things {
		at.value = []byte("of another version")
		s.things[name] = at
	}
	if _, err := local.Attempt(t, guard, "alice", home, local.Failed); err == nil {
		t.Error("got no error, and an attempt that nobody counts")
	}
}

// busyShelf is one where somebody else is always faster.
type busyShelf struct{ *shelf }

func (busyShelf) Save(context.Context, string, uint64, []byte, time.Duration) (bool, error) {
	return false, nil
}

func TestAttemptGivesUpWhereOthersAreAlwaysFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := local.Attempt(t, &local.SharedThrottle{Shelf: busyShelf{newShelf()}}, "alice", home, local.Failed)
		if took := time.Since(start); err == nil || took > 5*time.Second {
			t.Errorf("got %v after %v, want an error within 5 s", err, took)
		}
	})
}
