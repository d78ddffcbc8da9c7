package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/agent"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/web"
)

const (
	// metTTL is for how long a device is known after its last sign-in.
	metTTL = 180 * 24 * time.Hour
	// maxMet bounds what is known of one account, maxMetShown how much of it an event repeats.
	maxMet, maxMetShown = 40, 5
)

// meeting is what is known of the browser that signs somebody in.
type meeting struct {
	// cookie says that it has the cookie of an earlier sign-in to the account, and marked that
	// browsers get one at such accounts.
	cookie, marked bool
	tell           func(event.Event)
}

type meetingKey struct{}

// meets is r where whoever keeps journals is to look whether the browser is known at the account
// of login.
func (h *Handler) meets(r *http.Request, b Browser, login *Login) *http.Request {
	if !h.cfg.NewDevices {
		return r
	}
	m := &meeting{cookie: b.knows(login), marked: login.Stamp != "", tell: func(e event.Event) {
		event.Tell(context.Background(), h.cfg.Log, h.cfg.Heard, slog.LevelInfo, "somebody signed in by a browser that is not known at their account", e)
	}}
	return r.WithContext(context.WithValue(r.Context(), meetingKey{}, m))
}

// knows reports whether b signed in to the account of login lately, by whatever password.
func (b Browser) knows(login *Login) bool {
	account := digest16("account", login.Identity.Subject)
	return login.Stamp != "" && slices.ContainsFunc(b.accounts, func(a acquaintance) bool { return a.account == account })
}

// met is a browser that signed in to an account, as it lies on the shelf.
type met struct {
	Browser string    `json:"b"`
	Network string    `json:"n,omitempty"`
	At      time.Time `json:"t"`
}

func metBy(o *event.Origin) met {
	m := met{Browser: agent.Of(o.Agent).String()}
	if addr, err := netip.ParseAddr(o.Client); err == nil {
		m.Network = web.Vicinity(addr).String()
	}
	return m
}

func metOf(provider, subject string) string { return "devices\x00" + provider + "\x00" + subject }

// meet looks whether a sign-in is by a device that is not known at the account, tells of it, and
// knows it from then on. It is a part of the goroutine that writes.
func (j *ShelfJournal) meet(ctx context.Context, e *event.Event, m *meeting) error {
	name, now := metOf(e.Provider, e.Subject), metBy(&e.Origin)
	now.At = e.At.UTC()
	for range journalTries {
		value, version, err := j.shelf.Load(ctx, name, Newest)
		if err != nil {
			return err
		}
		var known []met
		if value != nil && json.Unmarshal(value, &known) != nil {
			known = nil // what a later version wrote, maybe: begun anew
		}
		known = slices.DeleteFunc(known, func(k met) bool { return now.At.Sub(k.At) >= metTTL })
		value, err = json.Marshal(withMet(known, now))
		if err != nil {
			return err
		}
		switch ok, err := j.shelf.Save(ctx, name, version, value, metTTL); {
		case err != nil:
			return err
		case ok:
			if m.isNew(known, now) {
				m.tell(event.Event{Name: event.NewDevice, At: e.At, Session: e.Session, User: e.User, Provider: e.Provider, Subject: e.Subject,
					Before: browsers(known), Now: now.String(), Action: "log", Origin: e.Origin})
			}
			return nil
		}
	}
	return fmt.Errorf("%d other gateways were faster", journalTries)
}

// isNew reports whether the browser of now is not known, and others are. One without the cookie
// that it should have, if it is the known one, is known where it signed in before.
func (m *meeting) isNew(known []met, now met) bool {
	if m.cookie || len(known) == 0 {
		return false
	}
	return !slices.ContainsFunc(known, func(k met) bool {
		return k.Browser == now.Browser && (!m.marked || k.Network == now.Network)
	})
}

// withMet is known with now, the latest last.
func withMet(known []met, now met) []met {
	all := slices.DeleteFunc(slices.Clone(known), func(k met) bool { return k.Browser == now.Browser && k.Network == now.Network })
	all = append(all, now)
	return all[max(0, len(all)-maxMet):]
}

func (m met) String() string {
	if m.Network == "" {
		return m.Browser
	}
	return m.Browser + " at " + m.Network
}

// browsers are those that are known, the latest first.
func browsers(known []met) string {
	var all []string
	for _, k := range slices.Backward(known) {
		if !slices.Contains(all, k.Browser) && len(all) < maxMetShown {
			all = append(all, k.Browser)
		}
	}
	return strings.Join(all, ", ")
}
