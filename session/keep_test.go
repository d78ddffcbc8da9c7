package session_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/sessiontest"
)

// endings is what Ended was told.
type endings struct {
	mu  sync.Mutex
	all []map[string][]byte
}

func (e *endings) hear(_ context.Context, kept map[string][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, kept)
}

func (e *endings) heard() []map[string][]byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all
}

// listen starts the gateway anew, with somebody who is told of ends.
func (b *bed) listen() *endings {
	b.Helper()
	heard := &endings{}
	if err := b.m.Close(); err != nil {
		b.Fatal(err)
	}
	b.m = b.another(heard.hear)
	return heard
}

// another is one more gateway on the same store.
func (b *bed) another(ended func(context.Context, map[string][]byte)) *session.Manager {
	b.Helper()
	m, err := session.New(session.Config{
		Store: b.store, Ring: b.ring, Methods: map[string]auth.Refresher{"local": b.method}, Cookie: "__Host-Http-evergate",
		IdleTimeout: 12 * time.Hour, MaxLifetime: 72 * time.Hour, Grace: grace, MaxStale: 10 * time.Minute, Ended: ended,
	})
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func mustKeep(t *testing.T, s auth.Session, name, value string, version uint64) {
	t.Helper()
	if err := s.Keep(t.Context(), name, []byte(value), version); err != nil {
		t.Fatalf("keep %s as version %d: %v", name, version+1, err)
	}
}

func wantKept(t *testing.T, s auth.Session, name, want string, wantVersion uint64) {
	t.Helper()
	got, version, err := s.Kept(t.Context(), name, 0)
	if err != nil || string(got) != want || version != wantVersion {
		t.Errorf("%s: got %q, version %d, %v; want %q, %d", name, got, version, err, want, wantVersion)
	}
}

// TestKeptThingsAreSharedAndJudged: gateways on one store see each other's, and of two
// who write at once one is told.
func TestKeptThingsAreSharedAndJudged(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		here := b.mustServe(j).Session
		wantKept(t, here, "jar", "", 0)
		mustKeep(t, here, "jar", "one", 0)
		wantKept(t, here, "jar", "one", 1)
		wantKept(t, here, "other", "", 0)

		second := b.another(nil)
		defer second.Close()
		login, err := second.Authenticate(j.request("GET"))
		if err != nil {
			t.Fatal(err)
		}
		there := login.Session
		wantKept(t, there, "jar", "one", 1)
		mustKeep(t, there, "jar", "two", 1)
		if err := here.Keep(t.Context(), "jar", []byte("late"), 1); !errors.Is(err, auth.ErrChanged) {
			t.Errorf("a late write: got %v, want ErrChanged", err)
		}
		wantKept(t, here, "jar", "two", 2)

		if err := here.Keep(t.Context(), "jar", make([]byte, auth.MaxKept+1), 2); err == nil {
			t.Error("more than MaxKept was kept")
		}
		k := b.signIn()
		wantKept(t, b.mustServe(k).Session, "jar", "", 0)
	})
}

// TestAppsAreLeftWithWhatIsKeptNow: who is told of an end is not given older cookies of an app.
func TestAppsAreLeftWithWhatIsKeptNow(t *testing.T) {
	run(t, func(b *bed) {
		heard := b.listen()
		b.store.Store = sessiontest.NewLate(b.store.Store)
		j := b.signIn()
		s := b.mustServe(j).Session
		mustKeep(t, s, "jar", "app=1", 0)
		wantKept(t, s, "jar", "app=1", 1)
		mustKeep(t, s, "jar", "app=2", 1)
		if _, err := b.m.End(map[string][]string{}, j.request("POST")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if all := heard.heard(); len(all) != 1 || string(all[0]["jar"]) != "app=2" {
			t.Errorf("was told %q", all)
		}
	})
}

// TestKeptThingsEndWithTheirSession, on whichever gateway it is ended; and only the
// one that has opened it can tell what they were.
func TestKeptThingsEndWithTheirSession(t *testing.T) {
	run(t, func(b *bed) {
		heard := b.listen()
		dump := &hoarder{Store: b.store.Store}
		b.store.Store = dump
		left := func() (n int) {
			for _, one := range dump.all {
				if _, err := dump.Get(t.Context(), one.key, 0); err == nil && len(one.rec.Meta) == 0 {
					n++
				}
			}
			return n
		}
		j := b.signIn()
		mustKeep(t, b.mustServe(j).Session, "jar", "app=1", 0)
		mustKeep(t, b.mustServe(j).Session, "other", "app=2", 0)
		open := b.mustServe(j).Session
		if left() != 2 {
			t.Fatalf("%d things lie in the store, want 2", left())
		}
		if _, err := b.m.End(map[string][]string{}, j.request("POST")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if left() != 0 {
			t.Errorf("%d things outlive their session", left())
		}
		if all := heard.heard(); len(all) != 1 || string(all[0]["jar"]) != "app=1" || string(all[0]["other"]) != "app=2" {
			t.Errorf("got %q, want to hear of both", all)
		}
		if _, _, err := open.Kept(t.Context(), "jar", 0); !errors.Is(err, auth.ErrAnonymous) {
			t.Errorf("after the end: got %v, want nobody signed in", err)
		}
		if err := open.Keep(t.Context(), "jar", []byte("late"), 0); !errors.Is(err, auth.ErrAnonymous) || left() != 0 {
			t.Errorf("kept after the end: got %v and %d things, want nobody signed in", err, left())
		}

		// From elsewhere, by somebody who does not have the cookie.
		j = b.signIn()
		mustKeep(t, b.mustServe(j).Session, "jar", "app=3", 0)
		second := b.another(heard.hear)
		defer second.Close()
		if n, err := second.EndAll(t.Context(), "local", "alice", ""); err != nil || n != 1 {
			t.Fatalf("ended %d, %v, want 1", n, err)
		}
		time.Sleep(time.Second)
		if left() != 0 || len(heard.heard()) != 1 {
			t.Errorf("%d things are left, and %d ends were heard of; want 0 and still 1", left(), len(heard.heard()))
		}
		// By the command, straight in the store.
		j = b.signIn()
		mustKeep(t, b.mustServe(j).Session, "jar", "app=4", 0)
		ledger := session.Ledger{Store: b.store, Ring: b.ring}
		if n, err := ledger.Revoke(t.Context(), session.Which{User: "alice"}); err != nil || n != 1 || left() != 0 {
			t.Errorf("revoked %d, %v, %d things are left; want 1 and none", n, err, left())
		}
	})
}

// TestKeptThingsLiveAsLongAsTheirSession, used now and then, and expire with one that
// nobody uses.
func TestKeptThingsLiveAsLongAsTheirSession(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		mustKeep(t, b.mustServe(j).Session, "jar", "app=1", 0)
		for range 5 {
			time.Sleep(9 * time.Hour)
			got, _, err := b.mustServe(j).Session.Kept(t.Context(), "jar", 0)
			if err != nil || string(got) != "app=1" {
				t.Fatalf("got %q, %v in a session in use, want it kept", got, err)
			}
		}
		session := b.mustServe(j).Session
		time.Sleep(14 * time.Hour)
		if got, _, _ := session.Kept(t.Context(), "jar", 0); len(got) != 0 {
			t.Errorf("got %q of a session that nobody used, want nothing", got)
		}
	})
}

