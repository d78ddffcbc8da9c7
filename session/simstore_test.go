package session_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/session"
)

// simDB is the store that the replicas of a simulation share. It can be away, and
// it can lose what it acknowledged last.
type simDB struct {
	mu      sync.Mutex // guards all below
	records map[session.Key]simRecord
	leases  map[session.Key]simLease
	number  uint64
	undo    []simChange
	away    bool
	back    time.Time // when it was back last
	watches session.Watches
}

type simRecord struct {
	session.Record
	deleted bool
	// What replicas other than by may still see until a moment after at.
	before *simRecord
	at     time.Time
	by     *simStore
}

type simLease struct {
	holder session.Holder
	number uint64
	until  time.Time
}

type simChange struct {
	at  time.Time
	key session.Key
	had *simRecord
}

func newSimDB() *simDB {
	return &simDB{records: map[session.Key]simRecord{}, leases: map[session.Key]simLease{}}
}

// simStore is the store as one replica reaches it.
type simStore struct {
	db  *simDB
	mu  sync.Mutex // guards rng
	rng *rand.Rand

	dead bool // guarded by db.mu: the replica was killed, nothing it does has an effect
	lost bool // guarded by db.mu: the store was away
	ep   uint64
}

var (
	errAway = errors.New("the store is away")
	errDead = errors.New("this replica is dead")
)

func (s *simStore) random(most time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.rng.Int64N(int64(most))) + 1
}

