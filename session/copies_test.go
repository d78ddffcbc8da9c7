package session

import (
	"testing"
	"time"
)

func TestCopies(t *testing.T) {
	var c Copies
	key, other := Key{1, 2, 3}, Key{9, 2, 3} // they share a place
	now := time.Now()
	find := func(key Key) uint64 {
		rec, ok, _ := c.Find(key, now)
		if !ok {
			return 0
		}
		return rec.Version
	}
	want := func(what string, key Key, version uint64) {
		t.Helper()
		if got := find(key); got != version {
			t.Errorf("%s: got version %d, want %d", what, got, version)
		}
	}
	_, _, was := c.Find(key, now)
	c.Took(key, Record{Version: 1}, time.Time{}, was)
	want("read", key, 1)
	want("another of the same place", other, 0)

	for what, change := range map[string]func(){
		"written":         func() { c.Wrote(key, Record{Version: 2}) },
		"forgotten":       func() { c.Forget(key) },
		"all forgotten":   func() { c.ForgetAll() },
		"forgotten twice": func() { c.Forget(key); c.Forget(key) },
		"too large":       func() { c.Wrote(key, Record{Version: 2, Data: make([]byte, maxCopy+1)}) },
	} {
		_, _, was := c.Find(key, now)
		change()
		before := find(key)
		c.Took(key, Record{Version: 1}, time.Time{}, was)
		want(what+" while it was read", key, before)
		if before == 1 {
			t.Errorf("%s: the copy of before is still there", what)
		}
		c.Forget(key)
	}

	_, _, was = c.Find(other, now)
	c.Took(other, Record{Version: 3}, now.Add(time.Second), was)
	want("for a while", other, 3)
	now = now.Add(time.Second)
	want("after its time", other, 0)
	_, _, was = c.Find(key, now)
	c.Took(key, Record{Version: 4, Data: make([]byte, maxCopy+1)}, time.Time{}, was)
	want("too large", key, 0)
}
