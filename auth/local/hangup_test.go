package local

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

type heldThing struct {
	value   []byte
	version uint64
}
type hookedShelf struct {
	mu     sync.Mutex
	things map[string]heldThing
	after  func(name string)
}

func (s *hookedShelf) Load(ctx context.Context, name string, _ uint64) ([]byte, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.things[name].value, s.things[name].version, ctx.Err()
}

func (s *hookedShelf) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	s.mu.Lock()
	if s.things[name].version != prev {
		s.mu.Unlock()
		return false, nil
	}
	s.things[name] = heldThing{value, prev + 1}
	s.mu.Unlock()
	if s.after != nil {
		s.after(name)
	}
	return true, ctx.Err()
}
func (s *hookedShelf) Now(context.Context) (time.Time, error) { return time.Now(), nil }

// TestHangingUpDoesNotEscapeTheCount: one address, which hangs up between the two writes
// of an attempt.
func TestHangingUpDoesNotEscapeTheCount(t *testing.T) {
	s := &hookedShelf{things: map[string]heldThing{}}
	g := &SharedThrottle{Shelf: s}
	evil := netip.MustParseAddr("192.0.2.1")
	held := 0
	for i := range 100 {
		account := fmt.Sprint("user", i)
		for range freeFailures {
			ctx, hangUp := context.WithCancel(t.Context())
			s.after = func(name string) {
				if strings.HasPrefix(name, "account") {
					hangUp()
				}
			}
			_, _, _ = g.attempt(ctx, try{account: account, addr: evil})
			hangUp()
		}
		s.after = nil
		if wait, _, err := g.attempt(t.Context(), try{account: account, addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})}); err == nil && wait > 0 {
			held++
		}
	}
	wait, _, _ := g.attempt(t.Context(), try{account: "somebody", addr: evil})
	if held > sourceAllowance || wait == 0 {
		t.Errorf("one address has %d accounts waiting, and itself waits %v; want %d at most, and a wait", held, wait, sourceAllowance)
	}
}