// reach waits as long as an operation takes. With db.mu held it returns nil, and the
// caller unlocks; or an error.
func (s *simStore) reach(ctx context.Context, wait time.Duration) error {
	if wait > 0 {
		time.Sleep(s.random(wait))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.db.mu.Lock()
	switch {
	case s.dead:
		s.db.mu.Unlock()
		return errDead
	case s.db.away:
		s.lost = true
		s.db.mu.Unlock()
		return errAway
	case s.lost:
		s.lost = false
		s.ep++
	}
	return nil
}

const simOp = 3 * time.Millisecond

// simLag is for how long a copy at hand may be behind.
const simLag = 100 * time.Millisecond

func (s *simStore) Get(ctx context.Context, key session.Key, atLeast uint64) (session.Record, error) {
	if err := s.reach(ctx, 0); err != nil {
		return session.Record{}, err
	}
	// What is read may be old by the time it arrives.
	defer func() { time.Sleep(s.random(simOp)) }()
	defer s.db.mu.Unlock()
	rec, ok := s.db.records[key]
	now := time.Now()
	if ok && rec.by != s && now.Sub(rec.at) < simLag && s.random(2) == 1 {
		if rec.before != nil && rec.before.Version >= atLeast {
			rec = *rec.before
		}
	}
	return rec.get(ok, now)
}

func (r simRecord) get(ok bool, now time.Time) (session.Record, error) {
	switch {
	case !ok || !r.deleted && !now.Before(r.Expires):
		return session.Record{}, session.ErrNotFound
	case r.deleted:
		return session.Record{}, session.ErrDeleted
	}
	rec := r.Record
	rec.Now = now
	return rec, nil
}

// change replaces what is under key. db.mu is held.
func (s *simStore) change(key session.Key, rec simRecord) {
	c := simChange{at: time.Now(), key: key}
	if old, ok := s.db.records[key]; ok {
		old.before = nil
		c.had = &old
	}
	s.db.undo = append(s.db.undo, c)
	rec.before, rec.at, rec.by = c.had, c.at, s
	s.db.records[key] = rec
}

func (s *simStore) Put(ctx context.Context, key session.Key, prev uint64, rec session.Record) error {
	if err := s.reach(ctx, simOp); err != nil {
		return err
	}
	defer s.db.tell(key)
	defer s.db.mu.Unlock()
	old, ok := s.db.records[key]
	version := old.Version
	if !ok || !old.deleted && !time.Now().Before(old.Expires) {
		version = 0
	}
	if old.deleted || version != prev || rec.Version <= prev {
		return session.ErrConflict
	}
	s.change(key, simRecord{Record: rec})
	return nil
}

func (s *simStore) Delete(ctx context.Context, key session.Key) error {
	if err := s.reach(ctx, simOp); err != nil {
		return err
	}
	defer s.db.tell(key)
	defer s.db.mu.Unlock()
	s.change(key, simRecord{deleted: true})
	return nil
}

func (s *simStore) Lease(ctx context.Context, key session.Key, holder session.Holder, ttl time.Duration) (session.Leased, error) {
	if err := s.reach(ctx, simOp); err != nil {
		return session.Leased{}, err
	}
	defer s.db.mu.Unlock()
	now := time.Now()
	rec, ok := s.db.records[key]
	got, err := rec.get(ok, now)
	if err != nil {
		return session.Leased{}, err
	}
	l, ok := s.db.leases[key]
	switch {
	case ok && now.Before(l.until) && l.holder != holder:
		return session.Leased{}, &session.HeldError{Left: l.until.Sub(now)}
	case !ok || !now.Before(l.until):
		s.db.number++
		l = simLease{holder: holder, number: s.db.number}
	}
	l.until = now.Add(ttl)
	s.db.leases[key] = l
	return session.Leased{Number: l.number, Record: got}, nil
}

func (s *simStore) Release(ctx context.Context, key session.Key, holder session.Holder) error {
	if err := s.reach(ctx, simOp); err != nil {
		return err
	}
	defer s.db.tell(key)
	defer s.db.mu.Unlock()
	if s.db.leases[key].holder == holder {
		delete(s.db.leases, key)
	}
	return nil
}

// tell tells those who watch, at once and when no copy at hand is older.
func (db *simDB) tell(key session.Key) {
	db.watches.Notify(key, true)
	time.AfterFunc(simLag, func() { db.watches.Notify(key, true) })
}

func (s *simStore) Watch(key session.Key, notify func(changed bool)) (stop func()) {
	stop = s.db.watches.Add(key, notify)
	notify(false)
	return stop
}

func (s *simStore) Find(ctx context.Context, tag session.Tag) (keys []session.Key, err error) {
	if err := s.reach(ctx, simOp); err != nil {
		return nil, err
	}
	defer s.db.mu.Unlock()
	for key, rec := range s.db.records {
		if !rec.deleted && slices.Contains(rec.Tags, tag) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (s *simStore) Scan(context.Context, func(session.Key, session.Record) error) error { return nil }

func (s *simStore) Now(ctx context.Context) (time.Time, error) {
	if err := s.reach(ctx, 0); err != nil {
		return time.Time{}, err
	}
	defer s.db.mu.Unlock()
	return time.Now(), nil
}

func (s *simStore) Epoch() uint64 {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	return s.ep
}

func (s *simStore) Close() error { return nil }

func (s *simStore) kill() {
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	s.dead = true
}

// goAway takes the store away from all replicas, whose connections break, and loses
// what was acknowledged in the last lose.
func (db *simDB) goAway(stores []*simStore, lose time.Duration) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.away = true
	for _, s := range stores {
		s.lost = true
	}
	if lose == 0 {
		return
	}
	since := time.Now().Add(-lose)
	for len(db.undo) > 0 && !db.undo[len(db.undo)-1].at.Before(since) {
		c := db.undo[len(db.undo)-1]
		db.undo = db.undo[:len(db.undo)-1]
		if c.had == nil {
			delete(db.records, c.key)
		} else {
			db.records[c.key] = *c.had
		}
	}
	clear(db.leases)
}

func (db *simDB) comeBack() {
	db.mu.Lock()
	db.away, db.back = false, time.Now()
	db.mu.Unlock()
	db.watches.NotifyAll()
}

// awayLately reports whether it is away, or was a moment ago: what could not be
// stored then may not be stored yet.
func (db *simDB) awayLately() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.away || time.Since(db.back) < 5*time.Second
}
