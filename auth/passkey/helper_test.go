package passkey_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/auth/passkey"
	"github.com/evergate/evergate/auth/passkey/passkeytest"
	"github.com/evergate/evergate/internal/event"
)

const home = "https://apps.example.org"

// house is a Keeper with what it keeps passkeys in, and what it told.
type house struct {
	*passkey.Keeper
	t      testing.TB
	drawer *passkeytest.Drawer
	book   *credential.Book
	now    time.Time
	told   []event.Event
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, drawer: &passkeytest.Drawer{}, now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	h.book = credential.NewBook(h.drawer)
	at, err := url.Parse(home)
	if err == nil {
		h.Keeper, err = passkey.New(passkey.Config{PublicURL: at, Book: h.book, Provider: "local", Prefix: "local/", Now: func() time.Time { return h.now },
			Heard: func(_ context.Context, e event.Event) { h.told = append(h.told, e) }})
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

type device = passkeytest.Device

func newDevice(t testing.TB) *device { return passkeytest.NewDevice(t, home, "apps.example.org") }

// enrol makes a passkey for user.
func (h *house) enrol(user string, d *device) auth.Proof {
	h.t.Helper()
	options, c, err := h.Offer(h.t.Context(), user, user, false)
	if err != nil {
		h.t.Fatal(err)
	}
	var o struct {
		User struct{ ID string }
	}
	if err := json.Unmarshal(options, &o); err != nil {
		h.t.Fatal(err)
	}
	if d.Handle, err = base64.RawURLEncoding.DecodeString(o.User.ID); err != nil {
		h.t.Fatal(err)
	}
	p, err := h.Add(h.t.Context(), c, "Laptop", d.Make(c.Challenge))
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// use signs in with a passkey; "" is by it alone.
func (h *house) use(user string, verify bool, d *device) (string, auth.Proof, error) {
	h.t.Helper()
	_, c, err := h.Ask(h.t.Context(), user, verify)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.Assert(h.t.Context(), c, d.Sign(c.Challenge))
}
