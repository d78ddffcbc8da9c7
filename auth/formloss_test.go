package auth

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// netShelf does what is asked, and the answer does not reach whoever has hung up: as a
// store behind a network does.
type netShelf struct {
	Shelf
	mu    sync.Mutex
	names map[string]int
	hung  func()
}

func (s *netShelf) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	ok, err := s.Shelf.Save(ctx, name, prev, value, ttl)
	s.mu.Lock()
	if s.names[name] = len(value); value == nil {
		delete(s.names, name)
	}
	s.mu.Unlock()
	if s.hung != nil {
		s.hung()
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return ok, err
}

// TestFormsOfThoseWhoHangUpAreCounted: they lie on the shelf all the same.
func TestFormsOfThoseWhoHangUpAreCounted(t *testing.T) {
	s := &netShelf{Shelf: newMemoryShelf(time.Now), names: map[string]int{}}
	f := ShareForms(s)
	for range 500 {
		ctx, hangUp := context.WithCancel(context.Background())
		s.hung = hangUp
		_, _, _ = f.keep(ctx, netip.MustParseAddr("192.0.2.1"), form{target: "/", contentType: "text/plain", body: make([]byte, maxForm)})
	}
	total := 0
	for _, n := range s.names {
		total += n
	}
	if len(s.names) > maxFormsFrom {
		t.Errorf("one address has %d forms on the shelf, %d MiB, want %d; the books know of %d", len(s.names), total>>20, maxFormsFrom, len(f.books.byID))
	}
}

// TestAnswerLostWhileTaking: a form that was taken, and nobody was told, is sent by who
// took it. The next click hears that it was sent.
func TestAnswerLostWhileTaking(t *testing.T) {
	s := newMemoryShelf(time.Now)
	f := ShareForms(s)
	id, key, err := f.keep(t.Context(), netip.MustParseAddr("192.0.2.1"), form{target: "/", contentType: "text/plain", body: []byte("long text")})
	if err != nil {
		t.Fatal(err)
	}
	f.shelf = &mute{Shelf: s}
	if out, err := f.take(t.Context(), id, key, "alice", "/"); err != nil || string(out.body) != "long text" {
		t.Errorf("first click: got %q, %v, want the form", out.body, err)
	}
	f.shelf = s
	if _, err = f.take(t.Context(), id, key, "alice", "/"); !errors.Is(err, errFormSent) {
		t.Errorf("second click: got %v, want that it was sent", err)
	}
}

// mute is a shelf whose answers to Save are lost.
type mute struct{ Shelf }

func (m *mute) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	_, _ = m.Shelf.Save(ctx, name, prev, value, ttl)
	return false, context.DeadlineExceeded
}
