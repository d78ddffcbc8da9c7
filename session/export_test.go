package session

import (
	"net/http"
	"time"
)

// TidyEvery returns cfg with a house that is kept as often as that. The simulation
// keeps it itself, when there is something to do.
func (cfg Config) TidyEvery(d time.Duration) Config {
	cfg.houseEvery = d
	return cfg
}

// ConfirmWithin returns cfg with hosts that stand by themselves for as long.
func (cfg Config) ConfirmWithin(at, by time.Duration) Config {
	cfg.confirmAt, cfg.confirmBy = at, by
	return cfg
}

// Tidy does what the house does once a second.
func (m *Manager) Tidy() { m.tidy() }

// Unsaved reports whether there is a renewed login that the store does not have yet.
func (m *Manager) Unsaved() bool {
	for _, e := range m.entries.snapshot() {
		e.mu.Lock()
		unsaved := e.unsaved != nil
		e.mu.Unlock()
		if unsaved {
			return true
		}
	}
	return false
}

// ChunkSeeds are chunks as the cookie store seals them.
func ChunkSeeds() [][]byte {
	p := payload{Created: time.Unix(1, 0), Login: storedLogin{RefreshToken: "refresh"}}
	data, _ := p.pack()
	set := newSet(1, data)
	return append(set.chunks(20), set.chunks(2000)...)
}

// Planted is the cookie of a handle, and the record of its session: whatever plain is.
func Planted(ring *Ring, host string, generation uint64, plain []byte) (cookie string, key Key, rec Record) {
	h := handle{session: ID{1}, generation: max(generation, 1), child: Child{1}, key: DataKey{2}}
	cookie, err := ring.Seal(purposeHandle, host, h.encode(), 0)
	if err != nil {
		panic(err)
	}
	aead, err := newAEAD(h.key)
	if err != nil {
		panic(err)
	}
	key = h.session.Key()
	return cookie, key, Record{Version: 1, Data: aead.Seal(nil, nil, plain, sealContext(key, 1))}
}

// Known counts what s holds in memory: sessions, those of them with tokens, and the
// successors of spent tokens.
func (s *Stateless) Known() (sessions, hot, heirs int) {
	for _, k := range s.snapshot() {
		k.mu.Lock()
		sessions, heirs = sessions+1, heirs+len(k.heirs)
		if k.hot != nil {
			hot++
		}
		k.mu.Unlock()
	}
	return sessions, hot, heirs
}

// Merged lets a test merge families.
func (f Family) Merged(o Family) Family { return f.merged(o) }

// MergedKeys are the keys that a session is bound to by host, once two branches of its history
// are merged. Each branch is host → key, time and base.
func MergedKeys(store, known map[string]Branch) map[string]string {
	keys := map[string]string{}
	for host, b := range stateOf(store).merged(stateOf(known)).Bound {
		keys[host] = b.Key
	}
	return keys
}

// Branch is what one branch says of a host.
type Branch struct {
	Key  string
	At   int64
	Base uint64
}

func stateOf(hosts map[string]Branch) *state {
	s := &state{Families: map[string]Family{}, Bound: map[string]binding{}, Bases: map[string]uint64{}}
	for host, b := range hosts {
		s.Families[host] = Family{Generation: b.Base + 1}
		s.Bases[host] = b.Base
		if b.Key != "" {
			s.Bound[host] = binding{Key: b.Key, At: time.Unix(b.At, 0)}
		}
	}
	return s
}

// FromTheSamePlace looks whether r comes from where the request before it came from, n times.
func FromTheSamePlace(r *http.Request, n int) bool {
	var w walked
	next, _ := w.Load().to(spotOf(r), time.Unix(1, 0))
	w.Store(next)
	same := true
	for range n {
		same = same && w.isFrom(r)
	}
	return same
}
