package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Shelf is where gateways share their signing keys: one value, that others may change.
// It is for the Shelf to keep the value secret.
type Shelf interface {
	// Load returns the value and its version, or nothing and version 0. It is no older
	// than version atLeast, unless the shelf has lost that. A value that is there and
	// cannot be read is an error.
	Load(ctx context.Context, atLeast uint64) (value []byte, version uint64, err error)
	// Save puts value there as version prev+1 if version prev is there. Otherwise it
	// reports false, and changes nothing.
	Save(ctx context.Context, prev uint64, value []byte) (bool, error)
	// Now is the clock that the gateways have in common.
	Now(ctx context.Context) (time.Time, error)
}

// Sharing is how gateways share their signing keys.
type Sharing struct {
	Shelf     Shelf
	Algorithm string
	// Every is how long a key signs before the next one takes over. Zero is for ever.
	Every time.Duration
	// Import is a folder that OpenKeys used; its keys are taken over where the shelf has
	// none, and what they signed stays valid. "" is none.
	Import string
	Log    *slog.Logger
}

const (
	// lookEvery is how often a gateway looks for keys that others made.
	lookEvery = time.Minute
	// lookAgain is how often it does as long as it has none at all.
	lookAgain = time.Second
	// lookTime bounds one look.
	lookTime = 5 * time.Second
	// startTime is how long a start waits for keys: a store that is being connected to
	// is not out of reach yet.
	startTime = 2 * time.Second
	// maxTries bounds how often a look begins anew because somebody else was faster.
	maxTries = 10
)

// ShareKeys returns the keys on a shelf, which it follows until Close: whoever comes
// first makes them, on a schedule that all agree on. Where the shelf is out of reach
// there are none yet, and Mint says so, until it was within reach once. After that the
// keys at hand stay in force over an outage.
func ShareKeys(s Sharing) (*Keys, error) {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if !slices.Contains([]string{ES256, RS256, EdDSA}, s.Algorithm) {
		return nil, unknownAlgorithm(s.Algorithm)
	}
	ctx, stop := context.WithCancel(context.Background())
	k := &Keys{algorithm: s.Algorithm, stop: stop}
	k.shared = &follower{Sharing: s, keys: k, plan: schedule{s.Algorithm, s.Every}.plan}
	if err := k.shared.begin(ctx); errors.Is(err, errImport) {
		stop()
		return nil, err
	}
	k.wg.Go(func() { k.shared.follow(ctx) })
	return k, nil
}

// errImport is about the folder, not the shelf: no waiting mends it.
var errImport = errors.New("take over the signing keys of before")

// follower keeps Keys as the shelf has them.
type follower struct {
	Sharing
	keys *Keys
	plan func(all []*key, now time.Time) ([]*key, *key, error)

	// of what was seen last
	value   []byte
	version uint64
	failing bool
}

func (f *follower) follow(ctx context.Context) {
	for {
		wait := lookEvery
		if f.keys.set.Load() == nil {
			wait = lookAgain
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
			f.look(ctx)
		}
	}
}

// begin is the first look, which has patience.
func (f *follower) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		err := f.agree(ctx)
		if err == nil || errors.Is(err, errImport) {
			return err
		}
		select {
		case <-ctx.Done():
			f.note(err)
			return err
		case <-time.After(startTime / 20):
		}
	}
}

// look puts the keys of now into force.
func (f *follower) look(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if err := f.agree(bounded); ctx.Err() == nil {
		f.note(err)
	}
}

// note logs the first of several failures, and that they are over.
func (f *follower) note(err error) {
	switch {
	case err == nil && f.failing:
		f.Log.Info("the shared signing keys are within reach again", "event", "signing_keys.back")
	case err != nil && !f.failing && f.keys.set.Load() == nil:
		f.Log.Error("the shared signing keys cannot be read; no tokens are signed until they can", "event", "signing_keys.away", "err", err)
	case err != nil && !f.failing:
		f.Log.Warn("the shared signing keys cannot be read; those at hand stay in force", "event", "signing_keys.away", "err", err)
	}
	f.failing = err != nil
}

// agree reads the keys, makes those that are due, and begins anew where somebody else
// was faster: of several gateways that start together one makes the first key.
func (f *follower) agree(ctx context.Context) error {
	atLeast := f.version
	for range maxTries {
		value, version, err := f.Shelf.Load(ctx, atLeast)
		if err != nil {
			return err
		}
		now, err := f.Shelf.Now(ctx)
		if err != nil {
			return err
		}
		all, imported, err := f.known(value, version, now)
		if err != nil {
			return err
		}
		next, fresh, err := f.plan(all, now)
		if err != nil {
			return err
		}
		if version < f.version || version == 0 || fresh != nil || len(next) != len(all) {
			if value, err = encodeKeys(next); err != nil {
				return err
			}
			ok, err := f.Shelf.Save(ctx, version, value)
			if err != nil {
				return err
			}
			if !ok {
				atLeast = version + 1
				continue
			}
			version++
		}
		if err := f.adopt(next, value, version); err != nil {
			return err
		}
		f.tell(fresh, imported)
		return nil
	}
	return fmt.Errorf("token: others changed the shared signing keys %d times meanwhile", maxTries)
}

// known returns the keys on the shelf. A shelf that has lost what was seen there gets
// the keys at hand again; one that never had any, those of the folder.
func (f *follower) known(value []byte, version uint64, now time.Time) (all []*key, imported int, err error) {
	set := f.keys.set.Load()
	switch {
	case version == 0:
	case set != nil && bytes.Equal(value, f.value):
		all = set.all
	default:
		if all, err = decodeKeys(value); err != nil {
			return nil, 0, err
		}
	}
	if set != nil {
		if version < f.version {
			all = union(all, set.all)
		}
		return all, 0, nil
	}
	if version > 0 || f.Import == "" {
		return all, 0, nil
	}
	if all, err = readKeys(f.Import); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errImport, err)
	}
	for _, k := range all {
		if k.from.After(now) { // the time of the file; it has signed already
			k.from = now
		}
	}
	inOrder(all)
	return all, len(all), nil
}

// union is a with what b has besides.
func union(a, b []*key) []*key {
	a = slices.Clone(a)
	there := map[string]bool{}
	for _, k := range a {
		there[k.id] = true
	}
	for _, k := range b {
		if !there[k.id] {
			a = append(a, k)
		}
	}
	inOrder(a)
	return a
}

func (f *follower) adopt(all []*key, value []byte, version uint64) error {
	if !bytes.Equal(value, f.value) {
		if err := f.keys.swap(all, ofAlgorithm(all, f.Algorithm)); err != nil {
			return err
		}
	}
	f.value, f.version = value, version
	return nil
}

func (f *follower) tell(fresh *key, imported int) {
	if imported > 0 {
		f.Log.Info("the signing keys of before are in the session store now; the files may be deleted",
			"event", "signing_keys.imported", "dir", f.Import, "keys", imported)
	}
	if fresh != nil {
		f.Log.Info("a signing key was made", "event", "signing_keys.made", "kid", fresh.id, "algorithm", f.Algorithm, "from", fresh.from)
	}
}
