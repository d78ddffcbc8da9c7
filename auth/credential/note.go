package credential

import (
	"context"
	"fmt"
	"time"

	"github.com/evergate/evergate/auth"
)

// HandleKind is the kind of the notes that say whose a Record.Handle is.
const HandleKind = "handle"

// Note returns the value that was put under a key of a kind, or nil where there is none.
func (b *Book) Note(ctx context.Context, kind, key string) ([]byte, error) {
	name, err := b.name(ctx, kind, key)
	if err != nil {
		return nil, err
	}
	value, _, err := b.cabinet.Load(ctx, name, auth.Newest)
	if err != nil {
		return nil, fmt.Errorf("read what is noted: %w", err)
	}
	return value, nil
}

// PutNote puts value under a key of a kind for ttl, in the place of what was there; zero is for good.
func (b *Book) PutNote(ctx context.Context, kind, key string, value []byte, ttl time.Duration) error {
	_, err := b.change(ctx, kind, key, value, ttl)
	return err
}

// TakeNote takes away what lies under a key of a kind, and returns it: to one caller alone, on
// whichever gateway. It is nil where there is nothing.
func (b *Book) TakeNote(ctx context.Context, kind, key string) ([]byte, error) {
	return b.change(ctx, kind, key, nil, 0)
}

// change puts value in the place of what lies under a key, and returns what that was.
func (b *Book) change(ctx context.Context, kind, key string, value []byte, ttl time.Duration) ([]byte, error) {
	name, err := b.name(ctx, kind, key)
	if err != nil {
		return nil, err
	}
	var was []byte
	err = b.swap(ctx, name, ttl, func(there []byte) ([]byte, bool, error) {
		was = there
		return value, value != nil || was != nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("change what is noted: %w", err)
	}
	return was, nil
}

// ResealNote seals a note anew that is kept for good: see Reseal.
func (b *Book) ResealNote(ctx context.Context, kind, key string) error {
	name, err := b.name(ctx, kind, key)
	if err == nil {
		err = b.cabinet.Reseal(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("seal a note anew: %w", err)
	}
	return nil
}
