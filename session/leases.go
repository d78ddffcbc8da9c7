package session

import (
	"sync"
	"time"
)

// Leases are who holds which lease in a store of one process. The zero Leases
// is ready, and safe for concurrent use.
type Leases struct {
	mu    sync.Mutex // guards all below
	byKey map[Key]holding
	last  uint64
}

type holding struct {
	holder Holder
	number uint64
	until  time.Time
}

// Take gives holder the lease on key at the store's time now, or extends its
// own. The error is a *HeldError.
func (l *Leases) Take(key Key, holder Holder, ttl time.Duration, now time.Time) (number uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, ok := l.byKey[key]
	switch {
	case ok && now.Before(h.until) && h.holder != holder:
		return 0, &HeldError{Left: h.until.Sub(now)}
	case !ok || !now.Before(h.until):
		l.last++
		h = holding{holder: holder, number: l.last}
	}
	h.until = now.Add(ttl)
	if l.byKey == nil {
		l.byKey = map[Key]holding{}
	}
	l.byKey[key] = h
	return h.number, nil
}

// Give ends the lease on key if it is holder's, and reports whether it was.
func (l *Leases) Give(key Key, holder Holder) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, ok := l.byKey[key]; !ok || h.holder != holder {
		return false
	}
	delete(l.byKey, key)
	return true
}
