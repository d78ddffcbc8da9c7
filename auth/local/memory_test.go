package local

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/evergate/evergate/auth"
)

// TestHashesTakeTurnsWithMemory: however many passwords wait, memory is taken for as many as are
// hashed at a time, and not for those that were.
func TestHashesTakeTurnsWithMemory(t *testing.T) {
	const atOnce, all = 2, 12
	h := NewHasher(atOnce)
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := current
	p.time, p.salt, p.hash = 1, make([]byte, saltSize), make([]byte, hashSize)
	var wg sync.WaitGroup
	for range all {
		wg.Go(func() {
			for { // on a machine that has much else to do, some are sent away and come again
				_, err := h.run(t.Context(), p, "a password")
				if _, busy := errors.AsType[*auth.Unavailable](err); busy {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
		})
	}
	wg.Wait()
	runtime.ReadMemStats(&after)
	each := uint64(p.memory) << 10
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > int64((atOnce+1)*each) {
		t.Errorf("%d hashes, %d at a time, took %d MiB, want %d at most", all, atOnce, grown>>20, (atOnce+1)*each>>20)
	}
}
