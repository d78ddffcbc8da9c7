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

// Stateless remembers sign-ins with no store: the refresh token itself, sealed,
// lies in the cookie. It implements auth.Authenticator, auth.Sessions and auth.Bindings
// for providers that give refresh tokens, in one process. Make one with
// NewStateless; Close it to end what it runs.
//
// The access token is kept in memory alone, so the first request after a restart
// renews, and claims from a cookie are never served before they were read again.
// What only memory knows is lost with the process: who signed out (the deny-list;
// the provider's revocation stands), and what took the place of a spent token. That a
// session is bound to a key of its device lies in its cookies from then on: those from
// before that are held to it for as long as the process lives, and after that from the
// moment when one of the others comes.
type Stateless struct {
	baker

	cfg      StatelessConfig // but for its Settings
	settings atomic.Pointer[Settings]
	left     atomic.Bool       // another process has the sessions now
	names    [maxChunks]string // of the chunks' cookies
	room     int               // how much of a set one chunk carries, in bytes
	sets     verdicts[*cookieSet]
	proofs   proofs

	ctx       context.Context // ends with Close: nothing begins any more, and streams end
	cancel    context.CancelFunc
	grants    context.Context // ends a while later: what is on the wire may have been made there
	cutGrants context.CancelFunc
	wg        sync.WaitGroup

	mu       sync.Mutex // guards sessions and once; taken before that of a session
	sessions map[Key]*kept
	once     map[string]time.Time // names that were used, until when
}

var (
	_ auth.Sessions = (*Stateless)(nil)
	_ auth.Bindings = (*Stateless)(nil)
)

// StatelessConfig is what a Stateless is made of.
type StatelessConfig struct {
	// Ring seals the cookies.
	Ring *Ring
	// Methods are the ways people signed in, by Identity.Provider.
	Methods map[string]auth.Refresher
	// Minter signs what routes with tokens of the gateway's own want, or is nil.
	Minter auth.Minter
	// Cookie is the name of the first chunk's cookie. The others add "-1" to "-5".
	Cookie string
	// Insecure leaves the Secure attribute out, for plain http on a loopback name.
	Insecure bool
	// NeedIDToken says that a route sends the ID token upstream: a sign-in whose ID
	// token does not fit is refused. Without it such a sign-in goes on, and its
	// sign-out reaches the provider without a hint.
	NeedIDToken bool
	// IdleTimeout ends a session that nobody used for this long. The cookie bears
	// the last use exact to a twentieth of it.
	IdleTimeout time.Duration
	// MaxLifetime ends every session, and is how long those signed out are denied.
	MaxLifetime time.Duration
	// Grace is for how long a session lives on that its person's next sign-in
	// replaced. A spent token's successor is kept until it has been in use for ten
	// times as long, and for ten minutes.
	Grace time.Duration
	// MaxStale is that of Config.
	MaxStale time.Duration
	// BoundFor and Risks are those of Config.
	BoundFor time.Duration
	Risks    Risks
	// RenewBefore is how much of an access token's lifetime is left when its
	// renewal is due.
	RenewBefore func(lifetime time.Duration) time.Duration
	// Ended is that of Config.
	Ended func(ctx context.Context, kept map[string][]byte)
	// Log takes the lines of events; nil discards them.
	Log *slog.Logger
	// Heard hears of what happens to sessions; nil is nobody.
	Heard event.Func
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// NewStateless returns a Stateless that runs until Close.
func NewStateless(cfg StatelessConfig) (*Stateless, error) {
	switch {
	case cfg.Ring == nil:
		return nil, errors.New("session: a Stateless needs a Ring")
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
	s := &Stateless{baker: baker{cfg.Insecure}, cfg: cfg, sets: newVerdicts[*cookieSet](maxSets), sessions: map[Key]*kept{}, once: map[string]time.Time{}}
	s.settings.Store(set)
	s.names = chunkNames(cfg.Cookie)
	s.proofs = newProofs(cfg.Ring, cfg.Cookie, cfg.Insecure, s.set, cfg.Now)
	var err error
	if s.room, err = s.measure(); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.grants, s.cutGrants = context.WithCancel(context.Background())
	s.wg.Go(s.keepHouse)
	return s, nil
}

// Close ends renewals and attended streams, and waits for them. What a renewal on
// the wire gets is lost with the process, unless a response carries it away still.
func (s *Stateless) Close() error {
	s.cancel()
	cut := time.AfterFunc(closeTime, s.cutGrants)
	s.wg.Wait()
	cut.Stop()
	s.cutGrants()
	return nil
}

// Leave is that of a Manager.
func (s *Stateless) Leave() error {
	s.left.Store(true)
	return s.Close()
}

// Recheck asks the methods again about every session that has a live connection.
func (s *Stateless) Recheck() {
	for _, k := range s.snapshot() {
		k.mu.Lock()
		k.wake()
		k.mu.Unlock()
	}
}

// Once reports whether name is used for the first time before until, as far as
// this process knows.
func (s *Stateless) Once(_ context.Context, name string, until time.Time) (bool, error) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if used, ok := s.once[name]; ok && now.Before(used) {
		return false, nil
	}
	s.once[name] = until
	return true, nil
}

// coarse is how exactly the cookie bears the last use.
func (s *Stateless) coarse() time.Duration { return s.set().IdleTimeout / 20 }

// retention is how long a successor has to be in use before nobody comes with
// what it replaced any more: requests arrive up to ten minutes after their cookies
// were attached.
func (s *Stateless) retention() time.Duration { return max(10*time.Minute, 10*s.set().Grace) }

// sweepEvery is how often what nobody needs any more is forgotten.
const sweepEvery = time.Minute

func (s *Stateless) keepHouse() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			s.sweep()
		}
	}
}

func (s *Stateless) sweep() {
	now, forgotten := s.cfg.Now(), false
	for _, k := range s.snapshot() {
		s.mu.Lock()
		k.mu.Lock()
		if k.unknowable(now, s.set().IdleTimeout+s.coarse()) {
			delete(s.sessions, k.key)
			forgotten = true
		}
		k.cool(now)
		k.mu.Unlock()
		s.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if forgotten {
		s.sets.drop(func(c *cookieSet) bool { return s.sessions[c.key] == nil })
	}
	for name, until := range s.once {
		if !now.Before(until) {
			delete(s.once, name)
		}
	}
}

// session returns what is known of a session, which may be nothing yet.
func (s *Stateless) session(key Key) *kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.sessions[key]
	if k == nil {
		k = newKept(key, s.cfg.Now())
		k.part, k.drop = s.part, s.dropSets
		s.sessions[key] = k
	}
	return k
}

// dropSets forgets what the cookies of a session opened to.
func (s *Stateless) dropSets(key Key) {
	s.sets.drop(func(c *cookieSet) bool { return c.key == key })
}

// Len is how many sessions this process knows.
func (s *Stateless) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

func (s *Stateless) snapshot() []*kept {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*kept, 0, len(s.sessions))
	for _, k := range s.sessions {
		all = append(all, k)
	}
	return all
}
