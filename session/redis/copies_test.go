package redis_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
)

// TestCopiesFollow: while another gateway writes a record over and over, those who read it here
// never see an older version after a newer one, and each version shows soon.
func TestCopiesFollow(t *testing.T) {
	o := redis.Options{Addresses: []string{redistest.Start(t).Address()}}
	here, there := open(t, o), open(t, o)
	var key session.Key
	key[0] = 7
	var shown atomic.Uint64
	var done atomic.Bool
	var wg sync.WaitGroup
	put := func(version uint64) {
		rec := session.Record{Version: version, Expires: time.Now().Add(time.Hour), Data: []byte("x")}
		if err := there.Put(t.Context(), key, version-1, rec); err != nil {
			t.Fatal(err)
		}
	}
	put(1)
	for range 4 {
		wg.Go(func() {
			var last uint64
			for !done.Load() {
				rec, err := here.Get(t.Context(), key, 0)
				if err != nil || rec.Version < last {
					t.Errorf("got version %d, %v, after %d", rec.Version, err, last)
					return
				}
				last = rec.Version
				shown.Store(max(shown.Load(), last))
			}
		})
	}
	for v := uint64(2); v <= 200 && !t.Failed(); v++ {
		put(v)
		for begin := time.Now(); shown.Load() < v; time.Sleep(100 * time.Microsecond) {
			if time.Since(begin) > 5*time.Second {
				t.Errorf("version %d does not show: %d does", v, shown.Load())
				break
			}
		}
	}
	done.Store(true)
	wg.Wait()
}
