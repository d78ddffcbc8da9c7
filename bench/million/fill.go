package main

import (
	"context"
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
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
	"github.com/evergate/evergate/token"
)

const (
	user, password = "alice", "a few words in a row"
	ttl            = time.Hour // of access tokens: none is renewed while it is measured
	writers        = 512       // twice a batch: while one is written the next comes together
	// A Manager keeps what it began in memory for a while. Each of these is closed
	// before the next is made.
	perManager = 50_000
)

// fill signs in once, with a password, and begins n sessions of that sign-in
// where the gateway will look for them. It returns the cookies of some of them,
// spread over all.
func fill(ctx context.Context, g *gateway, n, samples int) ([]*http.Cookie, error) {
	key, err := os.ReadFile(g.key)
	if err != nil {
		return nil, err
	}
	ring, err := session.NewRing(secret.New(string(key)))
	if err != nil {
		return nil, err
	}
	method, err := people(g)
	if err != nil {
		return nil, err
	}
	defer method.Users.Close()
	login, err := method.Login(ctx, netip.MustParseAddr("127.0.0.1"), user, password)
	if err != nil {
		return nil, err
	}
	store, err := bolt.Open(filepath.Join(g.data, "sessions.db"), nil)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	cookies := make([]*http.Cookie, samples)
	for from := 0; from < n; from += perManager {
		m, err := session.New(session.Config{
			Store: store, Ring: ring, Methods: map[string]auth.Refresher{method.Name: method},
			Cookie: session.CookieName(false, g.port), Insecure: true,
			IdleTimeout: 12 * time.Hour, MaxLifetime: 720 * time.Hour, Grace: time.Minute, MaxStale: 10 * time.Minute,
		})
		if err != nil {
			return nil, err
		}
		err = begin(ctx, g, m, login, from, min(from+perManager, n), func(i int, c *http.Cookie) {
			if at := i * samples / n; (i+1)*samples/n > at {
				cookies[at] = c
			}
		})
		if cerr := m.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, err
		}
	}
	return cookies, store.Close()
}

// begin begins the sessions from to to.
func begin(ctx context.Context, g *gateway, m *session.Manager, login *auth.Login, from, to int, keep func(int, *http.Cookie)) error {
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
				r, err := http.NewRequestWithContext(ctx, "POST", g.base+"/.evergate/login", nil)
				if err != nil {
					cancel(err)
					return
				}
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
				keep(i, &http.Cookie{Name: c.Name, Value: c.Value})
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// people is the gateway's own way to sign in, with its users and signing keys.
func people(g *gateway) (*local.Method, error) {
	keys, err := token.OpenKeys(filepath.Join(g.data, "signing-keys"), "ES256")
	if err != nil {
		return nil, err
	}
	issuer, err := token.NewIssuer(token.Config{Issuer: g.base + "/.evergate", Audience: "evergate", TTL: ttl, Keys: keys})
	if err != nil {
		return nil, err
	}
	users, err := config.LoadUsers(g.users)
	if err != nil {
		return nil, err
	}
	if len(users) != 1 {
		return nil, fmt.Errorf("got %d users, want one", len(users))
	}
	directory, err := local.NewDirectory(local.DirectoryOptions{Load: func() ([]local.User, error) {
		u := users[0]
		return []local.User{{Name: u.Name, Password: u.Password, Email: u.Email, Groups: u.Groups}}, nil
	}})
	if err != nil {
		return nil, err
	}
	return &local.Method{Name: "local", Users: directory, Hasher: local.NewHasher(1), Throttle: local.NewThrottle(nil), Minter: issuer}, nil
}
