package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

var _ auth.Devices = (*Manager)(nil)

// own are the sessions of whoever is the subject of login at its provider. They are found
// by a tag that is keyed with the ring, and what a list shows of them has to say the same.
// One that the list cannot show, since its key is not on the ring any more, is theirs too.
func (m *Manager) own(ctx context.Context, login *auth.Login) (all []Info, err error) {
	id := &login.Identity
	if id.Subject == "" || id.Provider == "" {
		return nil, nil
	}
	ledger := Ledger{m.cfg.Store, m.cfg.Ring}
	keys, err := ledger.find(ctx, tagSubject, id.Provider, id.Subject)
	if err != nil {
		return nil, err
	}
	err = ledger.each(ctx, keys, func(key Key, rec Record) error {
		info, ok := ledger.read(key, rec)
		if !ok {
			info = Info{Name: key.Name(), Provider: id.Provider, Subject: id.Subject, unread: true, key: key}
		}
		if info.Provider == id.Provider && info.Subject == id.Subject {
			all = append(all, info)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// OwnDevices implements auth.Devices. A session that a later sign-in of the same browser
// took the place of is no device of its own.
func (m *Manager) OwnDevices(ctx context.Context, login *auth.Login) ([]auth.Device, error) {
	all, err := m.own(ctx, login)
	if err != nil {
		return nil, &auth.Unavailable{What: "the session store", Err: err}
	}
	var devices []auth.Device
	for _, info := range all {
		if info.unread || info.over || info.Retired {
			continue
		}
		devices = append(devices, auth.Device{Name: info.Name, Created: info.Created, Seen: info.Seen, Ends: info.Ends,
			Agent: info.Device.Agent, Address: info.Device.Address, Bound: info.Bound, Current: info.Name == nameOf(login)})
	}
	slices.SortFunc(devices, func(a, b auth.Device) int {
		switch {
		case a.Current:
			return -1
		case b.Current:
			return 1
		}
		return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.Name, b.Name))
	})
	return devices, nil
}

// EndOwn implements auth.Devices.
func (m *Manager) EndOwn(ctx context.Context, login *auth.Login, name string) (int, error) {
	return m.endOwn(ctx, login, event.ByPerson, func(info *Info) bool { return info.Name == name })
}

// EndOthers implements auth.Devices.
func (m *Manager) EndOthers(ctx context.Context, login *auth.Login, reason string) (int, error) {
	if nameOf(login) == "" {
		return 0, errors.New("session: nobody asks, so that there are no others")
	}
	return m.endOwn(ctx, login, reason, func(info *Info) bool { return info.Name != nameOf(login) })
}

// EndEvery implements auth.Devices.
func (m *Manager) EndEvery(ctx context.Context, login *auth.Login, reason string) (int, error) {
	return m.endOwn(ctx, login, reason, func(*Info) bool { return true })
}

// endTogether is how many sessions of a person end at the same time. Each is a write that waits
// for the store's disk or network; bolt has those that come together in one transaction.
const endTogether = 64

// endOwn ends those that are picked. What it counts and tells of are those that still lived.
func (m *Manager) endOwn(ctx context.Context, login *auth.Login, reason string, picked func(*Info) bool) (ended int, err error) {
	// Half of it is worse than all of it: whoever asked may hang up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	all, err := m.own(ctx, login)
	all = slices.DeleteFunc(all, func(info Info) bool { return !picked(&info) })
	var (
		wg   sync.WaitGroup
		next atomic.Int64
		mu   sync.Mutex // guards ended and err
	)
	for range min(endTogether, len(all)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(all)); i = next.Add(1) - 1 {
				lived, err2 := m.endOne(ctx, login, reason, &all[i])
				mu.Lock()
				if lived {
					ended++
				}
				err = errors.Join(err, err2) // the others end all the same
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err != nil {
		return ended, &auth.Unavailable{What: "the session store", Err: err}
	}
	return ended, nil
}

// endOne ends one session of a person, and reports whether it lived as a device of theirs.
func (m *Manager) endOne(ctx context.Context, login *auth.Login, reason string, info *Info) (lived bool, err error) {
	was := m.known(info.key)
	if err := m.revoke(ctx, info.key, auth.Elsewhere); err != nil {
		return false, err
	}
	if info.over && was == nil {
		return false, nil // nothing is left to tell of; it is gone in case that another config lets it live longer
	}
	m.tell(ctx, slog.LevelInfo, "a person ended a session of theirs", event.Event{
		Name: event.SessionRevoked, Session: info.Name, User: login.Identity.User, Provider: info.Provider, Subject: info.Subject,
		Reason: reason, Actor: login.Identity.User})
	if was != nil {
		m.revokeThere(was, info.key)
	}
	return !info.Retired, nil
}

// nameOf is the name of the session that a login came by, or "".
func nameOf(login *auth.Login) string {
	if login.Session == nil {
		return ""
	}
	return login.Session.ID()
}
