package session

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

// Device is where a session was signed in from.
type Device struct {
	// Agent is the User-Agent header, cut to 256 bytes.
	Agent string `json:"agent,omitempty"`
	// Address is that of the client.
	Address string `json:"address,omitempty"`
}

const maxAgent = 256

func deviceOf(r *http.Request) (d Device) {
	d.Agent = r.UserAgent()
	d.Agent = d.Agent[:min(len(d.Agent), maxAgent)]
	if addr := web.NoteOf(r.Context()).Client; addr.IsValid() {
		d.Address = addr.String()
	}
	return d
}

// Info is what a list shows of a session. It is sealed under the key ring, apart from
// the session itself, which only its cookie opens.
type Info struct {
	// Name is that of logs; it opens nothing.
	Name     string    `json:"name"`
	User     string    `json:"user"`
	Provider string    `json:"provider"`
	Subject  string    `json:"subject"`
	Created  time.Time `json:"created"`
	// Seen is written coarsely.
	Seen   time.Time `json:"seen"`
	Ends   time.Time `json:"ends"`
	Device Device    `json:"device"`
	// Bound says that wherever the session has a cookie it is bound to a key of its browser,
	// so that a copy of its cookies opens nothing for long.
	Bound bool `json:"bound"`
	// Retired says that a later sign-in of the same browser took its place, and that it
	// lives on for a moment only, for what was under way.
	Retired bool `json:"retired,omitempty"`

	key    Key
	unread bool // nothing but the name, the key and whose it is are known
	over   bool // its time is over, and it is kept to tell why
}

const purposeMeta = "meta"

// meta seals what a list shows.
func (s *state) meta(ring *Ring, key Key, ends time.Time) []byte {
	id := &s.Login.Identity
	plain, err := json.Marshal(Info{User: id.User, Provider: id.Provider, Subject: id.Subject, Created: s.Created, Seen: s.Seen, Ends: ends, Device: s.Device, Bound: s.bound(), Retired: s.Retired})
	if err != nil || len(plain) > 60<<10 {
		return nil // it is not listed; nothing else depends on it
	}
	return ring.SealBlob(purposeMeta, key[:], plain)
}

// Ledger lists and ends sessions without their cookies. A Manager has one; it is also
// of use while no gateway runs.
type Ledger struct {
	Store Store
	Ring  *Ring
}

// List returns the sessions of a user, or all of them where user is "", the latest
// used first. Those sealed under a key that is not on the ring any more are left out.
func (l Ledger) List(ctx context.Context, user string) ([]Info, error) {
	var all []Info
	take := func(key Key, rec Record) error {
		if info, ok := l.open(key, rec); ok {
			all = append(all, info)
		}
		return nil
	}
	if user == "" {
		if err := l.Store.Scan(ctx, take); err != nil {
			return nil, err
		}
	} else {
		keys, err := l.find(ctx, tagUser, user)
		if err != nil {
			return nil, err
		}
		if err := l.each(ctx, keys, take); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, latestFirst)
	return all, nil
}

// latestFirst is the order of List.
func latestFirst(a, b Info) int {
	return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.Name, b.Name))
}

// each shows the records under keys as they are now, as far as they are there still, until visit
// returns an error, which it returns. Whoever looks at a list has often just changed it.
func (l Ledger) each(ctx context.Context, keys []Key, visit func(Key, Record) error) error {
	for _, key := range keys {
		rec, err := l.Store.Get(ctx, key, Newest)
		if err == nil {
			err = visit(key, rec)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// open returns what a list shows of a session, if it shows it.
func (l Ledger) open(key Key, rec Record) (Info, bool) {
	info, ok := l.read(key, rec)
	return info, ok && !info.over
}

func (l Ledger) read(key Key, rec Record) (Info, bool) {
	plain, _, err := l.Ring.OpenBlob(purposeMeta, key[:], rec.Meta)
	if err != nil {
		return Info{}, false
	}
	var info Info
	if json.Unmarshal(plain, &info) != nil {
		return Info{}, false
	}
	info.Name, info.key = key.Name(), key
	if info.Ends.IsZero() {
		info.Ends = rec.Expires // of an older version
	}
	// Times of a session are the store's, whose clock may be another than ours.
	info.over = !rec.Now.Before(info.Ends)
	return info, true
}

// find returns the sessions under a tag, whichever key of the ring it was made with.
func (l Ledger) find(ctx context.Context, purpose string, parts ...string) ([]Key, error) {
	var all []Key
	for _, tag := range l.Ring.Tags(purpose, parts...) {
		keys, err := l.Store.Find(ctx, tag)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// Which picks sessions to end: those of a user, or of one name, or both; but not
// the one whose name is Except; or those of a subject of a provider, whatever rules call them.
// The zero Which picks none.
type Which struct {
	User   string `json:"user,omitempty"`
	Name   string `json:"name,omitempty"`
	Except string `json:"except,omitempty"`

	Provider string `json:"-"`
	Subject  string `json:"-"`
}

func (l Ledger) pick(ctx context.Context, w Which) (keys []Key, err error) {
	switch {
	case w.Subject != "":
		return l.find(ctx, tagSubject, w.Provider, w.Subject)
	case w == Which{User: w.User}:
		if w.User == "" {
			return nil, nil
		}
		// All of them, those too that are sealed under a key which is gone.
		return l.find(ctx, tagUser, w.User)
	case w.User == "" && w.Name == "":
		return nil, nil
	}
	all, err := l.List(ctx, w.User)
	for _, info := range all {
		if (w.Name == "" || info.Name == w.Name) && (w.Except == "" || info.Name != w.Except) {
			keys = append(keys, info.key)
		}
	}
	return keys, err
}

// Revoke ends the sessions that w picks, in the store: gateways that run see it as
// they see each other's changes. It returns how many there were.
func (l Ledger) Revoke(ctx context.Context, w Which) (int, error) {
	keys, err := l.pick(ctx, w)
	for i, key := range keys {
		if err := l.Store.Delete(ctx, key); err != nil {
			return i, err
		}
		if _, err := dropKept(ctx, l.Store, key); err != nil {
			return i + 1, err
		}
	}
	return len(keys), err
}

// List returns the sessions of a user, or all of them: see [Ledger.List].
func (m *Manager) List(ctx context.Context, user string) ([]Info, error) {
	all, err := Ledger{m.cfg.Store, m.cfg.Ring}.List(ctx, user)
	if err != nil {
		return nil, &auth.Unavailable{What: "the session store", Err: err}
	}
	return all, nil
}

// Revoke ends the sessions that w picks, and returns how many there were. The tokens
// of those that were used here are revoked at the provider too.
func (m *Manager) Revoke(ctx context.Context, w Which) (int, error) {
	keys, err := Ledger{m.cfg.Store, m.cfg.Ring}.pick(ctx, w)
	if err != nil {
		return 0, &auth.Unavailable{What: "the session store", Err: err}
	}
	return m.endKeys(ctx, keys, auth.Operator, event.ByOperator)
}
