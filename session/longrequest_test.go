package session_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/session"
)

// TestStreamOfALongRequestObeys: an upload took longer than an entry is kept that nobody
// uses, and its answer is a stream.
func TestStreamOfALongRequestObeys(t *testing.T) {
	run(t, func(b *bed) {
		b.store.epoch.Store(1)
		j, h := jar{}, http.Header{}
		in := &auth.Login{AccessToken: token("t0"), AuthTime: time.Now(), Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}}
		in.AccessToken.Expires = time.Now().Add(2 * time.Hour)
		if err := b.m.Begin(h, j.request("POST"), in, false); err != nil {
			b.Fatal(err)
		}
		j.take(h)
		login := b.mustServe(j)
		time.Sleep(11*time.Minute + 2*time.Second) // the upload
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		looks := 0
		stream, _ := login.Session.Attend(ctx, func(*auth.Login) error {
			if looks++; looks > 5000 {
				b.Error("5000 looks at one stream: it spins")
				stop()
			}
			return nil
		})
		time.Sleep(time.Second)
		if _, err := b.m.End(http.Header{}, j.request("POST")); err != nil {
			b.Fatal(err)
		}
		time.Sleep(time.Hour)
		if stream.Err() == nil {
			b.Error("the stream of a signed-out session is open after 1 h")
		}
	})
}

// countLeases counts how often a lease is asked for.
type countLeases struct {
	session.Store
	n atomic.Int64
}

func (c *countLeases) Lease(ctx context.Context, k session.Key, h session.Holder, ttl time.Duration) (session.Leased, error) {
	if c.n.Add(1) > 5000 {
		<-ctx.Done()
		return session.Leased{}, ctx.Err()
	}
	return c.Store.Lease(ctx, k, h, ttl)
}

// TestStreamOfALongRequestRenewsOnce: it is the entry of now that the renewal teaches.
func TestStreamOfALongRequestRenewsOnce(t *testing.T) {
	run(t, func(b *bed) {
		c := &countLeases{Store: b.store.Store}
		b.store.Store = c
		j := b.signIn()
		login := b.mustServe(j)
		time.Sleep(11*time.Minute + 2*time.Second)
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		_, _ = login.Session.Attend(ctx, func(*auth.Login) error { return nil })
		time.Sleep(5 * time.Second)
		if n := c.n.Load(); n > 100 {
			b.Errorf("%d leases asked for within 5 s by one stream", n)
		}
		stop()
	})
}

// TestSilentStreamAtItsIdleEnd: it waits for the same moment that ends it.
func TestSilentStreamAtItsIdleEnd(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		time.Sleep(10 * time.Minute)
		login := b.mustServe(j)
		var looks atomic.Int64
		last := time.Now()
		stream, _ := login.Session.Attend(context.Background(), func(*auth.Login) error { looks.Add(1); return nil })
		time.Sleep(11*time.Hour + 59*time.Minute)
		before := looks.Load()
		for stream.Err() == nil && time.Since(last) < 13*time.Hour {
			time.Sleep(time.Second)
		}
		if n := looks.Load() - before; n > 100 || stream.Err() == nil {
			b.Errorf("%d looks in the last minutes, closed: %v after %v", n, stream.Err(), time.Since(last))
		}
	})
}
