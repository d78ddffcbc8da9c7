package redis_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
)

// TestEpochIsRaisedBeforeALossShows: a server that is killed and is back at once, empty.
// Whoever is told that there is no record has been told before that there was an outage,
// or would take the session for an ended one.
func TestEpochIsRaisedBeforeALossShows(t *testing.T) {
	for range 5 {
		server := redistest.Start(t, "appendonly", "no")
		s := open(t, redis.Options{Addresses: []string{server.Address()}})
		keys := make([]session.Key, 16)
		for i := range keys {
			keys[i] = session.Key{byte(i), 9}
			if err := s.Put(t.Context(), keys[i], 0, record(t, s, 1)); err != nil {
				t.Fatal(err)
			}
		}
		before := s.Epoch()
		var unseen, lost atomic.Int64
		var readers sync.WaitGroup
		stop := make(chan struct{})
		for i := range 64 {
			readers.Go(func() {
				for n := i; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					_, err := s.Get(t.Context(), keys[n%len(keys)], 0)
					now := s.Epoch()
					if errors.Is(err, session.ErrNotFound) {
						lost.Add(1)
						if now == before {
							unseen.Add(1)
						}
					}
				}
			})
		}
		time.Sleep(50 * time.Millisecond)
		server.Kill()
		server.Run()
		wait(t, "the loss shows", func() bool { return lost.Load() > 0 })
		close(stop)
		readers.Wait()
		if n := unseen.Load(); n > 0 {
			t.Fatalf("%d readers were told that there is no record while the epoch was still %d", n, before)
		}
	}
}

// TestWhatIsPutBackIsFoundByItsTags: the server has lost those too.
func TestWhatIsPutBackIsFoundByItsTags(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, redis.Options{Addresses: []string{server.Address()}})
	k, tag := session.Key{1}, session.Tag{7}
	rec := record(t, s, 1)
	rec.Tags = []session.Tag{tag}
	if err := s.Put(t.Context(), k, 0, rec); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Run() // has lost everything
	wait(t, "it is back", func() bool { _, err := s.Get(t.Context(), k, 0); return err == session.ErrNotFound })
	rec.Version = 2
	if err := s.Put(t.Context(), k, 0, rec); err != nil { // as Manager.putBack does
		t.Fatal(err)
	}
	keys, err := s.Find(t.Context(), tag)
	if err != nil || len(keys) != 1 {
		t.Errorf("found %v, %v, want the session that was put back", keys, err)
	}
}
