package session_test

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
)

var rules = session.Rules{Grace: time.Minute, Lifetime: 15 * time.Minute}

func child(n byte) session.Child { return session.Child{n} }

func TestFamilyStepByStep(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	at := func(minutes float64) time.Time { return start.Add(time.Duration(minutes * float64(time.Minute))) }
	get := func(gen uint64, c byte) session.Use { return session.Use{Generation: gen, Child: child(c), Safe: true} }
	post := func(gen uint64, c byte) session.Use { return session.Use{Generation: gen, Child: child(c)} }
	probed := func(u session.Use) session.Use { u.Probed = true; return u }

	type step struct {
		what    string
		at      float64
		use     session.Use
		verdict session.Verdict
		changed bool
		deliver bool // the response hands out a child
	}
	for name, steps := range map[string][]step{
		"one browser": {
			{"the first handle is settled: nothing is written", 1, get(1, 1), session.Serve, false, false},
			{"just before the rotation", 11.9, get(1, 1), session.Serve, false, false},
			{"it rotates, and its response carries a child", 12, get(1, 1), session.Serve, true, true},
			{"its sister, which carries another", 12, get(1, 1), session.Serve, false, true},
			{"a child is seen", 12.1, get(2, 2), session.Serve, true, false},
			{"the parent still works, and gets no child any more", 12.2, get(1, 1), session.Serve, false, false},
			{"the child again, too early to settle: it is noted", 13.1, get(2, 2), session.Serve, true, false},
			{"and at once again: it is not", 13.11, get(2, 2), session.Serve, false, false},
			{"a post does not settle where siblings were minted", 13.2, post(2, 2), session.Serve, false, false},
			{"nor does anything while a sibling may be on its way", 13.2, get(2, 2), session.Serve, false, false},
			{"a get is sent back first", 13.3, get(2, 2), session.Probe, false, false},
			{"and settles", 13.3, probed(get(2, 2)), session.Serve, true, false},
			{"the parent is spent", 13.3, get(1, 1), session.Probe, false, false},
			{"a sibling is spent", 13.3, get(2, 3), session.Probe, false, false},
			{"the settled one is served", 13.3, get(2, 2), session.Serve, false, false},
			{"a jar that holds the spent one", 13.4, probed(get(1, 1)), session.Reuse, false, false},
		},
		"a lone child settles without a probe": {
			{"it rotates", 12, get(1, 1), session.Serve, true, true},
			{"the child is seen", 12.1, post(2, 2), session.Serve, true, false},
			{"and settles by a post", 13.2, post(2, 2), session.Serve, true, false},
			{"the parent is spent", 13.3, post(1, 1), session.Probe, false, false},
		},
		"posts alone settle a child when nothing can be late any more": {
			{"it rotates", 12, get(1, 1), session.Serve, true, true},
			{"another response carries another", 12, get(1, 1), session.Serve, false, true},
			{"a child is seen", 12.1, post(2, 2), session.Serve, true, false},
			{"a request may still be late", 23.1, post(2, 2), session.Serve, true, false},
			{"none may", 23.2, post(2, 2), session.Serve, true, false},
			{"the parent is spent", 23.3, post(1, 1), session.Probe, false, false},
		},
		"whoever keeps coming with the parent does not keep all unsettled": {
			{"it rotates", 12, get(1, 1), session.Serve, true, true},
			{"a child is seen", 12.1, get(2, 2), session.Serve, true, false},
			{"the parent, while the child is in use", 13, get(1, 1), session.Serve, false, false},
			{"the parent, a while after", 14, get(1, 1), session.Serve, false, true},
			{"the child waits for the answer of then", 14.5, get(2, 2), session.Serve, true, false},
			{"the parent", 16, get(1, 1), session.Serve, false, true},
			{"the parent", 22.9, get(1, 1), session.Serve, false, true},
			{"no longer than requests may be late", 23.2, get(2, 2), session.Probe, false, false},
			{"the child settles", 23.2, probed(get(2, 2)), session.Serve, true, false},
			{"the parent is spent", 23.3, get(1, 1), session.Probe, false, false},
		},
		"lost answers": {
			{"it rotates", 12, get(1, 1), session.Serve, true, true},
			{"the parent comes again an hour later", 72, get(1, 1), session.Serve, false, true},
		},
		"a store that lost its last writes": {
			{"a handle from ahead is taken", 1, get(3, 9), session.Serve, true, false},
			{"the store's old one is spent", 1, get(1, 1), session.Probe, false, false},
			{"it settles by a probe", 3, get(3, 9), session.Probe, false, false},
			{"and then does", 3, probed(get(3, 9)), session.Serve, true, false},
		},
		"a store one generation behind knows the parent": {
			{"a handle from ahead is taken", 1, get(2, 9), session.Serve, true, false},
			{"the parent works", 1, get(1, 1), session.Serve, false, false},
		},
		"the dead do not come back": {
			{"a child of an unknown generation", 1, get(0, 5), session.Probe, false, false},
			{"a foreign child where one has settled", 1, get(1, 7), session.Probe, false, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := session.NewFamily(child(1), start)
			for _, s := range steps {
				next, changed, verdict := f.Present(s.use, at(s.at), rules)
				if verdict != s.verdict || changed != s.changed {
					t.Fatalf("%s: got %v (changed %v), want %v (%v)", s.what, verdict, changed, s.verdict, s.changed)
				}
				f = next
				if verdict != session.Serve {
					continue
				}
				next, _, ok := f.Deliver(s.use, at(s.at), rules)
				if ok != s.deliver {
					t.Fatalf("%s: got a child handed out %v, want %v", s.what, ok, s.deliver)
				}
				f = next
			}
		})
	}
}

