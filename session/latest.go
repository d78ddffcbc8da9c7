package session

import (
	"container/heap"
	"context"
	"time"

	"github.com/evergate/evergate/auth"
)

// Latest returns the n sessions of a user, or of all where user is "", that were used
// last, the latest first, and how many there are. It keeps no more than n at a time,
// however many there are. With an n of 0 it only counts.
func (l Ledger) Latest(ctx context.Context, user string, n int) (newest []Info, total int, err error) {
	if user != "" { // a person has as many as can be listed
		all, err := l.List(ctx, user)
		return all[:min(n, len(all))], len(all), err
	}
	var kept oldestFirst
	err = l.Store.Scan(ctx, func(key Key, rec Record) error {
		info, ok := l.open(key, rec)
		if !ok {
			return ctx.Err()
		}
		total++
		switch {
		case n == 0:
		case len(kept) < n:
			heap.Push(&kept, info)
		case latestFirst(kept[0], info) > 0:
			kept[0] = info
			heap.Fix(&kept, 0)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, 0, err
	}
	newest = make([]Info, len(kept))
	for i := len(kept) - 1; i >= 0; i-- {
		newest[i] = heap.Pop(&kept).(Info)
	}
	return newest, total, nil
}

// oldestFirst implements heap.Interface, in the order of List from its end.
type oldestFirst []Info

func (h oldestFirst) Len() int           { return len(h) }
func (h oldestFirst) Less(i, j int) bool { return latestFirst(h[i], h[j]) > 0 }
func (h oldestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *oldestFirst) Push(x any)        { *h = append(*h, x.(Info)) }
func (h *oldestFirst) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// Latest returns the sessions that were used last: see [Ledger.Latest].
func (m *Manager) Latest(ctx context.Context, user string, n int) ([]Info, int, error) {
	newest, total, err := Ledger{m.cfg.Store, m.cfg.Ring}.Latest(ctx, user, n)
	if err != nil {
		return nil, 0, &auth.Unavailable{What: "the session store", Err: err}
	}
	return newest, total, nil
}

// Due tells how many sessions were used here in the last minutes, and for how many of
// those a renewal becomes due in each of the next n steps. What is due already is in the
// first. A renewal is caused by a request (R11): who does not come again causes none.
func (m *Manager) Due(step time.Duration, n int) (inUse int, due []int) {
	due = make([]int, n)
	now := m.cfg.Now()
	for _, e := range m.entries.snapshot() {
		e.mu.Lock()
		alive := e.at.state != nil && e.ended == "" && !e.at.state.Retired
		var at time.Time
		if alive {
			if stored := e.stored(); stored.renewable() {
				at = m.renewsAt(e.key, stored)
			}
		}
		e.mu.Unlock()
		if !alive {
			continue
		}
		inUse++
		if at.IsZero() {
			continue
		}
		if i := int(max(at.Sub(now), 0) / step); i < n {
			due[i]++
		}
	}
	return inUse, due
}
