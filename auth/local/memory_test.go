package local

import (
	"runtime"
	"sync"
	"testing"
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
			if _, err := h.run(t.Context(), p, "a password"); err != nil {
				t.Error(err)
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
