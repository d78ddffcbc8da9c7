package main

import (
	"context"
	"errors"
	"time"

	"github.com/evergate/evergate/session"
)

// resealEvery is how often what is kept of users is looked through, besides as another key begins
// to seal: a user may have come whose record another gateway sealed. Keys stay on the ring for
// longer than that (docs/key-rotation.md).
const (
	resealEvery = 24 * time.Hour
	resealLook  = time.Minute // how often somebody looks whether another key seals
)

// reseal seals by the key that seals now what is kept for longer than keys are: credentials and
// passwords of users. It goes on until the gateway is closed.
func (g *gateway) reseal() {
	var sealedBy string
	var next time.Time
	tick := time.NewTicker(resealLook)
	defer tick.Stop()
	for {
		key := g.ring.Sealing()
		if now := time.Now(); key != sealedBy || !now.Before(next) {
			if err := g.resealNow(g.life); err == nil {
				sealedBy, next = key, now.Add(resealEvery)
			} else if g.life.Err() == nil {
				g.log.Warn("what is kept of users could not be sealed by the key that seals now; it is tried again", "event", "users.reseal_failed", "err", err)
			}
		}
		select {
		case <-g.life.Done():
			return
		case <-tick.C:
		}
	}
}

// resealNow goes through the users of now. One whose record does not open keeps nobody else's from
// being sealed.
func (g *gateway) resealNow(ctx context.Context) (err error) {
	e := g.current.Load()
	if e == nil || e.users == nil || g.board == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, resealEvery/2)
	defer cancel()
	err = session.Vault{Store: g.store, Ring: g.ring}.Reseal(ctx, besideUsers)
	for _, user := range e.users.Names() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err = errors.Join(err, g.book.Reseal(ctx, user))
	}
	return err
}
