package session

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/evergate/evergate/auth"
)

// keptValue is one thing that a session keeps. It is a value that is replaced, never
// edited.
type keptValue struct {
	value   []byte
	version uint64
	mark    mark // of the record, where it lies in a store
}

// keptKey is where a session keeps a thing: the store can tell neither which session
// nor what.
func keptKey(key Key, name string) Key {
	return sha256.Sum256(append(append([]byte("evergate kept key\x00"), key[:]...), name...))
}

// keptTag finds all that a session keeps. Session keys cannot be guessed, so it needs
// no secret.
func keptTag(key Key) Tag {
	return sha256.Sum256(append([]byte("evergate kept tag\x00"), key[:]...))
}

func keptContext(place Key, version uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("evergate kept 1\x00"), place[:]...), version)
}

// keptThing is what is sealed. Its name is for whoever finds it by its tag.
type keptThing struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

func sealKept(dk DataKey, place Key, version uint64, thing keptThing) ([]byte, error) {
	return sealJSON(dk, thing, keptContext(place, version))
}

func openKept(dk DataKey, place Key, rec Record) (thing keptThing, err error) {
	err = openJSON(dk, rec.Data, keptContext(place, rec.Version), &thing)
	return thing, err
}

// Kept implements auth.Session. It asks the store each time and opens what changed:
// other gateways keep things too. While the store is out of order it is what was read
// last.
func (s *live) Kept(ctx context.Context, name string, atLeast uint64) ([]byte, uint64, error) {
	s = s.current()
	s.e.mu.Lock()
	known, ok := s.e.kept[name]
	ended, dk := s.e.ended, s.e.at.dk
	s.e.mu.Unlock()
	if ended != "" {
		return nil, 0, &auth.Absent{Reason: ended}
	}
	place := keptKey(s.e.key, name)
	rec, err := s.m.cfg.Store.Get(ctx, place, max(known.version, atLeast))
	switch {
	case errors.Is(err, ErrNotFound):
		s.e.remember(name, keptValue{})
		return nil, 0, nil
	case err != nil && ok:
		return known.value, known.version, nil
	case err != nil:
		return nil, 0, &auth.Unavailable{What: "the session store", Err: err}
	}
	if !ok || known.version != rec.Version || known.mark != markOf(rec.Data) {
		thing, err := openKept(dk, place, rec)
		if err != nil { // damaged, or an old one that was put back: worth nothing, and written over
			s.m.cfg.Log.WarnContext(ctx, "what a session keeps does not open and is left alone", "session", s.ID(), "err", err)
			return nil, rec.Version, nil
		}
		known = keptValue{thing.Value, rec.Version, markOf(rec.Data)}
		s.e.remember(name, known)
	}
	s.prolong(ctx, place, rec)
	return known.value, known.version, nil
}

// prolong has the store keep rec for longer where the session has been used for long
// since it was written. Whoever writes it meanwhile does so too.
func (s *live) prolong(ctx context.Context, place Key, rec Record) {
	if ends := s.keptUntil(); ends.Sub(rec.Expires) < s.m.set().IdleTimeout/2 {
		return
	}
	s.e.mu.Lock()
	dk := s.e.at.dk
	s.e.mu.Unlock()
	thing, err := openKept(dk, place, rec)
	if err == nil {
		err = s.put(ctx, thing, rec.Version)
	}
	if err != nil && !errors.Is(err, ErrConflict) {
		s.m.cfg.Log.WarnContext(ctx, "what a session keeps could not be kept for longer", "session", s.ID(), "err", err)
	}
}

// Keep implements auth.Session.
func (s *live) Keep(ctx context.Context, name string, value []byte, version uint64) error {
	if len(value) > auth.MaxKept {
		return fmt.Errorf("session: %d bytes are too many to keep, want up to %d", len(value), auth.MaxKept)
	}
	s = s.current()
	s.e.mu.Lock()
	ended := s.e.ended
	s.e.mu.Unlock()
	if ended != "" {
		return &auth.Absent{Reason: ended}
	}
	switch err := s.put(ctx, keptThing{name, value}, version); {
	case errors.Is(err, ErrConflict):
		return auth.ErrChanged
	case err != nil:
		return &auth.Unavailable{What: "the session store", Err: err}
	}
	s.e.mu.Lock()
	ended = s.e.ended
	s.e.mu.Unlock()
	if ended != "" { // meanwhile; whoever ended it may have looked before
		_ = s.m.cfg.Store.Delete(context.WithoutCancel(ctx), keptKey(s.e.key, name))
		return &auth.Absent{Reason: ended}
	}
	return nil
}

func (s *live) put(ctx context.Context, thing keptThing, prev uint64) error {
	s.e.mu.Lock()
	dk := s.e.at.dk
	s.e.mu.Unlock()
	place := keptKey(s.e.key, thing.Name)
	data, err := sealKept(dk, place, prev+1, thing)
	if err != nil {
		return err
	}
	rec := Record{Version: prev + 1, Expires: s.keptUntil(), Tags: []Tag{keptTag(s.e.key)}, Data: data}
	if err := s.m.cfg.Store.Put(ctx, place, prev, rec); err != nil {
		return err
	}
	s.e.remember(thing.Name, keptValue{thing.Value, prev + 1, markOf(data)})
	return nil
}

// keptUntil is when the session ends if nobody uses it any more, by the store's clock.
func (s *live) keptUntil() time.Time {
	s.e.mu.Lock()
	st := *s.e.at.state
	st.Seen = later(st.Seen, s.e.seen)
	s.e.mu.Unlock()
	return s.m.expires(&st)
}

func (e *entry) remember(name string, v keptValue) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kept == nil {
		e.kept = map[string]keptValue{}
	}
	e.kept[name] = v
}

// part drops what an ended session kept, and tells ended of it where its data key is
// known here. A store that fails at it forgets by itself, a little later.
func (m *Manager) part(ctx context.Context, key Key, dk DataKey, ended func(ctx context.Context, kept map[string][]byte)) {
	dropped, err := dropKept(ctx, m.cfg.Store, key)
	if err != nil {
		m.cfg.Log.WarnContext(ctx, "what an ended session kept could not be deleted; it expires by itself", "session", key.Name(), "err", err)
	}
	kept := map[string][]byte{}
	for place, rec := range dropped {
		if thing, err := openKept(dk, place, rec); err == nil {
			kept[thing.Name] = thing.Value
		}
	}
	if len(kept) == 0 || m.ctx.Err() != nil {
		return
	}
	m.wg.Go(func() {
		ctx, cancel := context.WithTimeout(m.grants, renewTimeout)
		defer cancel()
		ended(ctx, kept)
	})
}

// dropKept deletes all that a session kept and returns it as it lay there: with older cookies of
// an app nobody signs out of that.
func dropKept(ctx context.Context, store Store, key Key) (dropped map[Key]Record, err error) {
	places, err := store.Find(ctx, keptTag(key))
	if err != nil {
		return nil, err
	}
	dropped = map[Key]Record{}
	for _, place := range places {
		rec, getErr := store.Get(ctx, place, Newest)
		if getErr == nil {
			dropped[place] = rec
		}
		err = errors.Join(err, store.Delete(ctx, place))
	}
	return dropped, err
}