func TestFamilyRemembersABoundedNumberOfChildren(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	f := session.NewFamily(child(1), now)
	f, _, _ = f.Present(session.Use{Generation: 1, Child: child(1)}, now.Add(time.Hour), rules)
	for i := range 100 {
		var v session.Verdict
		f, _, v = f.Present(session.Use{Generation: 2, Child: child(byte(100 + i))}, now.Add(time.Hour), rules)
		if v != session.Serve {
			t.Fatalf("child %d: got %v, want serve", i, v)
		}
	}
	if len(f.Children) != session.MaxChildren {
		t.Errorf("got %d children, want %d", len(f.Children), session.MaxChildren)
	}
}

// TestFamilySettlesThoughManyChildrenWereSeen: a page with very many parts, whose jar ends
// up with one child more than is remembered.
func TestFamilySettlesThoughManyChildrenWereSeen(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	f := session.NewFamily(child(1), now)
	now = now.Add(time.Hour)
	f, _, _ = f.Present(session.Use{Generation: 1, Child: child(1), Safe: true}, now, rules)
	for i := range session.MaxChildren {
		f, _, _ = f.Deliver(session.Use{Generation: 1, Child: child(1)}, now, rules)
		f, _, _ = f.Present(session.Use{Generation: 2, Child: child(byte(100 + i)), Safe: true}, now, rules)
	}
	jar := session.Use{Generation: 2, Child: child(99), Safe: true, Probed: true}
	f, _, _ = f.Present(jar, now, rules) // all others are in use
	for range 3 {
		now = now.Add(2 * rules.Grace)
		f, _, _ = f.Present(jar, now, rules)
	}
	if f.Settled != jar.Child {
		t.Errorf("got %+v, want the jar's child settled", f)
	}
}

// world is a history under a scheduler of its own: one family, some jars, and
// messages that take their time. It drives the functions that serve.
type world struct {
	rnd    *rand.Rand
	now    time.Time
	family session.Family
	queue  events
	minted uint64
	reuse  bool // the session was revoked
}

type cookies struct {
	use   session.Use // the handle
	probe session.Use // what the probe names, the zero value for none
	until time.Time   // of the probe
}

