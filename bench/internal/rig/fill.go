package rig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/token"
)

const (
	writers = 64 // Redis is told by many at once
	// A Manager keeps what it began in memory for a while. Each of these is closed
	// before the next is made.
	perManager = 50_000
)

// Fill signs User in once, with the password, and begins n sessions of that sign-in in the
// gateway's store. It returns Cookie headers of some of them, spread over all. With bolt it
// is for before Start, since one process has the file. Local users alone are filled in.
func (g *Gateway) Fill(ctx context.Context, n, samples int) (cookies []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("fill %d sessions: %w", n, err)
		}
	}()
	if g.options.Provider != nil || samples > n {
		return nil, errors.New("want local users, and no more samples than sessions")
	}
	key, err := os.ReadFile(g.key)
	if err != nil {
		return nil, err
	}
	ring, err := session.NewRing(secret.New(string(key)))
	if err != nil {
		return nil, err
	}
	method, err := g.people()
	if err != nil {
		return nil, err
	}
	defer method.Users.Close()
	login, err := method.Login(ctx, auth.Asker{Addr: here}, User, Password)
	if err != nil {
		return nil, err
	}
	store, err := g.store(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	filler, bulk := store.(*bolt.Store)
	if bulk {
		store = &gathering{closableStore: store}
	}
	cookies = make([]string, samples)
	for from := 0; from < n; from += perManager {
		m, err := session.New(session.Config{
			Store: store, Ring: ring, Methods: map[string]auth.Refresher{method.Name: method},
			Cookie: CookieName, Insecure: true,
			IdleTimeout: 12 * time.Hour, MaxLifetime: 720 * time.Hour, Grace: time.Minute, MaxStale: 10 * time.Minute,
		})
		if err != nil {
			return nil, err
		}
		err = begin(ctx, g.Base, m, login, from, min(from+perManager, n), func(i int, c *http.Cookie) {
			if at := i * samples / n; (i+1)*samples/n > at {
				cookies[at] = c.Name + "=" + c.Value
			}
		})
		if err = errors.Join(err, m.Close()); err != nil {
			return nil, err
		}
	}
	if bulk {
		return cookies, filler.Fill(ctx, store.(*gathering).entries)
	}
	return cookies, nil
}

// gathering is a store that keeps new records for later: written all at once, a million
// take as many seconds as they take minutes one by one.
type gathering struct {
	closableStore
	mu      sync.Mutex // guards entries
	entries []bolt.Entry
}

// Put implements session.Store.
func (g *gathering) Put(_ context.Context, key session.Key, prev uint64, rec session.Record) error {
	if prev != 0 {
		return session.ErrConflict // none has been written yet
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.entries = append(g.entries, bolt.Entry{Key: key, Record: rec})
	return nil
}

// closableStore is a store that is ours to close.
type closableStore interface {
	session.Store
	Close() error
}

func (g *Gateway) store(ctx context.Context) (closableStore, error) {
	switch g.options.Store {
	case "bolt":
		return bolt.Open(filepath.Join(g.Data, "sessions.db"), nil)
	case "redis":
		s, err := redis.Open(redis.Options{Addresses: []string{g.options.Redis}, Prefix: "evergate:"})
		if err != nil {
			return nil, err
		}
		for end := time.Now().Add(10 * time.Second); ; { // it connects beside
			if _, err := s.Now(ctx); err == nil {
				return s, nil
			} else if time.Now().After(end) || ctx.Err() != nil {
				return nil, errors.Join(err, s.Close())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil, fmt.Errorf("a %s store holds no sessions", g.options.Store)
}

// Where requests come from, and from what: a session that is first seen elsewhere than it was
// signed in notes that it was, which is a write of its own.
var here = netip.MustParseAddr("127.0.0.1")

const agent = "Go-http-client/1.1" // what net/http says

// begin begins the sessions from to to.
func begin(ctx context.Context, base string, m *session.Manager, login *auth.Login, from, to int, keep func(int, *http.Cookie)) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	next.Store(int64(from))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for range writers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= to {
					return
				}
				r, err := http.NewRequestWithContext(web.WithNote(ctx, &web.Note{Client: here}), http.MethodPost, base+"/.evergate/login", nil)
				if err != nil {
					cancel(err)
					return
				}
				r.Header.Set("User-Agent", agent)
				h := http.Header{}
				if err := m.Begin(h, r, login, true); err != nil {
					cancel(err)
					return
				}
				c, err := http.ParseSetCookie(h.Get("Set-Cookie"))
				if err != nil {
					cancel(err)
					return
				}
				keep(i, c)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// people is the gateway's own way to sign in, with its users.
func (g *Gateway) people() (*local.Method, error) {
	keys, err := token.OpenKeys(filepath.Join(g.Dir, "filling-keys"), "ES256")
	if err != nil {
		return nil, err
	}
	issuer, err := token.NewIssuer(token.Config{Issuer: g.Base + "/.evergate", Audience: "evergate", TTL: g.ttl(), Keys: keys})
	if err != nil {
		return nil, err
	}
	users, err := config.LoadUsers(g.users)
	if err != nil {
		return nil, err
	}
	directory, err := local.NewDirectory(local.DirectoryOptions{Load: func() (all []local.User, _ error) {
		for _, u := range users {
			all = append(all, local.User{Name: u.Name, Password: u.Password, Email: u.Email, Groups: u.Groups})
		}
		return all, nil
	}})
	if err != nil {
		return nil, err
	}
	return &local.Method{Name: "local", Users: directory, Hasher: local.NewHasher(1), Throttle: local.NewThrottle(nil), Minter: issuer}, nil
}
