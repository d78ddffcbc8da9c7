package session_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
)

// TestSignalsWhileTheStoreIsOutOfOrder: nobody is signed out by an outage, nor is anybody let in
// by one who was to sign in again.
func TestSignalsWhileTheStoreIsOutOfOrder(t *testing.T) {
	run(t, func(k *bed) {
		b := &riskBed{keyBed: k.keys()}
		b.does(session.Risks{NewNetwork: session.Tell, ChangedBrowser: session.StepUp})
		j := b.signInAt(jar{}, home)
		b.served(j, home)

		k.store.write.Store(true)
		b.served(j, office, home, office) // told of, and remembered here
		b.tells("new_network")
		var away *auth.Unavailable
		if _, err := b.ask(j, place{chrome, home.address}); !errors.As(err, &away) {
			b.Fatalf("got %v, want that it cannot be told now", err)
		}
		b.served(j, home)
		b.tells()

		k.store.write.Store(false)
		b.absent(j, place{chrome, home.address}, auth.Suspected)
		b.tells("changed_browser")
		k.store.read.Store(true)
		if _, err := b.ask(j, home); !errors.As(err, &away) {
			b.Errorf("got %v, want that it cannot be told now", err)
		}
		k.store.read.Store(false)
		b.absent(j, home, auth.Suspected)
	})
}

// TestOtherGatewaySeesTheSignal: what one gateway found, another on the same store goes by.
func TestOtherGatewaySeesTheSignal(t *testing.T) {
	run(t, func(k *bed) {
		b := &riskBed{keyBed: k.keys()}
		b.does(each(session.StepUp))
		j := b.signInAt(jar{}, home)
		b.served(j, home)
		other, err := session.New(session.Config{Store: k.store, Ring: k.ring, Methods: map[string]auth.Refresher{"local": k.method}, Cookie: "__Host-Http-evergate",
			IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: grace, Risks: each(session.StepUp), Heard: k.hear})
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		if _, err := other.Authenticate(home.request(j, "GET")); err != nil {
			b.Fatal(err)
		}
		b.absent(j.clone(), place{chrome, home.address}, auth.Suspected)
		_, err = other.Authenticate(home.request(j, "GET"))
		if absent, ok := errors.AsType[*auth.Absent](err); !ok || absent.Reason != auth.Suspected {
			b.Errorf("got %v, want that the session has to be signed in again", err)
		}
		b.tells("changed_browser")
	})
}

// TestSignalsCostNothing: a request that comes from where the one before came from allocates no
// more than one that nobody looks at.
func TestSignalsCostNothing(t *testing.T) {
	costs := func(risks session.Risks) float64 {
		m, r := watched(t, risks)
		return testing.AllocsPerRun(500, func() {
			if _, err := m.Authenticate(r); err != nil {
				t.Fatal(err)
			}
		})
	}
	if with, without := costs(each(session.StepUp)), costs(session.Risks{}); with != without {
		t.Errorf("got %v allocations with risk signals, and %v without", with, without)
	}
}

// watched is a Manager, and a request with a session that has been used from there before.
func watched(tb testing.TB, risks session.Risks) (*session.Manager, *http.Request) {
	tb.Helper()
	ring, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		tb.Fatal(err)
	}
	m, err := session.New(session.Config{Store: memory.New(), Ring: ring, Methods: map[string]auth.Refresher{"local": &method{}}, Cookie: "evergate",
		IdleTimeout: time.Hour, MaxLifetime: 24 * time.Hour, Grace: grace, Risks: risks})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = m.Close() })
	j, h := jar{}, http.Header{}
	login := &auth.Login{AccessToken: token("t"), AuthTime: time.Now(), Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}}
	if err := m.Begin(h, home.request(j, "POST"), login, false); err != nil {
		tb.Fatal(err)
	}
	j.take(h)
	r := home.request(j, "GET")
	if _, err := m.Authenticate(r); err != nil {
		tb.Fatal(err)
	}
	return m, r
}

func BenchmarkAuthenticate(b *testing.B) {
	for name, risks := range map[string]session.Risks{"looked at": each(session.Tell), "not looked at": {}} {
		b.Run(name, func(b *testing.B) {
			m, r := watched(b, risks)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Authenticate(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSignals is what risk signals cost a request that comes from where the one before came
// from.
func BenchmarkSignals(b *testing.B) {
	r := home.request(jar{}, "GET")
	b.ReportAllocs()
	if !session.FromTheSamePlace(r, b.N) {
		b.Error("it comes from elsewhere")
	}
}
