package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
)

// TestBook: in every store, edits by two gateways at once are all there, a note is taken by one
// alone, names tell nothing, what was resealed outlives its key, and what was not is an outage and not "nothing".
func TestBook(t *testing.T) {
	t.Parallel()
	type stores func(t *testing.T) (a, b session.Store)
	for name, open := range map[string]stores{
		"memory": func(*testing.T) (a, b session.Store) { s := memory.New(); return s, s },
		"bolt": func(t *testing.T) (a, b session.Store) {
			s, err := bolt.Open(filepath.Join(t.TempDir(), "book.db"), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s, s
		},
		"redis": func(t *testing.T) (a, b session.Store) {
			server := redistest.Start(t)
			connect := func() session.Store {
				s, err := redis.Open(redis.Options{Addresses: []string{server.Address()}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = s.Close() })
				return s
			}
			return connect(), connect()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s1, s2 := open(t)
			older, newer := session.NewKey(time.Now()), session.NewKey(time.Now())
			ring := func(keys ...secret.Text) *session.Ring {
				r, err := session.NewRing(keys...)
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			ours := ring(older)
			books := []*credential.Book{buildBook(s1, ours), buildBook(s2, ours)}
			for _, s := range []session.Store{s1, s2} { // a client connects beside
				for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
					if _, err := s.Now(t.Context()); err == nil {
						break
					}
				}
			}
			if r, err := books[0].Load(t.Context(), "alice"); err != nil || r.HasSecond() {
				t.Errorf("somebody who has nothing: got %+v, %v", r, err)
			}
			const edits = 8
			inParallel(edits, func(i int) int {
				err := books[i%2].Edit(t.Context(), "alice", func(r *credential.Record) error {
					r.Passkeys = append(r.Passkeys, credential.Passkey{ID: []byte{byte(i)}, Data: []byte("{}")})
					return nil
				})
				if err != nil {
					t.Errorf("edit: %v", err)
				}
				return 0
			})
			stop := errors.New("that is not to be")
			if err := books[1].Edit(t.Context(), "alice", func(r *credential.Record) error { r.Passkeys = nil; return stop }); err != stop {
				t.Errorf("an edit that thinks better of it: got %v", err)
			}
			for i, b := range books {
				if r, err := b.Load(t.Context(), "alice"); err != nil || len(r.Passkeys) != edits {
					t.Fatalf("book %d: got %+v, %v, want %d edits", i, r, err, edits)
				}
				if r, err := b.Load(t.Context(), "Alice"); err != nil || r.HasSecond() {
					t.Errorf("somebody of another name: got %+v, %v", r, err)
				}
			}

			if err := books[0].PutNote(t.Context(), "invite", "code", []byte("alice"), time.Hour); err != nil {
				t.Fatal(err)
			}
			if got, err := books[1].Note(t.Context(), "invite", "code"); err != nil || string(got) != "alice" {
				t.Errorf("the note: got %q, %v", got, err)
			}
			taken := inParallel(edits, func(i int) int {
				got, err := books[i%2].TakeNote(t.Context(), "invite", "code")
				if err != nil {
					t.Errorf("take a note: %v", err)
				}
				return len(got)
			})
			if taken[len("alice")] != 1 || taken[0] != edits-1 {
				t.Errorf("a note that is taken by eight at once: got %v, want it once", taken)
			}

			// Recovery codes go with the last factor, whatever that was.
			for _, change := range []func(*credential.Record){
				func(r *credential.Record) {
					r.Passkeys, r.Recovery = []credential.Passkey{{ID: []byte("one")}}, []credential.Recovery{{Digest: []byte("digest")}}
				},
				func(r *credential.Record) { r.Passkeys = nil },
			} {
				if err := books[0].Edit(t.Context(), "bob", func(r *credential.Record) error { change(r); return nil }); err != nil {
					t.Fatal(err)
				}
				want := credential.Record{}
				change(&want)
				r, err := books[1].Load(t.Context(), "bob")
				if err != nil || (len(r.Recovery) == 1) != r.HasSecond() {
					t.Errorf("got %+v, %v, want recovery codes where there is a factor", r, err)
				}
			}

			// The ring gets another key, everything is sealed by it, and the old one goes.
			both := buildBook(s1, ring(newer, older))
			if err := both.Reseal(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
			if r, err := buildBook(s1, ring(newer)).Load(t.Context(), "alice"); err != nil || len(r.Passkeys) != edits {
				t.Errorf("by the newer key alone: got %+v, %v", r, err)
			}
			if r, err := buildBook(s1, ring(older)).Load(t.Context(), "alice"); err == nil {
				t.Errorf("by a key that it is not sealed by: got %+v, want an outage", r)
			}
		})
	}
}

// seenStore keeps what is put into it.
type seenStore struct {
	session.Store
	keys *[][]byte
}

func (s seenStore) Put(ctx context.Context, k session.Key, prev uint64, rec session.Record) error {
	*s.keys = append(*s.keys, k[:], rec.Data)
	return s.Store.Put(ctx, k, prev, rec)
}

// TestBookTellsNothing: neither a name nor a secret is in a copy of the store.
func TestBookTellsNothing(t *testing.T) {
	t.Parallel()
	store := seenStore{Store: memory.New(), keys: &[][]byte{}}
	ring, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	err = buildBook(store, ring).Edit(t.Context(), "alice", func(r *credential.Record) error {
		r.Authenticator = &credential.Authenticator{Secret: []byte("a secret of an app")}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"alice", "a secret of an app", "YSBzZWNyZXQ"} {
		if slices.ContainsFunc(*store.keys, func(b []byte) bool { return bytes.Contains(b, []byte(word)) }) {
			t.Errorf("%q is in the store", word)
		}
	}
	if len(*store.keys) < 4 {
		t.Errorf("got %d values, want the salt and the record with their keys", len(*store.keys))
	}
}
