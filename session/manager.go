package session

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// Manager remembers sign-ins. It implements auth.Authenticator and
// auth.Sessions. Make one with New; Close it to end what it runs.
type Manager struct {
	baker

	cfg      Config // but for its Settings
	settings atomic.Pointer[Settings]
	left     atomic.Bool // another process has the sessions now
	probe    string      // the name of the probe cookie

	ctx    context.Context // ends with Close: nothing begins any more, and streams end
	cancel context.CancelFunc
	// grants ends a while later: a renewal that is on the wire when the gateway
	// stops may have been made there, and its answer is waited for.
	grants    context.Context
	cutGrants context.CancelFunc
	wg        sync.WaitGroup

	entries entries
	handles verdicts[opened]
	proofs  proofs
	ended   atomic.Bool // a session has, and handles may remember its cookies

	mu     sync.Mutex // guards all below
	epoch  uint64     // of the store, as last seen
	since  time.Time  // when that was
	healed uint64     // the epoch up to which what is known here was put back
}

// Config is what a Manager is made of.
type Config struct {
	// Store keeps the sessions.
	Store Store
	// Ring seals the cookies.
	Ring *Ring
	// Methods are the ways people signed in, by Identity.Provider: each an
	// auth.Refresher, and an auth.Checker if it can tell at once.
	Methods map[string]auth.Refresher
	// Minter signs what routes with tokens of the gateway's own want. Nil means
	// that none does.
	Minter auth.Minter
	// Cookie is the name of the session cookie. The probe cookie adds "-probe".
	Cookie string
	// Insecure leaves the Secure attribute out, for plain http on a loopback
	// name: Safari drops Secure cookies there.
	Insecure bool
	// IdleTimeout ends a session that nobody used for this long.
	IdleTimeout time.Duration
	// MaxLifetime ends every session.
	MaxLifetime time.Duration
	// Grace is S of the handle protocol.
	Grace time.Duration
	// MaxStale is for how long after the access token's expiry a session is kept
	// whose renewal fails for a reason that is neither a clear no (*auth.Refused)
	// nor an outage (*auth.Unavailable), which keeps it for as long as it lasts.
	MaxStale time.Duration
	// RenewBefore is how much of an access token's lifetime is left when its
	// renewal is due.
	RenewBefore func(lifetime time.Duration) time.Duration
	// Lease is for how long the right to renew a session is taken: longer than a
	// provider may take for one answer, so that nobody else asks meanwhile. Zero
	// means 25 s.
	Lease time.Duration
	// BoundFor is for how long a proof of the key that a session is bound to is good. Zero
	// means 10 minutes.
	BoundFor time.Duration
	// Risks are what is done about signs that somebody else has a session's cookie.
	Risks Risks
	// Ended is told of a session that was ended here what it had kept, by name, so
	// that other places can be told. It is called beside, and waited for by Close. Of
	// a session that this process never opened it does not hear. Nil is nobody, and
	// what a session kept then expires by itself.
	Ended func(ctx context.Context, kept map[string][]byte)
	// Log takes the lines of events; nil discards them.
	Log *slog.Logger
	// Heard hears of what happens to sessions; nil is nobody.
	Heard event.Func
	// Now is the wall clock, by which access tokens expire; nil means time.Now.
	Now func() time.Time

	houseEvery, confirmAt, confirmBy time.Duration // zero is the constant of that name
}

// New returns a Manager that runs until Close.
func New(cfg Config) (*Manager, error) {
	switch {
	case cfg.Store == nil || cfg.Ring == nil:
		return nil, errors.New("session: a Manager needs a Store and a Ring")
	case cfg.Cookie == "":
		return nil, errors.New("session: the session cookie has no name")
	}
	set := cfg.takeSettings()
	if err := set.check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.houseEvery == 0 {
		cfg.houseEvery = houseEvery
	}
	if cfg.confirmBy == 0 {
		cfg.confirmAt, cfg.confirmBy = confirmAt, confirmBy
	}
	m := &Manager{baker: baker{cfg.Insecure}, cfg: cfg, probe: cfg.Cookie + probeSuffix, handles: newVerdicts[opened](maxVerdicts)}
	m.proofs = newProofs(cfg.Ring, cfg.Cookie, cfg.Insecure, m.set, cfg.Now)
	m.settings.Store(set)
	if m.epoch = cfg.Store.Epoch(); m.epoch != 0 {
		m.since = cfg.Now()
	}
	m.healed = m.epoch
	m.ctx, m.cancel = context.WithCancel(context.Background())
	m.grants, m.cutGrants = context.WithCancel(context.Background())
	m.wg.Go(m.keepHouse)
	return m, nil
}

// Close ends renewals and attended streams, writes what is not yet written,
// and waits for all of it. It does not close the Store.
func (m *Manager) Close() error {
	m.cancel()
	cut := time.AfterFunc(closeTime, m.cutGrants)
	m.wg.Wait()
	cut.Stop()
	m.cutGrants()
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	m.writeBehind(ctx, 0)
	return nil
}

// Leave is Close for a process that hands its sessions over to the next and finishes
// what is under way: attended responses go on to their end without being attended.
func (m *Manager) Leave() error {
	m.left.Store(true)
	return m.Close()
}

