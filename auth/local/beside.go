package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evergate/evergate/auth"
)

// Board is where what is kept of users beside their file lies: one value, which all gateways on
// one store have in common. It is for the Board to keep it secret. Every error is an outage.
// Methods are safe for concurrent use.
type Board interface {
	// Load returns the value and its version; nil is nothing yet. It is no older than version
	// atLeast, unless the Board has lost that, and what is kept now for auth.Newest.
	Load(ctx context.Context, atLeast uint64) (value []byte, version uint64, err error)
	// Save puts value in the place of version prev, as version prev+1. Otherwise it reports
	// false, and changes nothing.
	Save(ctx context.Context, prev uint64, value []byte) (bool, error)
	// Watch has notify called, until stop is, within a second of each change that anybody
	// makes. Notify does not wait.
	Watch(notify func()) (stop func())
}

const (
	// boardTime is how long a Board may take: requests that are to change something wait for
	// it, and so does a start.
	boardTime = 3 * time.Second
	// boardAgain is how long after an outage it is looked at again.
	boardAgain = time.Second
	// boardTries bounds how often a change is tried anew: somebody else's got in each time.
	boardTries = 20
)

// beside is what a Directory knows of its Board. What follow does not run is guarded by
// Directory.reading.
type beside struct {
	kept    *kept // nil until it was read
	version uint64
	failing bool // the last look was an outage, which was told

	wake    chan struct{} // of one: there is something to look at
	life    context.Context
	stop    context.CancelFunc
	unwatch func()
	wg      sync.WaitGroup
}

func (b *beside) begin() {
	b.wake = make(chan struct{}, 1)
	b.life, b.stop = context.WithCancel(context.Background())
}

func (b *beside) end() {
	b.stop()
	if b.unwatch != nil {
		b.unwatch()
	}
	b.wg.Wait()
}

// wakeUp has the Board looked at soon.
func (b *beside) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default: // it will be
	}
}

// follow reads the Board whenever it changes, and again and again while it is away, until the
// Directory is closed.
func (d *Directory) follow() {
	d.unwatch = d.opts.Board.Watch(d.wakeUp)
	d.wg.Go(func() {
		for {
			var again <-chan time.Time
			d.reading.Lock()
			if d.failing {
				again = time.After(boardAgain)
			}
			d.reading.Unlock()
			select {
			case <-d.life.Done():
				return
			case <-d.wake:
			case <-again:
			}
			d.reading.Lock()
			was, version := d.kept, d.version
			changed := d.lookBeside(d.version) && (was == nil || version != d.version)
			if changed {
				d.swap()
			}
			d.reading.Unlock()
			if changed {
				d.tell(false)
			}
		}
	})
}

// lookBeside reads the Board, where there is one, no older than version atLeast, and reports
// whether what is known of it is that. While it is away, what was read last is what counts. reading is held.
func (d *Directory) lookBeside(atLeast uint64) bool {
	if d.opts.Board == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(d.life, boardTime)
	defer cancel()
	err := d.readBoard(ctx, atLeast)
	switch {
	case d.life.Err() != nil:
	case err != nil && !d.failing:
		text := "what is kept of the users beside their file cannot be read; what was known of it before is in force"
		if d.kept == nil {
			text = "what is kept of the users beside their file cannot be read, and nobody signs in by password until it can"
		}
		d.opts.Log.Warn(text, "event", "users.beside_away", "err", err)
		d.wakeUp() // follow has a look at failing
	case err == nil && d.failing:
		d.opts.Log.Info("what is kept of the users beside their file can be read again", "event", "users.beside_back")
	}
	d.failing = err != nil
	return err == nil
}

func (d *Directory) readBoard(ctx context.Context, atLeast uint64) error {
	value, version, err := d.opts.Board.Load(ctx, atLeast)
	if err != nil {
		return fmt.Errorf("read what is kept of the users beside their file: %w", err)
	}
	k, err := parseKept(value)
	if err != nil {
		return fmt.Errorf("read what is kept of the users beside their file: %w", err)
	}
	d.kept, d.version = k, version
	return nil
}

// edit has change edit what is kept of a user, who is given as the users file and the Board have
// them now; nil is nobody. It may be called several times. Its error is returned, and changes
// nothing; every other one is a *auth.Unavailable. What was changed counts when edit returns.
func (d *Directory) edit(ctx context.Context, name string, now time.Time, change func(u *known, e *entry) error) error {
	away := func(err error) error {
		return &auth.Unavailable{What: "what keeps the passwords", RetryAfter: boardAgain, Err: err}
	}
	if d.opts.Board == nil {
		return away(errNoBoard)
	}
	// Whoever asked may hang up: half of it is worse than all.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), boardTime)
	defer cancel()
	d.reading.Lock()
	defer d.reading.Unlock()
	_ = d.readNow() // an edit of a moment ago; a file that is bad is told by those who follow it
	defer d.swap()
	atLeast := auth.Newest // change may leave all as it is
	for range boardTries {
		if err := d.readBoard(ctx, atLeast); err != nil {
			return away(err)
		}
		var u *known
		for _, f := range d.file {
			if f.Name == name {
				u = d.kept.over(f)
			}
		}
		e := d.kept.Users[name]
		if err := change(u, &e); err != nil {
			return err
		}
		next := d.kept.with(name, e, now)
		value, err := json.Marshal(next)
		if err != nil {
			return fmt.Errorf("keep the passwords that were changed: %w", err)
		}
		ok, err := d.opts.Board.Save(ctx, d.version, value)
		if err != nil {
			d.wakeUp() // it may have come through
			return away(err)
		}
		if ok {
			d.kept, d.version = next, d.version+1
			return nil
		}
		atLeast = d.version + 1
	}
	return away(errContended)
}

var (
	errNoBoard   = errors.New("this gateway has nothing to keep them in")
	errContended = errors.New("other gateways change the same again and again")
)
