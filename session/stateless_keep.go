package session

import (
	"context"
	"fmt"

	"github.com/evergate/evergate/auth"
)

// Kept implements auth.Session. With the cookie as the store, what is kept lies in
// memory alone.
func (l *carriedLive) Kept(_ context.Context, name string, _ uint64) ([]byte, uint64, error) {
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	if l.k.ended != "" {
		return nil, 0, l.k.absent()
	}
	v := l.k.values[name]
	return v.value, v.version, nil
}

// Keep implements auth.Session.
func (l *carriedLive) Keep(_ context.Context, name string, value []byte, version uint64) error {
	if len(value) > auth.MaxKept {
		return fmt.Errorf("session: %d bytes are too many to keep, want up to %d", len(value), auth.MaxKept)
	}
	l.k.mu.Lock()
	defer l.k.mu.Unlock()
	switch {
	case l.k.ended != "":
		return l.k.absent()
	case l.k.values[name].version != version:
		return auth.ErrChanged
	case l.k.values == nil:
		l.k.values = map[string]keptValue{}
	}
	l.k.values[name] = keptValue{value: value, version: version + 1}
	return nil
}

// part tells Ended what an ended session kept.
func (s *Stateless) part(values map[string]keptValue) {
	ended := s.set().Ended
	if ended == nil || s.ctx.Err() != nil {
		return
	}
	kept := map[string][]byte{}
	for name, v := range values {
		kept[name] = v.value
	}
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(s.grants, renewTimeout)
		defer cancel()
		ended(ctx, kept)
	})
}
