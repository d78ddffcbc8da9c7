package session

import (
	"sync"
	"sync/atomic"
	"time"
)

// entries are what this process knows of sessions. Requests find theirs without waiting
// for each other: they only read, each in one of many parts.
type entries struct {
	parts [64]part
	count atomic.Int64 // of all parts, so that where there are none no part is asked
}

type part struct {
	mu sync.RWMutex // guards of; taken before that of an entry
	of map[Key]*entry
}

// part is where key belongs. A key is a digest, so they spread by themselves.
func (all *entries) part(key Key) *part { return &all.parts[key[0]%byte(len(all.parts))] }

// put adds an entry to its part, whose mu is held.
func (all *entries) put(p *part, e *entry) {
	if p.of == nil {
		p.of = map[Key]*entry{}
	}
	p.of[e.key] = e
	all.count.Add(1)
}

// find returns the entry under key, or nil, and notes that it was asked for.
func (all *entries) find(key Key, now time.Time) *entry {
	p := all.part(key)
	p.mu.RLock()
	defer p.mu.RUnlock()
	e := p.of[key]
	if e != nil {
		e.touch(now)
	}
	return e
}

// make returns the entry under key, made if need be.
func (all *entries) make(key Key, now time.Time) *entry {
	if e := all.find(key, now); e != nil {
		return e
	}
	p := all.part(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.of[key]
	if e == nil {
		e = newEntry(key)
		all.put(p, e)
	}
	e.touch(now)
	return e
}

// adopt returns the entry under e's key, which is e itself where there is none.
func (all *entries) adopt(e *entry, now time.Time) *entry {
	p := all.part(e.key)
	p.mu.Lock()
	defer p.mu.Unlock()
	cur := p.of[e.key]
	if cur == nil {
		all.put(p, e)
		cur = e
		e.mu.Lock()
		e.forgotten, e.unsure = false, true
		e.mu.Unlock()
	}
	cur.touch(now)
	return cur
}

// forget drops the entries that nobody has asked for since then and that nothing here
// needs, and returns how many those were and what ends their watches.
func (all *entries) forget(since time.Time) (dropped int, unwatch []func()) {
	if all.len() == 0 {
		return 0, nil
	}
	for i := range all.parts {
		p := &all.parts[i]
		p.mu.Lock()
		for key, e := range p.of {
			e.mu.Lock()
			if e.touched.Load() < since.UnixNano() && e.flight == nil && len(e.streams) == 0 && e.unsaved == nil {
				delete(p.of, key)
				all.count.Add(-1)
				e.forgotten = true
				dropped++
				if e.unwatch != nil {
					unwatch = append(unwatch, e.unwatch)
					e.unwatch = nil
				}
			}
			e.mu.Unlock()
		}
		p.mu.Unlock()
	}
	return dropped, unwatch
}

// lives reports whether there is an entry under key of a session that has not ended.
func (all *entries) lives(key Key) bool {
	p := all.part(key)
	p.mu.RLock()
	defer p.mu.RUnlock()
	e := p.of[key]
	return e != nil && e.why() == ""
}

func (all *entries) len() int { return int(all.count.Load()) }

func (all *entries) snapshot() []*entry {
	n := all.len()
	if n == 0 {
		return nil
	}
	list := make([]*entry, 0, n)
	for i := range all.parts {
		p := &all.parts[i]
		p.mu.RLock()
		for _, e := range p.of {
			list = append(list, e)
		}
		p.mu.RUnlock()
	}
	return list
}

// touched is when an entry was last asked for, by the wall clock in ns.
type touched struct{ atomic.Int64 }

func (e *entry) touch(now time.Time) { e.touched.Store(now.UnixNano()) }
