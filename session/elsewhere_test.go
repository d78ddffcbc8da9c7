package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/session"
)

// TestGatewayWithAnOlderUsersFileEndsNothing: somebody who was added a moment ago signs in
// at one gateway, and comes to another that has not got the file yet. That is an outage
// there and for a while; at the gateway that knows them nothing happens, and neither
// where the file comes. What the two do know ends sessions at once, for all.
func TestGatewayWithAnOlderUsersFileEndsNothing(t *testing.T) {
	unknown := &auth.Refused{Reason: "no such user any more", Here: true}
	run(t, func(b *bed) {
		b.store.epoch.Store(1) // shared
		behind := &method{check: unknown, err: unknown}
		there, err := session.New(session.Config{Store: b.store, Ring: b.ring, Methods: map[string]auth.Refresher{"local": behind},
			Cookie: "__Host-Http-evergate", IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: grace, MaxStale: 10 * time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		defer there.Close()
		j := b.signIn()
		for range 3 {
			_, err = there.Authenticate(j.request("GET"))
			if u, ok := errors.AsType[*auth.Unavailable](err); !ok || u.RetryAfter <= 0 {
				b.Errorf("at the gateway that is behind: got %v, want an outage that says when to come again", err)
			}
			time.Sleep(10 * time.Second)
		}
		b.mustServe(j)
		behind.set(func(m *method) { m.check = nil })
		if _, err := there.Authenticate(j.request("GET")); err != nil {
			b.Errorf("once the file is there: %v", err)
		}
		behind.set(func(m *method) { m.check = unknown })
		if _, err := there.Authenticate(j.request("GET")); !isOutage(err) {
			b.Errorf("another time: got %v, want an outage", err)
		}
		time.Sleep(2 * time.Minute)
		_, err = there.Authenticate(j.request("GET"))
		if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Reason != auth.Withdrawn || len(absent.Clear) > 0 {
			b.Errorf("where it does not come: got %v, want nobody, and the cookie kept", err)
		}
		b.mustServe(j)

		// A renewal that only the gateway behind is asked for: it passed the check, and the
		// file of before came back.
		behind.set(func(m *method) { m.check = nil })
		time.Sleep(life - 2*time.Minute)
		_, _ = there.Authenticate(j.request("GET"))
		time.Sleep(time.Second)
		if behind.calls() == 0 {
			b.Fatal("no renewal was tried")
		}
		b.mustServe(j)

		behind.set(func(m *method) { m.check = &auth.Refused{Reason: "disabled"} })
		_, err = there.Authenticate(j.request("GET"))
		if _, ok := errors.AsType[*auth.Absent](err); !ok {
			b.Errorf("disabled there: got %v, want nobody", err)
		}
		if _, err := b.get(j); err == nil {
			b.Error("disabled at one gateway, and served by the other")
		}
	})
}

// TestUnknownUserOfOneGateway has no other one to be known at.
func TestUnknownUserOfOneGateway(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		b.method.set(func(m *method) { m.check = &auth.Refused{Reason: "no such user any more", Here: true} })
		if _, err := b.get(j); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("got %v, want nobody", err)
		}
		b.method.set(func(m *method) { m.check = nil })
		if _, err := b.get(j); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("got %v, want the session ended", err)
		}
	})
}

func isOutage(err error) bool {
	_, ok := errors.AsType[*auth.Unavailable](err)
	return ok
}
