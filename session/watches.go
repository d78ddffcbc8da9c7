package session

import "sync"

// Watches are who wants to hear of which key: the half of [Store.Watch] that
// every store shares. The zero Watches is ready, and safe for concurrent use.
type Watches struct {
	mu    sync.Mutex // guards byKey
	byKey map[Key]map[*func(bool)]struct{}
}

// Add has notify called for key until stop is called.
func (w *Watches) Add(key Key, notify func(changed bool)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKey == nil {
		w.byKey = map[Key]map[*func(bool)]struct{}{}
	}
	if w.byKey[key] == nil {
		w.byKey[key] = map[*func(bool)]struct{}{}
	}
	w.byKey[key][&notify] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byKey[key], &notify)
		if len(w.byKey[key]) == 0 {
			delete(w.byKey, key)
		}
	}
}

// Notify tells those who watch key that it has changed, or that it may have.
func (w *Watches) Notify(key Key, changed bool) {
	w.mu.Lock()
	all := make([]func(bool), 0, len(w.byKey[key]))
	for notify := range w.byKey[key] {
		all = append(all, *notify)
	}
	w.mu.Unlock()
	for _, notify := range all {
		notify(changed)
	}
}

// NotifyAll tells everybody: what changed is not known.
func (w *Watches) NotifyAll() {
	for _, key := range w.Keys() {
		w.Notify(key, false)
	}
}

// Keys are those that somebody watches.
func (w *Watches) Keys() []Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := make([]Key, 0, len(w.byKey))
	for key := range w.byKey {
		keys = append(keys, key)
	}
	return keys
}

// Has reports whether somebody watches key.
func (w *Watches) Has(key Key) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.byKey[key]) > 0
}
