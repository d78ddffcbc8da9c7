package passkey_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/auth/passkey"
	"github.com/evergate/evergate/internal/event"
)

func TestPossible(t *testing.T) {
	for text, want := range map[string]bool{
		"https://apps.example.org": true, "https://apps.example.org:8443": true, "http://localhost:8080": true, "http://a.localhost": true,
		"http://apps.example.org": false, "https://192.0.2.1": false, "http://127.0.0.1:80": false, "https://[2001:db8::1]": false,
	} {
		at, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := passkey.Possible(at); got != want {
			t.Errorf("%s: got %t", text, got)
		}
	}
}

// TestProofs: what a passkey proves, by what its authenticator does.
func TestProofs(t *testing.T) {
	for _, k := range []struct {
		synced, verifies bool
		amr              string
	}{
		{false, true, "pop hwk user uv mfa"}, {true, true, "pop swk user uv mfa"}, {false, false, "pop hwk user mfa"},
	} {
		h, d := newHouse(t), newDevice(t)
		d.Synced, d.Verifies = k.synced, k.verifies
		made := h.enrol("alice", d)
		d.Count++
		who, used, err := h.use("alice", false, d)
		if err != nil || who != "alice" || strings.Join(used.AMR, " ") != k.amr || used.ACR != "phr" || !slices.Equal(made.AMR, used.AMR) {
			t.Errorf("%+v: got %s, %v and %v, %v", k, who, used, made, err)
		}
	}
}

// TestAlone: a passkey says whose it is, and is taken only from an authenticator that made sure who
// holds it.
func TestAlone(t *testing.T) {
	h, alice, bob := newHouse(t), newDevice(t), newDevice(t)
	h.enrol("alice", alice)
	h.enrol("bob", bob)
	for user, d := range map[string]*device{"alice": alice, "bob": bob} {
		if who, p, err := h.use("", false, d); err != nil || who != user || !slices.Contains(p.AMR, auth.AMRVerified) {
			t.Errorf("%s: got %q, %v, %v", user, who, p, err)
		}
	}
	for name, spoil := range map[string]func(d *device){
		"not verified":       func(d *device) { d.Verifies = false },
		"somebody else's":    func(d *device) { d.Handle = bob.Handle },
		"nobody's":           func(d *device) { d.Handle = make([]byte, 32) },
		"it does not say so": func(d *device) { d.Handle = nil },
	} {
		d := *alice
		spoil(&d)
		who, p, err := h.use("", false, &d)
		if refused, ok := errors.AsType[*auth.Refused](err); !ok || p.ACR != "" {
			t.Errorf("%s: got %q, %v, %v, want a refusal", name, who, p, err)
		} else if strings.Contains(refused.Error(), base64.RawURLEncoding.EncodeToString(alice.Handle)) {
			t.Errorf("%s: the log would have a handle: %v", name, err)
		}
	}
}

// TestWhatIsRefused: answers of which one thing is not as it has to be, for the making of a passkey
// and for its use.
func TestWhatIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(d *device){
		"another site":         func(d *device) { d.Origin, d.Party = "https://apps.example.net", "apps.example.net" },
		"a page in between":    func(d *device) { d.Origin = "https://apps.example.org.evil.test" },
		"another port":         func(d *device) { d.Origin = home + ":8443" },
		"without TLS":          func(d *device) { d.Origin = "http://apps.example.org" },
		"another host of ours": func(d *device) { d.Origin = "https://wiki.apps.example.org" },
		"another party":        func(d *device) { d.Party = "example.org" },
		"another ceremony":     func(d *device) { d.Kind = "payment.get" },
		"another key":          func(d *device) { d.Key = newDevice(t).Key },
		"now synced":           func(d *device) { d.Synced = true },
		"unknown":              func(d *device) { d.ID = []byte("no such credential") },
	} {
		h, d := newHouse(t), newDevice(t)
		h.enrol("alice", d)
		spoilt := *d
		spoil(&spoilt)
		for _, user := range []string{"alice", ""} {
			if _, p, err := h.use(user, false, &spoilt); !isRefused(err) || p.ACR != "" {
				t.Errorf("%s, %q: got %v, %v, want a refusal", name, user, p, err)
			}
		}
		if slices.Contains([]string{"another key", "now synced", "unknown"}, name) {
			continue // that is as good a new passkey as any
		}
		_, c, err := h.Offer(t.Context(), "alice", "alice", false)
		if err != nil {
			t.Fatal(err)
		}
		fresh := newDevice(t)
		spoil(fresh)
		if _, err := h.Add(t.Context(), c, "x", fresh.Make(c.Challenge)); !isRefused(err) {
			t.Errorf("%s: a passkey is made: %v", name, err)
		}
	}
}

func isRefused(err error) bool {
	_, ok := errors.AsType[*auth.Refused](err)
	return ok
}

