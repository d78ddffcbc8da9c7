// Package redis keeps sessions in Redis or Valkey, single, with Sentinel or as a
// Cluster, for several gateways that share them.
//
// Reads are answered from memory: the server pushes which copies are out of date
// (client-side caching), so a session that is revoked on one gateway is gone from
// the others a moment later. Writes, leases and deletions are scripts, and each
// touches keys of one slot. Times are the server's.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// Options say where the server is.
type Options struct {
	// Addresses are host:port of the server, of some nodes of a Cluster, or of
	// Sentinels where Master is set.
	Addresses []string
	// Master is the name by which Sentinels know the server, or "".
	Master string
	// Username is that of an ACL user; "" is the default user.
	Username string
	// Password is asked for at each connection, so that a file may change.
	Password func() (secret.Text, error)
	// SentinelUsername and SentinelPassword are for the Sentinels.
	SentinelUsername string
	SentinelPassword func() (secret.Text, error)
	// TLS encrypts connections; nil is plain TCP.
	TLS *tls.Config
	// DB is the number of the database.
	DB int
	// Prefix begins every key. It holds no brace.
	Prefix string
	// Timeout bounds one operation. Zero means 2 s.
	Timeout time.Duration
	// NoTracking does without client-side caching, for servers behind proxies that
	// know no CLIENT TRACKING: every read is a round trip, and who watches looks
	// twice a second.
	NoTracking bool
	// Log takes events; nil discards them.
	Log *slog.Logger
}

// Store implements session.Store. Open makes one.
type Store struct {
	opt      Options
	keys     keys
	client   atomic.Pointer[rueidis.Client] // nil until the server was reached once
	clock    clock
	epoch    atomic.Uint64
	lost     atomic.Bool    // an operation has failed since the last answer
	broke    atomic.Bool    // a connection has broken since then: it may be another server now
	answered atomic.Int64   // when that was, by the wall clock in ns
	down     atomic.Int64   // until when reads fail at once, by the wall clock in ns
	copies   session.Copies // of what the client has a copy of, ready to be used
	watches  session.Watches
	armed    armory
	indexed  indexed
	wrote    written

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup
}

var _ session.Store = (*Store)(nil)

const (
	defaultTimeout = 2 * time.Second
	// cacheTime bounds for how long a copy is used that the server has not said
	// anything about: a connection that is cut without a word shows by then.
	cacheTime = 15 * time.Second
	// pollEvery is how often who watches looks where the server does not push.
	pollEvery = 500 * time.Millisecond
)

// Open returns a Store that connects in the background, again and again until it
// can: a server that is down when the gateway starts is an outage like any other.
func Open(opt Options) (*Store, error) {
	s, err := newStore(opt)
	if err == nil {
		s.wg.Go(s.run)
	}
	return s, err
}

// newStore is one that nothing runs for yet.
func newStore(opt Options) (*Store, error) {
	if len(opt.Addresses) == 0 {
		return nil, errors.New("redis: no address; name at least one host:port")
	}
	if strings.ContainsAny(opt.Prefix, "{}") {
		return nil, errors.New("redis: the key prefix must not hold a brace: a Cluster would put every key into one slot")
	}
	if opt.Timeout <= 0 {
		opt.Timeout = defaultTimeout
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{opt: opt, keys: keys{prefix: opt.Prefix}}
	s.epoch.Store(1)
	s.answered.Store(time.Now().UnixNano())
	s.armed.wake = make(chan struct{}, 1)
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// run connects, keeps the clock, and serves those who watch.
func (s *Store) run() {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := s.connect()
		if err == nil {
			break
		}
		s.opt.Log.Warn("the session store cannot be reached; trying again", "event", "store.unreachable", "err", err)
		if !s.sleep(wait) {
			return
		}
	}
	s.prepare()
	s.lookAround()
	s.wg.Go(s.keepArmed)
	s.keepClock()
}

func (s *Store) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (s *Store) connect() error {
	o := rueidis.ClientOption{
		InitAddress: s.opt.Addresses, TLSConfig: s.opt.TLS, SelectDB: s.opt.DB,
		ClientName: "evergate", DisableCache: s.opt.NoTracking, DisableRetry: true,
		Dialer:            net.Dialer{Timeout: s.opt.Timeout, KeepAlive: time.Second},
		ConnWriteTimeout:  2*s.opt.Timeout + time.Second,
		DialCtxFn:         s.dial,
		AuthCredentialsFn: s.credentials,
		RingScaleEachConn: 9, ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
	}
	if !s.opt.NoTracking {
		o.OnInvalidations = s.invalidated
	}
	if s.opt.Master != "" {
		o.Sentinel = rueidis.SentinelOption{MasterSet: s.opt.Master, TLSConfig: s.opt.TLS, Dialer: o.Dialer,
			Username: s.opt.SentinelUsername, TopologyRefreshInterval: 5 * time.Second}
		if s.opt.SentinelPassword != nil {
			p, err := s.opt.SentinelPassword()
			if err != nil {
				return err
			}
			o.Sentinel.Password = p.Reveal()
		}
	}
	c, err := rueidis.NewClient(o)
	if errors.Is(err, rueidis.ErrNoCache) {
		s.opt.Log.Warn("the session store knows no CLIENT TRACKING; every request asks it", "event", "store.no_tracking", "err", err)
		s.opt.NoTracking, o.DisableCache, o.OnInvalidations = true, true, nil
		c, err = rueidis.NewClient(o)
	}
	if err != nil {
		return s.outage("connect", err)
	}
	s.client.Store(&c)
	return nil
}

func (s *Store) credentials(rueidis.AuthCredentialsContext) (rueidis.AuthCredentials, error) {
	out := rueidis.AuthCredentials{Username: s.opt.Username}
	if s.opt.Password == nil {
		return out, nil
	}
	p, err := s.opt.Password()
	out.Password = p.Reveal()
	return out, err
}

// prepare loads the scripts, so that the first use of each costs one round trip. A
// server that forgets them is sent them again with the use.
func (s *Store) prepare() {
	for _, node := range (*s.client.Load()).Nodes() {
		for _, script := range scripts {
			ctx, cancel := context.WithTimeout(s.ctx, s.opt.Timeout)
			_ = node.Do(ctx, node.B().ScriptLoad().Script(script).Build()).Error()
			cancel()
		}
	}
}

// lookAround warns of a server that may throw sessions away.
func (s *Store) lookAround() {
	ctx, cancel := context.WithTimeout(s.ctx, s.opt.Timeout)
	defer cancel()
	c := *s.client.Load()
	info, err := c.Do(ctx, c.B().Info().Section("memory").Build()).ToString()
	if err != nil {
		return // an ACL may not allow it; nothing depends on it
	}
	for line := range strings.Lines(info) {
		policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
		if ok && policy != "noeviction" {
			s.opt.Log.Warn("the session store may evict sessions, which signs people out; set maxmemory-policy to noeviction",
				"event", "store.may_evict", "policy", policy)
		}
	}
}

// Close ends what the Store runs, and its connections.
func (s *Store) Close() error {
	s.stop()
	s.wg.Wait()
	if c := s.client.Swap(nil); c != nil {
		(*c).Close()
	}
	return nil
}

// Epoch implements session.Store.
func (s *Store) Epoch() uint64 { return s.epoch.Load() }

// where names the server in errors.
func (s *Store) where() string {
	at := strings.Join(s.opt.Addresses, ", ")
	if s.opt.Master != "" {
		return fmt.Sprintf("%s (of the Sentinels %s)", s.opt.Master, at)
	}
	return at
}
