package session_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

// strictly is a provider that refuses a refresh token which it has seen.
type strictly struct {
	method
	seen map[string]int
	wait func(n int) time.Duration
	n    int
}

func (s *strictly) Refresh(ctx context.Context, l *auth.Login, _ string) (*auth.Login, error) {
	s.mu.Lock()
	s.n++
	n := s.n
	sent := l.RefreshToken.Reveal()
	s.seen[sent]++
	bad := s.seen[sent] > 1
	s.mu.Unlock()
	time.Sleep(s.wait(n))
	if bad {
		return nil, &auth.Refused{Reason: "invalid_grant"}
	}
	next := *l
	next.RefreshToken = secret.New("r" + string(rune('0'+n)))
	next.AccessToken = token("t" + string(rune('0'+n)))
	return &next, nil
}

// TestLeaseIsTakenBackAfterAFailover: a grant is on the wire while the store fails over
// and loses the lease. Who comes after the calm must not send the same token.
func TestLeaseIsTakenBackAfterAFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newSimDB()
		newStore := func() *simStore { return &simStore{db: db, rng: rand.New(rand.NewPCG(1, 2))} }
		sa, sb := newStore(), newStore()
		key := session.NewKey(time.Now())
		ring, _ := session.NewRing(key)
		p := &strictly{seen: map[string]int{}}
		p.wait = func(n int) time.Duration {
			return []time.Duration{6 * time.Second, 50 * time.Millisecond, 0, 0, 0}[n-1]
		}
		start := func(s session.Store) *session.Manager {
			m, err := session.New(session.Config{Store: s, Ring: ring, Methods: map[string]auth.Refresher{"local": p},
				Cookie: "__Host-Http-evergate", IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: grace, MaxStale: 10 * time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		a, b := start(sa), start(sb)
		defer a.Close()
		defer b.Close()
		sa.ep, sb.ep = 1, 1
		j, h := jar{}, http.Header{}
		login := &auth.Login{AccessToken: token("t0"), AuthTime: time.Now(), RefreshToken: secret.New("r0"),
			Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}}
		if err := a.Begin(h, j.request("POST"), login, false); err != nil {
			t.Fatal(err)
		}
		j.take(h)
		time.Sleep(life - 2*time.Minute + time.Second) // due
		if _, err := b.Authenticate(j.request("GET")); err != nil {
			t.Fatal(err) // B knows it too, and begins the renewal
		}
		time.Sleep(time.Second)
		db.goAway([]*simStore{sa, sb}, 10*time.Millisecond) // the lease is lost, nothing else
		time.Sleep(100 * time.Millisecond)
		db.comeBack()
		time.Sleep(2 * time.Second)
		_, err := a.Authenticate(j.request("GET"))
		t.Logf("at A: %v", err)
		time.Sleep(20 * time.Second)
		p.mu.Lock()
		t.Logf("sent: %v", p.seen)
		if p.seen["r0"] > 1 {
			t.Errorf("refresh token r0 was sent %d times", p.seen["r0"])
		}
		p.mu.Unlock()
		if _, err := a.Authenticate(j.request("GET")); err != nil {
			var d *auth.Detour
			if !errors.As(err, &d) {
				t.Errorf("honest browser: %v", err)
			}
		}
	})
}

// TestRevocationDuringAnOutageSaysSo: sessions that cannot be looked at are not none.
func TestRevocationDuringAnOutageSaysSo(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.store.read.Store(true) // Get fails, Find does not: redis isDown, 500 ms after any timeout
		n, err := b.m.Revoke(context.Background(), session.Which{User: "alice"})
		b.store.read.Store(false)
		if _, e := b.get(j); e == nil && err == nil {
			b.Errorf("revoked %d, %v, and the session is alive: want an outage", n, err)
		}
	})
}

// TestGatewayWithoutTheProviderEndsNothing: others on the store may have a newer config.
func TestGatewayWithoutTheProviderEndsNothing(t *testing.T) {
	run(t, func(b *bed) {
		b.store.epoch.Store(1)
		m, err := session.New(session.Config{Store: b.store, Ring: b.ring, Methods: map[string]auth.Refresher{"old": b.method},
			Cookie: "__Host-Http-evergate", IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: grace})
		if err != nil {
			b.Fatal(err)
		}
		j := b.signIn()
		_, err = m.Authenticate(j.request("GET")) // a gateway that has not got the new config yet
		b.Logf("there: %v", err)
		if err := m.Close(); err != nil {
			b.Error(err)
		}
		time.Sleep(time.Second)
		login, err := b.get(j)
		b.Logf("at the gateway of the sign-in: %v %v", login != nil, err)
		if err != nil {
			b.Errorf("at the gateway of the sign-in: %v", err)
		}
	})
}
