package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/event"
)

// ShelfJournal keeps what happened lately to each person, for their own eyes: sign-ins,
// failed ones, sessions that somebody ended; and by which devices they sign in. It lies on a Shelf, so that gateways share it
// and a restart does not forget. Make one with NewShelfJournal.
//
// It is written beside: whether a name that somebody typed has a journal must not show in
// how long the answer takes.
type ShelfJournal struct {
	shelf Shelf
	log   *slog.Logger
	queue chan entry
	done  chan struct{}
	life  context.Context // ends some time after Close began
	end   context.CancelFunc

	mu     sync.Mutex // guards closed, and the queue against being closed while written to
	closed bool
	lost   int // events that the queue had no place for, since the last line of the log
}

// entry is an event on its way to a journal, or somebody who waits for those before.
type entry struct {
	name   string
	event  event.Event
	meets  *meeting // of a sign-in by a browser that is to be looked up, or nil
	behind chan struct{}
}

const (
	// journalTTL is for how long somebody's journal is kept after its last event.
	journalTTL = 90 * 24 * time.Hour
	// maxJournal bounds the events of one person.
	maxJournal   = 50
	journalQueue = 1024
	journalWait  = 5 * time.Second
	// journalLast is how long Close waits for all that is queued, and ownWait whoever looks:
	// with a store that is away each event takes journalWait.
	journalLast, ownWait = 5 * time.Second, 2 * time.Second
	// journalTries bounds the rounds that are lost to other gateways.
	journalTries = 20
)

// shares bound the events of one name: failures anybody can cause who knows the user name, and
// a phone goes from one network to the next all day.
var shares = map[event.Name]int{event.LoginFailed: 15, event.NewNetwork: 10}

// NewShelfJournal returns a ShelfJournal that writes until Close. A nil log discards.
func NewShelfJournal(shelf Shelf, log *slog.Logger) *ShelfJournal {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	j := &ShelfJournal{shelf: shelf, log: log, queue: make(chan entry, journalQueue), done: make(chan struct{})}
	j.life, j.end = context.WithCancel(context.Background())
	go j.write()
	return j
}

// NewMemoryJournal is one of a process that shares nothing.
func NewMemoryJournal(now func() time.Time, log *slog.Logger) *ShelfJournal {
	if now == nil {
		now = time.Now
	}
	return NewShelfJournal(newMemoryShelf(now), log)
}

// Close writes what is queued, as far as that takes no longer than journalLast.
func (j *ShelfJournal) Close() error {
	j.mu.Lock()
	if !j.closed {
		j.closed = true
		close(j.queue)
	}
	j.mu.Unlock()
	late := time.AfterFunc(journalLast, j.end)
	defer late.Stop()
	<-j.done
	j.end()
	return nil
}

func journalOf(provider, subject string) string { return "journal\x00" + provider + "\x00" + subject }

// Hear is an event.Func.
func (j *ShelfJournal) Hear(ctx context.Context, e event.Event) {
	if kind := event.KindOf(e.Name); kind == nil || !kind.Own || e.Subject == "" {
		return
	}
	in := entry{name: journalOf(e.Provider, e.Subject), event: e}
	if e.Name == event.SessionStarted {
		in.meets, _ = ctx.Value(meetingKey{}).(*meeting)
	}
	if !j.put(in) {
		j.mu.Lock()
		j.lost++
		j.mu.Unlock()
	}
}

// put reports false where there is no place in the queue.
func (j *ShelfJournal) put(e entry) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	select {
	case j.queue <- e:
		return true
	default:
		return false
	}
}

// noted is an event as it lies on the shelf.
type noted struct {
	Name    event.Name `json:"n"`
	At      time.Time  `json:"t"`
	Session string     `json:"s,omitempty"`
	Reason  string     `json:"r,omitempty"`
	Client  string     `json:"c,omitempty"`
	Agent   string     `json:"a,omitempty"`
	// Times is how often the same came in a row, beyond the first.
	Times int `json:"x,omitempty"`
}

