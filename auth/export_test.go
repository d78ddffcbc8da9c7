package auth

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/event"
)

// MeetingContext is that of a sign-in by a browser that is to be looked up.
func MeetingContext(ctx context.Context, cookie, marked bool, tell func(event.Event)) context.Context {
	return context.WithValue(ctx, meetingKey{}, &meeting{cookie, marked, tell})
}

// IsMeeting reports whether the browser behind ctx is to be looked up.
func IsMeeting(ctx context.Context) bool { return ctx.Value(meetingKey{}) != nil }

// NewShelf returns a Shelf in memory.
func NewShelf(now func() time.Time) Shelf { return newMemoryShelf(now) }

// Form is a kept form and the key that the browser has.
type Form struct {
	id  string
	key []byte
}

// Keep keeps a form.
func Keep(t *testing.T, f *Forms) Form {
	t.Helper()
	id, key, err := f.keep(t.Context(), netip.MustParseAddr("192.0.2.1"), form{target: "/", body: []byte("a=1")})
	if err != nil {
		t.Fatal(err)
	}
	return Form{id, key}
}

// Open offers the form to owner.
func (k Form) Open(t *testing.T, f *Forms, owner string) error {
	t.Helper()
	_, err := f.open(t.Context(), k.id, k.key, owner)
	return err
}

// KeptForms counts what is kept, and checks that the books agree with themselves and
// with what is in memory.
func KeptForms(f *Forms) int {
	b := f.books
	b.mu.Lock()
	defer b.mu.Unlock()
	var from, bytes int
	for _, theirs := range b.from {
		from += len(theirs)
	}
	for _, e := range b.byID {
		bytes += e.size
	}
	if from != len(b.byID) || b.order.Len() != len(b.byID) || bytes != b.bytes {
		return -1
	}
	if s, ok := f.shelf.(*memoryShelf); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.kept) != len(b.byID) {
			return -1
		}
	}
	return len(b.byID)
}

// Params are what an address of our own says of d.
func Params(d *Demand) (acr, amr, maxAge string) {
	p := d.params()
	return p[1], p[3], p[5]
}

// LoginAddress is the sign-in page as d demands it.
func LoginAddress(d *Demand) string { return own("login", d.params()...) }