// Recheck asks the methods again about every session that has a live
// connection here. A users file that changed calls it.
func (m *Manager) Recheck() {
	for _, e := range m.entries.snapshot() {
		e.wake()
	}
}

const (
	// storeTimeout bounds what the Manager asks of the store off the request path.
	storeTimeout = 5 * time.Second
	// renewTimeout bounds one renewal, and is longer than any provider is given for
	// one answer: a grant that is cut short here may have been performed there.
	renewTimeout = 45 * time.Second
	// closeTime is how long Close waits for renewals that are on the wire.
	closeTime = 15 * time.Second
	// maxTries bounds the compare-and-set loops; each lost round is somebody
	// else's progress.
	maxTries = 100
	// maxCookieAge is what browsers cut a cookie's life to (RFC 6265bis section 5.5).
	maxCookieAge = 400 * 24 * time.Hour
)

// seenEvery is how coarsely the idle clock is written. A session whose last
// use is known only from the store is kept this much longer, never shorter.
func (m *Manager) seenEvery() time.Duration { return min(m.set().IdleTimeout/20, 5*time.Minute) }

func (m *Manager) rules(s *state) Rules {
	return Rules{Grace: m.set().Grace, Lifetime: s.Login.Expires.Sub(s.Login.Issued)}
}

// ends is when the session ends however it is used.
func (m *Manager) ends(s *state) time.Time {
	ends := s.Created.Add(m.set().MaxLifetime)
	if !s.Until.IsZero() {
		ends = earlier(ends, s.Until)
	}
	if s.Retired {
		return earlier(ends, s.Seen.Add(m.set().Grace))
	}
	return ends
}

// endsUnused is when the session ends if nobody uses it any more.
func (m *Manager) endsUnused(s *state) time.Time {
	return earlier(m.ends(s), s.Seen.Add(m.set().IdleTimeout+m.seenEvery()))
}

// expires is when the store may forget a session. It keeps it a little longer than that
// lives: so its person can be told why it ended, and of which provider it was, which may
// sign them in again without a word.
func (m *Manager) expires(s *state) time.Time {
	if s.Retired {
		return m.endsUnused(s)
	}
	return m.endsUnused(s).Add(toldTime)
}

// toldTime is for how long after its end a session is known.
const toldTime = time.Hour

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// entry is what this process knows of a session beyond the store: the opened
// record, the renewal under way, when it was last used.
type entry struct {
	key     Key
	name    string // Key.Name
	touched touched

	mu        sync.Mutex // guards all below
	at        version    // the newest record seen here
	atLeast   uint64     // the store has had a version as high
	checked   time.Time  // when the store was asked, the last time that it had it
	answered  time.Time  // when it said so
	flight    *flight    // the renewal under way, or nil
	unsaved   *unsavedLogin
	trouble   map[string]trouble   // with renewals, by resource
	forced    string               // the token that an upstream refused and a renewal was forced for
	forceAt   time.Time            // when another may be forced
	minted    map[string]minted    // tokens made of the access token, by what for
	seen      time.Time            // last use, by the store's clock
	streams   attendances          // of attended streams
	ended     string               // why it ended, or ""
	deleted   bool                 // and whether it is known to have been deleted
	told      bool                 // and whether that was told of
	unsure    bool                 // the record may have changed since it was read
	changes   uint64               // how often it is known to have changed
	looked    uint64               // how many of those were there when it was read last
	unwatch   func()               // ends the watch, or nil
	forgotten bool                 // it is not among the Manager's entries any more
	kept      map[string]keptValue // what was read last of what the session keeps, by name

	exchanging chan struct{} // of one: who exchanges a token

	missing missing               // of the proof of its device
	sight   atomic.Pointer[sight] // of the last request, or nil
	walk    walked

	missed atomic.Int64 // since when its person is not known here, by the wall clock in ns; zero is known
}

func newEntry(key Key) *entry {
	return &entry{key: key, name: key.Name(), exchanging: make(chan struct{}, 1)}
}

// unsavedLogin is a renewed login that the store does not have yet.
type unsavedLogin struct {
	storedLogin
	over string // the grant that the store had in its place
	sent string // the grant it was obtained with, which a write that takes long may store yet
}

// follows reports whether it takes the place of l in the store.
func (u *unsavedLogin) follows(l *storedLogin) bool {
	has := l.grant()
	return has == u.over || has == u.sent
}

// version is one opened record. It is a value that is replaced, never edited.
type version struct {
	number uint64
	mark   mark
	dk     DataKey
	state  *state
	// skew is the store's clock less the wall clock, when it was read.
	skew time.Duration
}

func (m *Manager) entry(key Key) *entry { return m.entries.make(key, m.cfg.Now()) }

// lookup is entry for a session that may not be known here: then it is nil.
func (m *Manager) lookup(key Key) *entry { return m.entries.find(key, m.cfg.Now()) }

// Len is how many sessions this process has in memory: those used within the last hour or so.
func (m *Manager) Len() int { return m.entries.len() }

// wake tells attended streams to look again.
func (e *entry) wake() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wakeLocked()
}

func (e *entry) wakeLocked() {
	e.streams.wake()
}

// end marks the session as ended here and closes its live connections. Deleted
// says that it must not be put back where the store still has it.
func (e *entry) end(reason string, deleted bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended == "" {
		e.ended = reason
	}
	e.deleted = e.deleted || deleted
	e.wakeLocked()
}
