package local_test

import (
	"context"
	"errors"
	"sync"

	"github.com/evergate/evergate/auth/local"
)

// board is a local.Board in memory that a test can break, and hold up.
type board struct {
	mu      sync.Mutex // guards all below
	value   []byte
	version uint64
	fault   error
	deaf    bool // nobody is told of changes
	watch   map[*func()]bool
	before  func()  // is called once, before the next Save
	old     *copied // what whoever does not ask for more reads, if not nil
}

// copied is what lay there at some time.
type copied struct {
	value   []byte
	version uint64
}

var _ local.Board = (*board)(nil)

var errBoard = errors.New("the board fell down")

func (b *board) Load(ctx context.Context, atLeast uint64) ([]byte, uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.old != nil && atLeast <= b.old.version {
		return b.old.value, b.old.version, nil
	}
	return b.value, b.version, errors.Join(b.fault, ctx.Err())
}

func (b *board) Save(ctx context.Context, prev uint64, value []byte) (bool, error) {
	b.mu.Lock()
	before := b.before
	b.before = nil
	b.mu.Unlock()
	if before != nil {
		before()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := errors.Join(b.fault, ctx.Err()); err != nil || b.version != prev {
		return false, err
	}
	b.value, b.version = value, prev+1
	if !b.deaf {
		b.notify()
	}
	return true, nil
}

// set breaks the board, mends it, or loses all that it has, and tells those who watch.
func (b *board) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
	b.notify()
}

// notify is for whoever holds mu.
func (b *board) notify() {
	for f := range b.watch {
		(*f)()
	}
}

func (b *board) Watch(notify func()) (stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watch == nil {
		b.watch = map[*func()]bool{}
	}
	b.watch[&notify] = true
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watch, &notify)
	}
}