// TestKeptThingsOutlastAnOutage as far as they were read before.
func TestKeptThingsOutlastAnOutage(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		session := b.mustServe(j).Session
		mustKeep(t, session, "jar", "app=1", 0)
		b.store.read.Store(true)
		b.store.write.Store(true)
		wantKept(t, session, "jar", "app=1", 1)
		var down *auth.Unavailable
		if _, _, err := session.Kept(t.Context(), "other", 0); !errors.As(err, &down) {
			t.Errorf("never read: got %v, want it unavailable", err)
		}
		if err := session.Keep(t.Context(), "jar", []byte("x"), 1); !errors.As(err, &down) {
			t.Errorf("keep: got %v, want it unavailable", err)
		}
	})
}

// TestDumpHasNoKeptThing: neither the store nor the key ring opens what a session
// keeps, and it cannot be moved or put back.
func TestDumpHasNoKeptThing(t *testing.T) {
	run(t, func(b *bed) {
		dump := &hoarder{Store: b.store.Store}
		b.store.Store = dump
		j := b.signIn()
		s := b.mustServe(j).Session
		mustKeep(t, s, "jar of the wiki", "PHPSESSID=opensesame", 0)
		mustKeep(t, s, "jar of the wiki", "PHPSESSID=opensesame2", 1)
		seen := 0
		for _, one := range dump.all {
			lying := bytes.Join([][]byte{one.key[:], one.rec.Meta, one.rec.Data}, nil)
			for _, word := range []string{"opensesame", "PHPSESSID", "wiki"} {
				if bytes.Contains(lying, []byte(word)) {
					t.Errorf("%q lies in the store in the clear", word)
				}
			}
			if len(one.rec.Meta) > 0 {
				continue
			}
			seen++
			for _, purpose := range []string{"handle", "probe", "meta", "vault", "chunk", ""} {
				if plain, _, err := b.ring.OpenBlob(purpose, one.key[:], one.rec.Data); err == nil {
					t.Errorf("the ring opens %d bytes of it as %q", len(plain), purpose)
				}
			}
			if one.rec.Version == 1 { // an old one, put back as a new version
				old := one.rec
				old.Version = 3
				if err := dump.Store.Put(t.Context(), one.key, 2, old); err != nil {
					t.Fatal(err)
				}
			}
		}
		if seen != 2 {
			t.Fatalf("%d kept things in the dump, want 2", seen)
		}
		wantKept(t, s, "jar of the wiki", "", 3) // an old one that was put back says nothing
		mustKeep(t, s, "jar of the wiki", "PHPSESSID=opensesame3", 3)
		wantKept(t, s, "jar of the wiki", "PHPSESSID=opensesame3", 4)
	})
}

func TestStatelessKeepsInMemory(t *testing.T) {
	heard := &endings{}
	runCookie(t, func(b *cookieBed) {
		b.cfg.Ended = heard.hear
		b.restart()
		j := b.signIn()
		s := b.mustServe(j, "token-0").Session
		wantKept(t, s, "jar", "", 0)
		mustKeep(t, s, "jar", "app=1", 0)
		wantKept(t, b.mustServe(j, "token-0").Session, "jar", "app=1", 1)
		if err := s.Keep(t.Context(), "jar", []byte("late"), 0); !errors.Is(err, auth.ErrChanged) {
			t.Errorf("a late write: got %v, want ErrChanged", err)
		}
		if err := s.Keep(t.Context(), "jar", make([]byte, auth.MaxKept+1), 1); err == nil {
			t.Error("more than MaxKept was kept")
		}
		for _, cookie := range j {
			if strings.Contains(cookie, "app=1") {
				t.Error("it lies in the browser")
			}
		}
		if _, err := b.s.End(map[string][]string{}, j.request("POST")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if all := heard.heard(); len(all) != 1 || string(all[0]["jar"]) != "app=1" {
			t.Errorf("got %q, want to hear of it", all)
		}
		if _, _, err := s.Kept(t.Context(), "jar", 0); !errors.Is(err, auth.ErrAnonymous) {
			t.Errorf("after the end: got %v, want nobody signed in", err)
		}
	})
}