// TestVerificationDemanded: where it is, an authenticator that cannot tell who holds it is refused,
// also after a password.
func TestVerificationDemanded(t *testing.T) {
	h, d := newHouse(t), newDevice(t)
	d.Verifies = false
	h.enrol("alice", d)
	if _, _, err := h.use("alice", true, d); !isRefused(err) {
		t.Errorf("got %v, want a refusal", err)
	}
	_, c, err := h.Offer(t.Context(), "alice", "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(t.Context(), c, "x", newDeviceWithout(t).Make(c.Challenge)); !isRefused(err) {
		t.Errorf("one is made: %v", err)
	}
}

func newDeviceWithout(t *testing.T) *device {
	d := newDevice(t)
	d.Verifies = false
	return d
}

// TestClone: a counter that goes back, or stands still, is told and refused, and the passkey that
// counts on is taken.
func TestClone(t *testing.T) {
	h, d := newHouse(t), newDevice(t)
	d.Count = 7
	h.enrol("alice", d)
	for _, count := range []uint32{7, 3, 0} {
		d.Count, h.told = count, nil
		if _, _, err := h.use("", false, d); !isRefused(err) {
			t.Errorf("%d after 7: got %v, want a refusal", count, err)
		}
		if len(h.told) != 1 || h.told[0].Name != event.CloneSuspected || h.told[0].User != "local/alice" || h.told[0].Part != "Laptop" {
			t.Errorf("%d after 7: told %+v", count, h.told)
		}
	}
	d.Count, h.told = 8, nil
	if _, _, err := h.use("", false, d); err != nil || h.told != nil {
		t.Errorf("8 after 7: got %v, and told %v", err, h.told)
	}
}

// TestUsed: a passkey without a counter is written down once a minute at most, one with a counter
// each time.
func TestUsed(t *testing.T) {
	h, d := newHouse(t), newDevice(t)
	h.enrol("alice", d)
	use := func() int {
		t.Helper()
		before := h.drawer.Writes()
		if _, _, err := h.use("", false, d); err != nil {
			t.Fatal(err)
		}
		return h.drawer.Writes() - before
	}
	got := []int{use(), use()}
	h.now = h.now.Add(time.Minute)
	got = append(got, use(), use())
	d.Count = 1
	got = append(got, use())
	if want := []int{1, 0, 1, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v writes, want %v", got, want)
	}
	e, err := h.book.Enrolled(t.Context(), "alice")
	if err != nil || len(e.Passkeys) != 1 || !e.Passkeys[0].Used.Equal(h.now) || e.Passkeys[0].Synced {
		t.Errorf("got %+v, %v", e, err)
	}
}

