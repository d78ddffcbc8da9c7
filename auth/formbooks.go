package auth

import (
	"container/list"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/web"
)

const (
	maxForms     = 64 << 20 // all forms
	maxFormsFrom = 16       // forms of one client address
	formOverhead = 512      // what keeping a form costs beyond its bytes, roughly
)

// formBooks say which forms this gateway keeps, how large they are and whose, so that
// they can be bounded. They are safe for concurrent use.
type formBooks struct {
	now func() time.Time
	// over is told of a form whose time is over.
	over func(id string)

	mu     sync.Mutex // guards all below
	byID   map[string]*formEntry
	order  *list.List // of *formEntry, by expiry, which is by arrival
	from   map[netip.Prefix][]*formEntry
	bytes  int
	sweep  *time.Timer // pending while anything is kept
	closed bool
}

type formEntry struct {
	id    string
	from  netip.Prefix
	until time.Time
	size  int
	place *list.Element
}

var errFormsClosed = errors.New("the gateway is ending")

func newFormBooks(now func() time.Time, over func(id string)) *formBooks {
	return &formBooks{now: now, over: over, byID: map[string]*formEntry{}, order: list.New(), from: map[netip.Prefix][]*formEntry{}}
}

// enter notes a form of size bytes, and returns those that have to go for it.
func (b *formBooks) enter(id string, addr netip.Addr, size int) (evicted []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errFormsClosed
	}
	b.strikeOver()
	e := &formEntry{id: id, from: web.Network(addr), until: b.now().Add(formTTL), size: size + formOverhead}
	if theirs := b.from[e.from]; len(theirs) >= maxFormsFrom {
		evicted = append(evicted, theirs[0].id)
		b.strike(theirs[0])
	}
	for oldest := b.oldest(); oldest != nil && b.bytes+e.size > maxForms; oldest = b.oldest() {
		evicted = append(evicted, oldest.id)
		b.strike(oldest)
	}
	b.byID[id], e.place = e, b.order.PushBack(e)
	b.from[e.from] = append(b.from[e.from], e)
	b.bytes += e.size
	b.schedule()
	return evicted, nil
}

// emptied notes that a form was sent: what is left of it is small.
func (b *formBooks) emptied(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byID[id]; e != nil {
		b.bytes -= e.size - formOverhead
		e.size = formOverhead
	}
}

// remove notes that a form is gone.
func (b *formBooks) remove(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.byID[id]; e != nil {
		b.strike(e)
	}
}

// close ends the books. What they held is over.
func (b *formBooks) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for e := b.oldest(); e != nil; e = b.oldest() {
		b.strike(e)
		b.over(e.id)
	}
	if b.sweep != nil {
		b.sweep.Stop()
	}
}

// strike takes e out of the books. mu is held, here and below.
func (b *formBooks) strike(e *formEntry) {
	b.bytes -= e.size
	delete(b.byID, e.id)
	b.order.Remove(e.place)
	theirs := slices.DeleteFunc(b.from[e.from], func(other *formEntry) bool { return other == e })
	if b.from[e.from] = theirs; len(theirs) == 0 {
		delete(b.from, e.from)
	}
}

func (b *formBooks) oldest() *formEntry {
	if e := b.order.Front(); e != nil {
		return e.Value.(*formEntry)
	}
	return nil
}

func (b *formBooks) strikeOver() {
	for e := b.oldest(); e != nil && !b.now().Before(e.until); e = b.oldest() {
		b.strike(e)
		b.over(e.id)
	}
}

// schedule sees to it that forms go when they are over, even if nobody comes.
// The timer runs only while something is kept.
func (b *formBooks) schedule() {
	next := b.oldest()
	if b.sweep != nil || next == nil || b.closed {
		return
	}
	b.sweep = time.AfterFunc(max(next.until.Sub(b.now()), time.Second), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.sweep = nil
		b.strikeOver()
		b.schedule()
	})
}
