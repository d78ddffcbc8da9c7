package decisions

import (
	"sync"

	"github.com/evergate/evergate/auth"
)

// What is kept is bounded in every direction. A fact takes 488 bytes, with its path and
// one header that rules read about 700: with the 20 decisions of the default and 1,000
// sessions in use that is 14 MB, and 34 MB where admin.decisions is large (TestMemory).
const (
	maxSessions = 1000
	maxFacts    = 50_000 // of all sessions
	maxNobody   = 200    // of requests without a session, together
)

// nobody stands for requests without a session.
const nobody = ""

// fact is one decision, as it is kept. The strings are its own, so that it holds on to
// nothing of the request; the Identity is a copy, because the one of a Login would hold
// on to its tokens.
type fact struct {
	question  auth.Question // what the rules were asked, without Identity and Header
	identity  auth.Identity // who asked; the zero value is nobody
	header    []string      // what rules read of the request's: names and values by turns
	known     bool          // somebody did
	asked     bool          // the rules were
	cut       bool          // not all that they read is kept
	request   string
	session   string
	outcome   string
	observed  string
	rule      string
	wouldRule string
	route     string
	err       string
	edition   uint32
	index     int32 // of the route, or -1
}

// ring holds the last facts of a session.
type ring struct {
	name         string
	facts        []fact
	next         int // where the oldest is, once it is full
	newer, older *ring
}

// put adds a fact to a ring of that size, and reports whether it has one more.
func (r *ring) put(f *fact, size int) (more bool) {
	if n := len(r.facts); n < size {
		if n == cap(r.facts) {
			r.facts = append(make([]fact, 0, min(size, max(4, 2*n))), r.facts...)
		}
		r.facts = append(r.facts, *f)
		return true
	}
	r.facts[r.next] = *f
	r.next = (r.next + 1) % len(r.facts)
	return false
}

// resize keeps the newest of them.
func (r *ring) resize(size int) {
	all := append(r.facts[r.next:len(r.facts):len(r.facts)], r.facts[:r.next]...)
	if len(all) > size {
		all = append([]fact(nil), all[len(all)-size:]...)
	}
	r.facts, r.next = all, 0
}

// memory are the rings, those of sessions in the order of their use.
type memory struct {
	mu       sync.Mutex // guards what follows
	size     int        // of a ring
	sessions map[string]*ring
	newest   *ring
	oldest   *ring
	facts    int // of sessions
	nobody   ring
}

func (m *memory) put(f *fact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.size == 0 {
		return // a request of the edition before
	}
	if f.session == nobody {
		m.nobody.put(f, maxNobody)
		return
	}
	r := m.sessions[f.session]
	if r == nil {
		r = &ring{name: f.session}
		m.sessions[f.session] = r
	}
	m.use(r)
	if r.put(f, m.size) {
		m.facts++
	}
	for len(m.sessions) > maxSessions || m.facts > maxFacts && m.oldest != r {
		m.forget(m.oldest)
	}
}

// use makes r the one used last.
func (m *memory) use(r *ring) {
	if m.newest == r {
		return
	}
	m.unlink(r)
	if r.older = m.newest; r.older != nil {
		r.older.newer = r
	}
	if m.newest = r; m.oldest == nil {
		m.oldest = r
	}
}

func (m *memory) unlink(r *ring) {
	if r.newer != nil {
		r.newer.older = r.older
	} else if m.newest == r {
		m.newest = r.older
	}
	if r.older != nil {
		r.older.newer = r.newer
	} else if m.oldest == r {
		m.oldest = r.newer
	}
	r.newer, r.older = nil, nil
}

func (m *memory) forget(r *ring) {
	m.unlink(r)
	delete(m.sessions, r.name)
	m.facts -= len(r.facts)
}

// resize is for a config that keeps another number.
func (m *memory) resize(size int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.size == size {
		return
	}
	if m.size = size; size == 0 {
		m.sessions, m.newest, m.oldest, m.facts, m.nobody = map[string]*ring{}, nil, nil, 0, ring{name: nobody}
		return
	}
	m.facts = 0
	for _, r := range m.sessions {
		r.resize(size)
		m.facts += len(r.facts)
	}
}

// each calls f for every fact of a session, or of all and nobody where that is "".
func (m *memory) each(session string, f func(*fact)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rings := []*ring{m.sessions[session]}
	if session == "" {
		rings[0] = &m.nobody
		for r := m.newest; r != nil; r = r.older {
			rings = append(rings, r)
		}
	}
	for _, r := range rings {
		if r == nil {
			continue
		}
		for i := range r.facts { // the newest first
			f(&r.facts[(r.next-1-i+2*len(r.facts))%len(r.facts)])
		}
	}
}
