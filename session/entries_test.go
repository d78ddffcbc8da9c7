package session

import (
	"sync"
	"testing"
	"time"
)

// TestEntriesAreCounted: whoever asks no part because there are no entries has missed none.
func TestEntriesAreCounted(t *testing.T) {
	var all entries
	start := time.Unix(1_800_000_000, 0)
	var wg sync.WaitGroup
	for who := range 8 {
		wg.Go(func() {
			for i := range 200 {
				e := all.make(Key{byte(i), byte(who % 2)}, start.Add(time.Duration(i)*time.Second))
				if i%3 == 0 {
					all.forget(start.Add(time.Duration(i-20) * time.Second))
					all.adopt(e, start.Add(time.Duration(i)*time.Second))
				}
			}
		})
	}
	wg.Wait()
	there := 0
	for i := range all.parts {
		there += len(all.parts[i].of)
	}
	if there == 0 || all.len() != there || len(all.snapshot()) != there {
		t.Errorf("%d are there, %d are counted, %d are shown", there, all.len(), len(all.snapshot()))
	}
	if dropped, _ := all.forget(start.Add(time.Hour)); dropped != there || all.len() != 0 || all.snapshot() != nil {
		t.Errorf("of %d %d are dropped, and %d are counted", there, dropped, all.len())
	}
}
