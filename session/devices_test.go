package session_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/web"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
	"github.com/evergate/evergate/session/sessiontest"
)

// deviceBed is a Manager over a real store, with people of two providers.
type deviceBed struct {
	*testing.T
	m     *session.Manager
	store session.Store
	log   bytes.Buffer
}

func newDeviceBed(t *testing.T, store session.Store) *deviceBed {
	t.Helper()
	ring, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	b := &deviceBed{T: t, store: store}
	b.m, err = session.New(session.Config{
		Store: store, Ring: ring, Methods: map[string]auth.Refresher{"local": &method{}, "corp": &method{}}, Cookie: "evergate",
		IdleTimeout: time.Hour, MaxLifetime: 24 * time.Hour, Grace: grace, MaxStale: time.Minute,
		Log: slog.New(slog.NewTextHandler(&b.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.m.Close() })
	return b
}

// signIn signs somebody in, in the browser that has j.
func (b *deviceBed) signIn(j jar, provider, subject, user, agent string) *auth.Login {
	b.Helper()
	h, r := http.Header{}, j.request("POST")
	r.Header.Set("User-Agent", agent)
	r = r.WithContext(web.WithNote(r.Context(), &web.Note{Client: netip.MustParseAddr("192.0.2.7")}))
	login := &auth.Login{AccessToken: token("t"), AuthTime: time.Now(), Identity: auth.Identity{Provider: provider, Subject: subject, User: user}}
	if err := b.m.Begin(h, r, login, false); err != nil {
		b.Fatal(err)
	}
	j.take(h)
	return b.served(j)
}

func (b *deviceBed) served(j jar) *auth.Login {
	b.Helper()
	login, err := b.m.Authenticate(j.request("GET"))
	if err != nil {
		b.Fatalf("got %v, want the request served", err)
	}
	return login
}

func (b *deviceBed) in(j jar) bool {
	_, err := b.m.Authenticate(j.request("GET"))
	return err == nil
}

func (b *deviceBed) agents(login *auth.Login) string {
	b.Helper()
	all, err := b.m.OwnDevices(b.Context(), login)
	if err != nil {
		b.Fatal(err)
	}
	var names []string
	for i, d := range all {
		if d.Current != (d.Name == login.Session.ID()) || d.Current != (i == 0) {
			b.Errorf("got current %v for %s at place %d", d.Current, d.Name, i)
		}
		if d.Address != "192.0.2.7" || d.Created.IsZero() || d.Seen.Before(d.Created) || !d.Ends.After(d.Seen) {
			b.Errorf("got %+v", d)
		}
		names = append(names, d.Agent)
	}
	return strings.Join(names, ",")
}

func TestOwnDevices(t *testing.T) {
	for name, open := range map[string]func(*testing.T) session.Store{
		"memory": func(*testing.T) session.Store { return memory.New() },
		"bolt": func(t *testing.T) session.Store {
			s, err := bolt.Open(filepath.Join(t.TempDir(), "sessions.db"), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
		"redis": func(t *testing.T) session.Store {
			server := redistest.Start(t)
			s, err := redis.Open(redis.Options{Addresses: []string{server.Address()}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			for range 1000 {
				if _, err = s.Now(t.Context()); err == nil {
					return s
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Fatal(err)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) { examineDevices(newDeviceBed(t, open(t))) })
	}
}

func examineDevices(b *deviceBed) {
	desk, phone, laptop, bob, other := jar{}, jar{}, jar{}, jar{}, jar{}
	at := b.signIn(desk, "local", "alice", "alice", "desk")
	b.signIn(phone, "local", "alice", "alice", "phone")
	b.signIn(laptop, "local", "alice", "alice", "laptop")
	theirs := b.signIn(bob, "local", "bob", "bob", "bob")
	// The same subject at another provider is somebody else, whatever they are called.
	foreign := b.signIn(other, "corp", "alice", "alice", "other")

	if got := b.agents(at); !strings.HasPrefix(got, "desk,") || len(strings.Split(got, ",")) != 3 {
		b.Errorf("got the devices %s, want desk, phone and laptop", got)
	}
	if got := b.agents(foreign); got != "other" {
		b.Errorf("at the other provider: got the devices %s", got)
	}
	for _, name := range []string{theirs.Session.ID(), foreign.Session.ID(), "nobody's", ""} {
		if n, err := b.m.EndOwn(b.Context(), at, name); n != 0 || err != nil {
			b.Errorf("ending %q, which is not theirs: got %d, %v", name, n, err)
		}
	}
	if strings.Contains(b.log.String(), "session.revoked") || !b.in(bob) || !b.in(other) {
		b.Errorf("an attempt on somebody else's session did or said something:\n%s", b.log.String())
	}

	gone := b.served(phone)
	attended, _ := gone.Session.Attend(b.Context(), func(*auth.Login) error { return nil })
	if n, err := b.m.EndOwn(b.Context(), at, gone.Session.ID()); n != 1 || err != nil {
		b.Errorf("ending the phone: got %d, %v", n, err)
	}
	select {
	case <-attended.Done():
	case <-time.After(time.Second):
		b.Error("a second later the phone's stream is still open")
	}
	if b.in(phone) || !b.in(desk) || !b.in(laptop) {
		b.Error("the phone alone was to end")
	}
	if want := "event=session.revoked session=" + gone.Session.ID() + " subject=alice provider=local reason=by_person actor=alice"; !strings.Contains(b.log.String(), want) {
		b.Errorf("got no %q in\n%s", want, b.log.String())
	}

	b.signIn(phone, "local", "alice", "alice", "phone again")
	// The same browser signs in once more: the session of before is no device any more, and
	// ends with the others.
	retired := laptop.clone()
	b.signIn(laptop, "local", "alice", "alice", "laptop again")
	if got := b.agents(at); strings.Contains(got, "laptop,") || len(strings.Split(got, ",")) != 3 {
		b.Errorf("after a further sign-in: got the devices %s", got)
	}
	if n, err := b.m.EndOthers(b.Context(), at, "password"); n != 2 || err != nil {
		b.Errorf("ending the others: got %d, %v, want 2", n, err)
	}
	if !b.in(desk) || b.in(phone) || b.in(laptop) || b.in(retired) || !b.in(bob) || !b.in(other) {
		b.Error("all of them but the one that asked were to end, and nobody else's")
	}
	if !strings.Contains(b.log.String(), "reason=password") {
		b.Errorf("got no reason in\n%s", b.log.String())
	}
	if got := b.agents(at); got != "desk" {
		b.Errorf("afterwards: got the devices %s", got)
	}
}

// TestSessionsThatAreOver: one whose time is over is kept for an hour to tell why. Nobody counts it
// among those that live, nor is told afterwards that somebody ended it.
func TestSessionsThatAreOver(t *testing.T) {
	for name, end := range map[string]func(b *deviceBed, at *auth.Login) (int, error){
		"on the account page": func(b *deviceBed, at *auth.Login) (int, error) {
			return b.m.EndOthers(b.Context(), at, "by_person")
		},
		"by the operator": func(b *deviceBed, at *auth.Login) (int, error) {
			return b.m.Revoke(b.Context(), session.Which{User: "alice"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newDeviceBed(t, memory.New())
				desk, phone := jar{}, jar{}
				at := b.signIn(desk, "local", "alice", "alice", "desk")
				old := b.signIn(phone, "local", "alice", "alice", "phone").Session.ID()
				for range 4 { // an hour is what a session may rest
					time.Sleep(20 * time.Minute)
					at = b.served(desk)
				}
				if _, n, err := b.m.Latest(b.Context(), "", 0); n != 1 || err != nil {
					t.Errorf("got %d live sessions, %v, want the desk's", n, err)
				}
				want := 0
				if name == "by the operator" {
					want = 1 // the desk's
				}
				if n, err := end(b, at); n != want || err != nil {
					t.Errorf("got %d ended, %v, want %d", n, err, want)
				}
				if said := b.log.String(); strings.Contains(said, "event=session.revoked session="+old) {
					t.Errorf("it is told that somebody ended the phone's:\n%s", said)
				}
				_ = b.m.Close()
			})
		})
	}
}

// TestDevicesOfNobody: a login without a subject or without a session has none, and ends none.
func TestDevicesOfNobody(t *testing.T) {
	b := newDeviceBed(t, memory.New())
	j := jar{}
	b.signIn(j, "local", "alice", "alice", "desk")
	nobody := &auth.Login{Identity: auth.Identity{Provider: "local"}}
	if all, err := b.m.OwnDevices(t.Context(), nobody); len(all) != 0 || err != nil {
		t.Errorf("got %v, %v", all, err)
	}
	alice := &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "alice"}}
	if n, err := b.m.EndOthers(t.Context(), alice, "by_person"); n != 0 || err == nil || !b.in(j) {
		t.Errorf("with no session that asks: got %d, %v", n, err)
	}
}

// brokenStore answers nothing that is asked by a tag, or deletes nothing.
// TestDevicesAreThoseOfNow: whoever signs in once more with the same browser has one session of it.
func TestDevicesAreThoseOfNow(t *testing.T) {
	b := newDeviceBed(t, sessiontest.NewLate(memory.New()))
	j := jar{}
	for range 2 {
		if got := b.agents(b.signIn(j, "local", "alice", "alice", "laptop")); got != "laptop" {
			t.Errorf("got the devices %s", got)
		}
	}
}

type brokenStore struct {
	session.Store
	find, drop bool
}

func (s *brokenStore) Find(ctx context.Context, tag session.Tag) ([]session.Key, error) {
	if s.find {
		return nil, errDisk
	}
	return s.Store.Find(ctx, tag)
}

func (s *brokenStore) Delete(ctx context.Context, key session.Key) error {
	if s.drop {
		return errDisk
	}
	return s.Store.Delete(ctx, key)
}

func TestDevicesWithoutTheirStore(t *testing.T) {
	store := &brokenStore{Store: memory.New()}
	b := newDeviceBed(t, store)
	desk, phone := jar{}, jar{}
	at := b.signIn(desk, "local", "alice", "alice", "desk")
	b.signIn(phone, "local", "alice", "alice", "phone")
	wantAway := func(what string, n int, err error) {
		t.Helper()
		if _, ok := errors.AsType[*auth.Unavailable](err); !ok || n != 0 {
			t.Errorf("%s: got %d, %v, want 0 and an outage", what, n, err)
		}
	}
	store.find = true
	all, err := b.m.OwnDevices(t.Context(), at)
	wantAway("list", len(all), err)
	store.find, store.drop = false, true
	n, err := b.m.EndOthers(t.Context(), at, "by_person")
	wantAway("end", n, err)
	if store.drop = false; !b.in(phone) || !b.in(desk) || strings.Contains(b.log.String(), "session.revoked") {
		t.Errorf("nothing was to end:\n%s", b.log.String())
	}
}

// slowStore takes a while for each removal, as a disk or a network does.
type slowStore struct{ session.Store }

const byPerson = "by_person" // on their account page, from another device

const removal = 20 * time.Millisecond

func (s slowStore) Delete(ctx context.Context, key session.Key) error {
	time.Sleep(removal)
	return s.Store.Delete(ctx, key)
}

// TestManyDevicesEndTogether: whoever has hundreds of sessions does not wait for each of them.
func TestManyDevicesEndTogether(t *testing.T) {
	const others = 300
	synctest.Test(t, func(t *testing.T) {
		b := newDeviceBed(t, slowStore{memory.New()})
		var old []jar
		for range others {
			j := jar{}
			b.signIn(j, "local", "alice", "alice", "script")
			old = append(old, j)
		}
		bob := jar{}
		b.signIn(bob, "local", "bob", "bob", "Bob's")
		j := jar{}
		login := b.signIn(j, "local", "alice", "alice", "Alice's")
		began := time.Now()
		n, err := b.m.EndOthers(t.Context(), login, byPerson)
		if took := time.Since(began); n != others || err != nil || took > others*removal/20 {
			t.Errorf("got %d ended, %v, after %v; want %d in a part of %v", n, err, took, others, others*removal)
		}
		for i, o := range old {
			if b.in(o) {
				t.Fatalf("device %d is signed in still", i)
			}
		}
		if !b.in(j) || !b.in(bob) {
			t.Error("somebody was signed out who was not asked about")
		}
		if n := strings.Count(b.log.String(), "a person ended a session of theirs"); n != others {
			t.Errorf("got %d lines about it, want %d", n, others)
		}
	})
}
