package sessiontest

import (
	"context"

	"github.com/evergate/evergate/session"
)

// Late is a Store that hears of no change itself: what it read first is what it answers whoever
// does not ask for more. It is for one goroutine at a time.
type Late struct {
	session.Store
	first map[session.Key]session.Record
}

// NewLate returns a Late before s that has read nothing yet.
func NewLate(s session.Store) *Late { return &Late{s, map[session.Key]session.Record{}} }

// Get implements session.Store.
func (l *Late) Get(ctx context.Context, key session.Key, atLeast uint64) (session.Record, error) {
	if rec, ok := l.first[key]; ok && rec.Version >= atLeast {
		return rec, nil
	}
	rec, err := l.Store.Get(ctx, key, atLeast)
	if _, ok := l.first[key]; !ok && err == nil {
		l.first[key] = rec
	}
	return rec, err
}
