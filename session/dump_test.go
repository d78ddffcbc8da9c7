package session_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/bolt"
)

// hoarder keeps every record that was ever put, as a thief with dumps of all times has.
type hoarder struct {
	session.Store
	mu  sync.Mutex // guards all
	all []hoarded
}

type hoarded struct {
	key session.Key
	rec session.Record
}

func (h *hoarder) Put(ctx context.Context, k session.Key, prev uint64, rec session.Record) error {
	h.mu.Lock()
	h.all = append(h.all, hoarded{k, rec})
	h.mu.Unlock()
	return h.Store.Put(ctx, k, prev, rec)
}

// taken are those of now: what is written beside goes on.
func (h *hoarder) taken() []hoarded {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// inTheClear are what nobody may find in a dump.
func inTheClear(j jar) []string {
	words := []string{"token-", "refresh-", "alice"}
	for _, cookie := range j {
		words = append(words, cookie)
	}
	return words
}

// TestDumpWithTheKeyRingOpensNoSession: what the ring opens is who is signed in, and no
// more. The key to each record lies in its cookie alone.
func TestDumpWithTheKeyRingOpensNoSession(t *testing.T) {
	run(t, func(b *bed) {
		b.method.rotates = true
		dump := &hoarder{Store: b.store.Store}
		b.store.Store = dump
		j := b.signIn()
		for range 4 {
			time.Sleep(life)
			b.mustServe(j)
			b.mustServe(j)
		}
		all := dump.taken()
		if b.method.calls() < 3 || len(all) < 5 {
			b.Fatalf("%d renewals and %d records show too little", b.method.calls(), len(all))
		}
		for _, one := range all {
			lying := bytes.Join([][]byte{one.key[:], one.rec.Meta, one.rec.Data}, nil)
			for _, word := range inTheClear(j) {
				if bytes.Contains(lying, []byte(word)) {
					b.Errorf("version %d has %q in the clear", one.rec.Version, word)
				}
			}
			for _, purpose := range []string{"handle", "probe", "meta", "vault", "chunk", ""} {
				if plain, _, err := b.ring.OpenBlob(purpose, one.key[:], one.rec.Data); err == nil {
					b.Errorf("version %d: the ring opens %d bytes of it as %q", one.rec.Version, len(plain), purpose)
				}
				if plain, err := b.ring.Open(purpose, "gw.test", string(one.rec.Data)); err == nil {
					b.Errorf("version %d: the ring opens %d bytes of it as the cookie %q", one.rec.Version, len(plain), purpose)
				}
			}
			meta, _, err := b.ring.OpenBlob("meta", one.key[:], one.rec.Meta)
			if err != nil || !strings.Contains(string(meta), "alice") {
				b.Errorf("version %d: got %q, %v, want who is signed in", one.rec.Version, meta, err)
			}
			for _, word := range inTheClear(j) {
				if word != "alice" && strings.Contains(string(meta), word) {
					b.Errorf("version %d lists %q", one.rec.Version, word)
				}
			}
		}
	})
}

// TestBoltFileHasNothingInTheClear, nor in what its pages held before.
func TestBoltFileHasNothingInTheClear(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions.db")
	store, err := bolt.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := newBed(t)
	b.store.Store = store
	j := b.signIn()
	b.mustServe(j)
	if err := b.m.Close(); err != nil {
		t.Error(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range inTheClear(j) {
		if bytes.Contains(file, []byte(word)) {
			t.Errorf("the file has %q in the clear", word)
		}
	}
}
