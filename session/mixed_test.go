package session_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

// mixer is a store that does not hand out what was put there.
type mixer struct {
	*hoarder
	instead func(session.Key, session.Record) session.Record // nil is a good store
}

func (m *mixer) Get(ctx context.Context, k session.Key, atLeast uint64) (session.Record, error) {
	rec, err := m.hoarder.Get(ctx, k, atLeast)
	if err == nil && m.instead != nil {
		rec = m.instead(k, rec)
	}
	return rec, err
}

// TestRecordsThatTheStoreMixesUp: whoever writes to the store cannot have a cookie open somebody
// else's record, nor an older one under the number of now, nor one that was changed.
func TestRecordsThatTheStoreMixesUp(t *testing.T) {
	of := func(all []hoarded, k session.Key, same bool) session.Record {
		for _, one := range all { // the first one
			if (one.key == k) == same && len(one.rec.Meta) > 0 {
				return one.rec
			}
		}
		return session.Record{}
	}
	for name, instead := range map[string]func([]hoarded, session.Key, session.Record) session.Record{
		"somebody else's": func(all []hoarded, k session.Key, rec session.Record) session.Record {
			other := of(all, k, false)
			rec.Data, rec.Meta = other.Data, other.Meta
			return rec
		},
		"somebody else's, with its number": func(all []hoarded, k session.Key, rec session.Record) session.Record {
			other := of(all, k, false)
			rec.Data, rec.Meta, rec.Version = other.Data, other.Meta, other.Version
			return rec
		},
		"an older one under the number of now": func(all []hoarded, k session.Key, rec session.Record) session.Record {
			rec.Data = of(all, k, true).Data
			return rec
		},
		"one with a changed byte": func(_ []hoarded, _ session.Key, rec session.Record) session.Record {
			rec.Data = bytes.Clone(rec.Data)
			rec.Data[len(rec.Data)/2] ^= 1
			return rec
		},
		"an empty one": func(_ []hoarded, _ session.Key, rec session.Record) session.Record {
			rec.Data = nil
			return rec
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(b *bed) {
				b.method.rotates = true
				mixed := &mixer{hoarder: &hoarder{Store: b.store.Store}}
				b.store.Store = mixed
				alice, bob := b.signIn(), jar{}
				b.signInWith(bob, "bob")
				for range 2 {
					time.Sleep(life)
					b.mustServe(alice)
					b.mustServe(bob)
				}
				b.again() // nothing of it is in memory
				all := mixed.taken()
				mixed.instead = func(k session.Key, rec session.Record) session.Record { return instead(all, k, rec) }
				for range 2 {
					if login, err := b.get(alice); err == nil {
						b.Errorf("got %q, want nobody", login.Identity.User)
					}
				}
				mixed.instead = nil
				time.Sleep(time.Minute)
				if login, err := b.get(alice); err == nil && login.Identity.User != "alice" {
					b.Errorf("afterwards: got %q", login.Identity.User)
				}
				if login := b.mustServe(bob); login.Identity.User != "bob" {
					b.Errorf("bob: got %q", login.Identity.User)
				}
			})
		})
	}
}
