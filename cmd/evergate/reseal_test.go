package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
)

// TestResealing: within a minute of another key sealing, what is kept of users is sealed by it, and
// within a day what a gateway with the old one has written since. While the store is away it is
// told once a minute, and done as soon as that is back.
func TestResealing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, third := session.NewKey(time.Now()), session.NewKey(time.Now()), session.NewKey(time.Now())
		ring, err := session.NewRing(first)
		if err != nil {
			t.Fatal(err)
		}
		people, err := local.NewDirectory(local.DirectoryOptions{Load: func() ([]local.User, error) {
			return []local.User{{Name: "alice", Password: testHash}, {Name: "bob", Password: testHash}}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer people.Close()
		store, told := awayStore{memory.New(), &atomic.Bool{}}, &bytes.Buffer{}
		life, end := context.WithCancel(t.Context())
		g := &gateway{store: store, ring: ring, log: slog.New(slog.NewTextHandler(told, nil)), life: life,
			book: buildBook(store, ring), board: buildBoard(parts{}, store, ring)}
		g.current.Store(&edition{users: &users{Directory: people}})
		enrol(t, g.book, "alice")
		ended := make(chan struct{})
		go func() { defer close(ended); g.reseal() }()
		after := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		opens := func(user, how string) {
			t.Helper()
			if r, err := g.book.Load(t.Context(), user); err != nil || len(r.Passkeys) != 1 {
				t.Errorf("%s: got %+v, %v of %s", how, r, err, user)
			}
			if note, err := g.book.Note(t.Context(), "handle", "a handle of "+user); err != nil || string(note) != user {
				t.Errorf("%s: got the note %q, %v", how, note, err)
			}
		}
		replace := func(keys ...secret.Text) {
			t.Helper()
			if err := ring.Replace(keys...); err != nil {
				t.Fatal(err)
			}
		}

		after(time.Second)
		replace(second, first)
		after(resealLook)
		replace(second)
		opens("alice", "a minute after another key sealed")

		replace(first, second)
		enrol(t, g.book, "bob") // at a gateway that has read its keys later
		replace(second, first)
		after(resealEvery + resealLook)
		replace(second)
		opens("bob", "a day after one came from elsewhere")

		store.away.Store(true)
		replace(third, second)
		after(3 * resealLook)
		if n := strings.Count(told.String(), "users.reseal_failed"); n != 3 || strings.Contains(told.String(), "handle of") {
			t.Errorf("three minutes without the store: told %d times\n%s", n, told)
		}
		store.away.Store(false)
		after(resealLook)
		replace(third)
		opens("alice", "a minute after the store came back")
		opens("bob", "a minute after the store came back")

		end()
		<-ended
	})
}