// TestKeeping: names, the last one, too many, the same again.
func TestKeeping(t *testing.T) {
	h, d := newHouse(t), newDevice(t)
	h.enrol("alice", d)
	id := credential.PasskeyID(d.ID)
	if err := h.Rename(t.Context(), "bob", id, "Mine"); !errors.Is(err, auth.ErrNoPasskey) {
		t.Errorf("somebody else's is renamed: %v", err)
	}
	if err := h.Rename(t.Context(), "alice", id, "Phone"); err != nil {
		t.Error(err)
	}
	if _, err := h.Remove(t.Context(), "alice", id, false); !errors.Is(err, auth.ErrLastFactor) {
		t.Errorf("the last one goes: %v", err)
	}
	_, c, err := h.Offer(t.Context(), "alice", "alice", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(t.Context(), c, "again", d.Make(c.Challenge)); !isRefused(err) {
		t.Errorf("it is there twice: %v", err)
	}
	late := newDevice(t)
	for n := 1; n < auth.MaxPasskeys; n++ {
		h.enrol("alice", newDevice(t))
	}
	if _, _, err := h.Offer(t.Context(), "alice", "alice", false); !errors.Is(err, auth.ErrManyPasskeys) {
		t.Errorf("there may be one more: %v", err)
	}
	if _, err := h.Add(t.Context(), c, "late", late.Make(c.Challenge)); !errors.Is(err, auth.ErrManyPasskeys) {
		t.Errorf("one that began before is one too many: %v", err)
	}
	if name, err := h.Remove(t.Context(), "alice", id, false); err != nil || name != "Phone" {
		t.Errorf("got %q, %v", name, err)
	}
	if _, _, err := h.use("", false, d); !isRefused(err) {
		t.Errorf("a removed one opens: %v", err)
	}
	if _, _, err := h.Ask(t.Context(), "nobody", false); !isRefused(err) {
		t.Errorf("somebody without passkeys is asked for one: %v", err)
	}
}

// TestResetMeanwhile: whose credentials were taken away while a passkey was made gets none.
func TestResetMeanwhile(t *testing.T) {
	h, d := newHouse(t), newDevice(t)
	h.enrol("alice", d)
	_, c, err := h.Offer(t.Context(), "alice", "alice", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.book.Edit(t.Context(), "alice", func(r *credential.Record) error { *r = credential.Record{}; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Add(t.Context(), c, "x", newDevice(t).Make(c.Challenge)); !isRefused(err) {
		t.Errorf("a passkey is made: %v", err)
	}
	if _, _, err := h.use("", false, d); !isRefused(err) {
		t.Errorf("the old one opens: %v", err)
	}
}

// TestOutage: a store that is away is no refusal.
func TestOutage(t *testing.T) {
	h, d := newHouse(t), newDevice(t)
	h.enrol("alice", d)
	_, c, err := h.Ask(t.Context(), "", true)
	if err != nil {
		t.Fatal(err)
	}
	_, making, err := h.Offer(t.Context(), "alice", "alice", false)
	if err != nil {
		t.Fatal(err)
	}
	h.drawer.SetAway(true)
	for name, err := range map[string]error{
		"assert": second(h.Assert(t.Context(), c, d.Sign(c.Challenge))),
		"add":    first(h.Add(t.Context(), making, "x", newDevice(t).Make(making.Challenge))),
		"ask":    second(h.Ask(t.Context(), "alice", false)),
		"offer":  second(h.Offer(t.Context(), "alice", "alice", false)),
		"rename": h.Rename(t.Context(), "alice", credential.PasskeyID(d.ID), "x"),
		"remove": first(h.Remove(t.Context(), "alice", credential.PasskeyID(d.ID), true)),
	} {
		if _, ok := errors.AsType[*auth.Unavailable](err); !ok || isRefused(err) {
			t.Errorf("%s: got %v, want an outage", name, err)
		}
	}
}

func first[A any](_ A, err error) error          { return err }
func second[A, B any](_ A, _ B, err error) error { return err }

// TestParallelUse: of two answers with one counter, on two gateways at once, one is taken.
func TestParallelUse(t *testing.T) {
	h, d := newHouse(t), newDevice(t)
	h.enrol("alice", d)
	d.Count = 1
	results := make(chan error)
	for range 2 {
		_, c, err := h.Ask(t.Context(), "", true)
		if err != nil {
			t.Fatal(err)
		}
		answer := d.Sign(c.Challenge)
		go func() {
			k := newHouseOn(t, h)
			_, _, err := k.Assert(t.Context(), c, answer)
			results <- err
		}()
	}
	if a, b := <-results, <-results; (a == nil) == (b == nil) {
		t.Errorf("got %v and %v, want one refusal", a, b)
	}
}

// newHouseOn is another gateway on the store of h.
func newHouseOn(t *testing.T, h *house) *passkey.Keeper {
	at, err := url.Parse(home)
	if err != nil {
		panic(err)
	}
	k, err := passkey.New(passkey.Config{PublicURL: at, Book: credential.NewBook(h.drawer)})
	if err != nil {
		panic(fmt.Sprint(t.Name(), err))
	}
	return k
}

// FuzzAnswers: whatever a browser says, a passkey of alice's is not made and not used without her
// key, and nothing but a refusal comes of it.
func FuzzAnswers(f *testing.F) {
	h, d := newHouse(f), newDevice(f)
	h.enrol("alice", d)
	if _, _, err := h.Offer(f.Context(), "bob", "bob", false); err != nil {
		f.Fatal(err)
	}
	stranger := newDevice(f)
	stranger.ID, stranger.Handle = d.ID, d.Handle
	const challenge = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
	f.Add(stranger.Sign(challenge))
	f.Add(d.Make(challenge))
	other := newDevice(f)
	other.Origin = "https://evil.test"
	f.Add(other.Make(challenge))
	f.Add([]byte(`{"id":"","rawId":"","type":"public-key","response":{}}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, user := range []string{"", "alice"} {
			c := &auth.Ceremony{Challenge: challenge, User: user, Verify: user == ""}
			if who, p, err := h.Assert(t.Context(), c, answer); !isRefused(err) || p.ACR != "" {
				t.Errorf("got %q, %v, %v, want a refusal", who, p, err)
			}
		}
		// A good new passkey is one; it goes again, so that there is room.
		if _, err := h.Add(t.Context(), &auth.Ceremony{Challenge: challenge, User: "bob", Make: true}, "x", answer); err == nil {
			e, err := h.book.Enrolled(t.Context(), "bob")
			if err != nil || len(e.Passkeys) != 1 {
				t.Fatalf("got %+v, %v", e, err)
			}
			if _, err := h.Remove(t.Context(), "bob", e.Passkeys[0].ID, true); err != nil {
				t.Fatal(err)
			}
		} else if !isRefused(err) {
			t.Errorf("making: got %v, want a refusal", err)
		}
	})
}