// Own returns the events of the person of login, the newest first. Count is how often one
// came in a row. The error is a *Unavailable.
func (j *ShelfJournal) Own(ctx context.Context, login *Login) ([]event.Event, error) {
	// What this very browser has just done is to be among them, and what came of that: a sign-in
	// that is written down may tell of a new device, which is in the queue then.
	late, cancel := context.WithTimeout(ctx, ownWait)
	defer cancel()
	for range 2 {
		if behind := make(chan struct{}); j.put(entry{behind: behind}) {
			select {
			case <-behind:
			case <-late.Done():
			}
		}
	}
	all, _, err := j.load(ctx, journalOf(login.Identity.Provider, login.Identity.Subject))
	if err != nil {
		return nil, &Unavailable{What: "the list of what happened lately", Err: err}
	}
	out := make([]event.Event, 0, len(all))
	for _, n := range slices.Backward(all) {
		out = append(out, event.Event{Name: n.Name, At: n.At, Session: n.Session, Reason: n.Reason, Count: n.Times + 1,
			User: login.Identity.User, Provider: login.Identity.Provider, Subject: login.Identity.Subject,
			Origin: event.Origin{Client: n.Client, Agent: n.Agent}})
	}
	return out, nil
}

// load reads what is there now: events come one right after the other, and so does who looks.
func (j *ShelfJournal) load(ctx context.Context, name string) (all []noted, version uint64, err error) {
	value, version, err := j.shelf.Load(ctx, name, Newest)
	if err != nil || value == nil {
		return nil, version, err
	}
	if err := json.Unmarshal(value, &all); err != nil {
		return nil, version, nil // what a later version wrote, maybe: begun anew
	}
	return all, version, nil
}

// write is the goroutine that does.
func (j *ShelfJournal) write() {
	defer close(j.done)
	for e := range j.queue {
		if e.behind != nil {
			close(e.behind)
			continue
		}
		ctx, cancel := context.WithTimeout(j.life, journalWait)
		err := j.add(ctx, e)
		if err == nil && e.meets != nil {
			err = j.meet(ctx, &e.event, e.meets)
		}
		cancel()
		j.mu.Lock()
		if j.life.Err() != nil && len(j.queue) > 0 { // the last one tells of all
			j.lost++
			j.mu.Unlock()
			continue
		}
		lost := j.lost
		j.lost = 0
		j.mu.Unlock()
		if err != nil || lost > 0 {
			j.log.Warn("what happened to somebody is not on their account page", "event", "journal.failed", "lost", lost, "err", err)
		}
	}
}

func (j *ShelfJournal) add(ctx context.Context, e entry) error {
	for range journalTries {
		all, version, err := j.load(ctx, e.name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(noteDown(all, e.event))
		if err != nil {
			return err
		}
		if ok, err := j.shelf.Save(ctx, e.name, version, value, journalTTL); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("%d other gateways were faster", journalTries)
}

// noteDown returns all with e, of which the oldest go where there are too many: first those
// of the same name, where that has a share.
func noteDown(all []noted, e event.Event) []noted {
	n := noted{Name: e.Name, At: e.At.UTC(), Session: e.Session, Reason: e.Reason, Client: e.Origin.Client, Agent: e.Origin.Agent}
	if last := len(all) - 1; last >= 0 && all[last].same(&n) {
		n.Times = all[last].Times + 1
		all = all[:last]
	}
	all = append(slices.Clone(all), n)
	if most, bounded := shares[n.Name]; bounded {
		others := 0
		for _, o := range all {
			if o.Name == n.Name {
				others++
			}
		}
		if others > most {
			first := slices.IndexFunc(all, func(o noted) bool { return o.Name == n.Name })
			all = slices.Delete(all, first, first+1)
		}
	}
	return all[max(0, len(all)-maxJournal):]
}

func (n *noted) same(as *noted) bool {
	return n.Name == as.Name && n.Session == as.Session && n.Reason == as.Reason && n.Client == as.Client && n.Agent == as.Agent
}