type event struct {
	at time.Time
	do func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

func (w *world) after(d time.Duration, do func()) { heap.Push(&w.queue, event{w.now.Add(d), do}) }

// delay is short mostly, up to most sometimes.
func (w *world) delay(most time.Duration) time.Duration {
	if w.rnd.IntN(20) == 0 {
		return time.Duration(w.rnd.Int64N(int64(most))) + time.Millisecond
	}
	return time.Duration(w.rnd.IntN(300)+1) * time.Millisecond
}

// send is one request of jar. Its cookies are those of now; it arrives later.
func (w *world) send(jar *cookies, late time.Duration, safe bool, turns int) {
	sent := *jar
	w.after(w.delay(late), func() {
		use := sent.use
		use.Safe = safe
		use.Probed = sent.probe == sent.use && w.now.Before(sent.until)
		next, _, verdict := w.family.Present(use, w.now, rules)
		w.family = next
		switch verdict {
		case session.Reuse:
			w.reuse = true
		case session.Probe:
			until := w.now.Add(time.Minute)
			w.after(w.delay(time.Second), func() {
				jar.probe, jar.until = sent.use, until
				if turns < 10 {
					w.send(jar, time.Second, safe, turns+1)
				}
			})
		case session.Serve:
			w.after(w.delay(5*time.Minute), func() { w.answer(jar, use) })
		}
	})
}

func (w *world) answer(jar *cookies, use session.Use) {
	next, _, ok := w.family.Deliver(use, w.now, rules)
	w.family = next
	if !ok || w.rnd.IntN(20) == 0 { // the answer is lost
		return
	}
	w.minted++
	var c session.Child
	binary.BigEndian.PutUint64(c[:], w.minted)
	c[15] = 1
	fresh := session.Use{Generation: w.family.Generation, Child: c}
	w.after(w.delay(3*time.Second), func() { jar.use = fresh })
}

// live lets jar be used for a while: bursts, single requests, pauses.
func (w *world) live(jar *cookies, from, to time.Time, late time.Duration, pauses bool) {
	for at := from; at.Before(to); {
		burst := 1
		if w.rnd.IntN(4) == 0 {
			burst = 1 + w.rnd.IntN(12)
		}
		for range burst {
			safe := w.rnd.IntN(5) > 0
			heap.Push(&w.queue, event{at, func() { w.send(jar, late, safe, 0) }})
		}
		gap := time.Duration(w.rnd.IntN(90)+1) * time.Second
		if pauses && w.rnd.IntN(30) == 0 {
			gap = time.Duration(w.rnd.IntN(180)) * time.Minute
		}
		at = at.Add(gap)
	}
}

func (w *world) run() (revoked time.Time) {
	for len(w.queue) > 0 {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
		if w.reuse {
			return w.now
		}
	}
	return time.Time{}
}

func newWorld(seed uint64) (*world, *cookies) {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_000_000, 0)}
	first := session.Child{15: 1}
	w.family = session.NewFamily(first, w.now)
	return w, &cookies{use: session.Use{Generation: 1, Child: first}}
}

func TestHonestBrowsersAreNeverSignedOut(t *testing.T) {
	for seed := range uint64(4000) {
		w, jar := newWorld(seed)
		w.live(jar, w.now, w.now.Add(4*time.Hour), 50*time.Second, true)
		if at := w.run(); !at.IsZero() {
			t.Fatalf("history %d: an honest browser was signed out after %v", seed, at.Sub(time.Unix(1_000_000, 0)))
		}
	}
}

func TestTheftShowsWhileBothAreActive(t *testing.T) {
	missed, latest := 0, time.Duration(0)
	const thefts = 500
	for seed := range uint64(thefts) {
		w, jar := newWorld(seed)
		stolen := w.now.Add(time.Duration(w.rnd.IntN(60)) * time.Minute)
		end := stolen.Add(90 * time.Minute)
		w.live(jar, w.now, end, 30*time.Second, false)
		heap.Push(&w.queue, event{stolen, func() {
			thief := *jar
			w.live(&thief, w.now, end, time.Second, false)
		}})
		at := w.run()
		if at.IsZero() {
			missed++
			continue
		}
		latest = max(latest, at.Sub(stolen))
	}
	if missed > 0 || latest > 3*12*time.Minute {
		t.Errorf("missed %d of %d thefts, saw the latest after %v; want none missed within three rotations", missed, thefts, latest)
	}
	t.Logf("%d thefts, %d unseen within 90 min, the latest seen after %v", thefts, missed, latest.Round(time.Second))
}
