package session_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/session/sessiontest"
)

func TestVault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, k2 := session.NewKey(time.Now().Add(-time.Hour)), session.NewKey(time.Now())
		ring, err := session.NewRing(k1)
		if err != nil {
			t.Fatal(err)
		}
		rec := &recorder{Store: memory.New()}
		v := session.Vault{Store: rec, Ring: ring}
		ctx := t.Context()
		if value, version, err := v.Load(ctx, "keys"); value != nil || version != 0 || err != nil {
			t.Errorf("nothing: got %q, %d, %v", value, version, err)
		}
		if err := v.Save(ctx, "keys", 0, []byte("a secret key"), 0); err != nil {
			t.Fatal(err)
		}
		if err := v.Save(ctx, "keys", 0, []byte("another"), 0); !errors.Is(err, session.ErrConflict) {
			t.Errorf("a second first: got %v, want ErrConflict", err)
		}
		if strings.Contains(rec.text(), "secret") || strings.Contains(rec.text(), "keys") {
			t.Error("it lies in the store in the clear")
		}
		time.Sleep(365 * 24 * time.Hour)
		value, version, err := v.Load(ctx, "keys")
		if err != nil || string(value) != "a secret key" || version != 1 {
			t.Errorf("a year later: got %q, %d, %v", value, version, err)
		}
		// A new key opens what the old one sealed, and the old one alone does not open
		// what the new one seals.
		if err := ring.Replace(k2, k1); err != nil {
			t.Fatal(err)
		}
		if err := v.Save(ctx, "keys", 1, value, 0); err != nil {
			t.Fatal(err)
		}
		older, _ := session.NewRing(k1)
		if _, _, err := (session.Vault{Store: rec, Ring: older}).Load(ctx, "keys"); !errors.Is(err, session.ErrUnknownKey) {
			t.Errorf("under a key that is not on the ring: got %v, want ErrUnknownKey", err)
		}

		if err := v.Save(ctx, "form", 0, []byte("typed"), time.Minute); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if value, _, err := v.Load(ctx, "form"); value != nil || err != nil {
			t.Errorf("after its time: got %q, %v, want nothing", value, err)
		}
	})
}

// TestResealedThingOutlivesTheOldKey: a ring that has lost the old key opens it.
func TestResealedThingOutlivesTheOldKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, k2 := session.NewKey(time.Now().Add(-time.Hour)), session.NewKey(time.Now())
		ring, err := session.NewRing(k1)
		if err != nil {
			t.Fatal(err)
		}
		v, ctx := session.Vault{Store: memory.New(), Ring: ring}, t.Context()
		if err := v.Reseal(ctx, "keys"); err != nil {
			t.Errorf("nothing: got %v", err)
		}
		if err := v.Save(ctx, "keys", 0, []byte("x"), time.Hour); err != nil {
			t.Fatal(err)
		}
		if err := ring.Replace(k2, k1); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after time.Duration
			want  uint64
		}{{0, 1}, {6 * time.Minute, 2}, {time.Minute, 2}} { // a fresh key does not seal yet
			time.Sleep(c.after)
			if err := v.Reseal(ctx, "keys"); err != nil {
				t.Fatal(err)
			}
			if _, version, err := v.Load(ctx, "keys"); version != c.want || err != nil {
				t.Errorf("%v later: got version %d, %v, want %d", c.after, version, err, c.want)
			}
		}
		if err := ring.Replace(k2); err != nil {
			t.Fatal(err)
		}
		if value, _, err := v.Load(ctx, "keys"); string(value) != "x" || err != nil {
			t.Errorf("without the old key: got %q, %v", value, err)
		}
		time.Sleep(53 * time.Minute)
		if value, _, err := v.Load(ctx, "keys"); value != nil || err != nil {
			t.Errorf("after its time: got %q, %v, want nothing", value, err)
		}
		if err := v.Save(ctx, "keys", 0, []byte("y"), 0); err != nil {
			t.Fatal(err)
		}
		if err := ring.Replace(k1); err != nil {
			t.Fatal(err)
		}
		if err := v.Reseal(ctx, "keys"); !errors.Is(err, session.ErrUnknownKey) {
			t.Errorf("under a key that is not on the ring: got %v, want ErrUnknownKey", err)
		}
	})
}

func TestResealKnowsACopyThatIsOutOfDate(t *testing.T) {
	k1, k2 := session.NewKey(time.Now().Add(-time.Hour)), session.NewKey(time.Now().Add(-time.Hour))
	ring := func(keys ...secret.Text) *session.Ring {
		r, err := session.NewRing(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	store, ctx := sessiontest.NewLate(memory.New()), t.Context()
	v := session.Vault{Store: store, Ring: ring(k1)}
	for i, value := range []string{"first", "second"} {
		if err := v.Save(ctx, "keys", uint64(i), []byte(value), 0); err != nil {
			t.Fatal(err)
		}
		if got, _, err := v.Load(ctx, "keys"); err != nil || string(got) != "first" {
			t.Fatalf("the copy at hand: got %q, %v, want what was there first", got, err)
		}
	}
	if err := (session.Vault{Store: store, Ring: ring(k2, k1)}).Reseal(ctx, "keys"); err != nil {
		t.Fatal(err)
	}
	if value, _, err := (session.Vault{Store: store.Store, Ring: ring(k2)}).Load(ctx, "keys"); err != nil || string(value) != "second" {
		t.Errorf("by the newer key alone: got %q, %v, want what was written last", value, err)
	}
}

func TestFreshKeySealsFiveMinutesAfterItWasMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := session.NewKey(time.Now().Add(-time.Hour))
		others, err := session.NewRing(old) // a gateway that has not read its files again
		if err != nil {
			t.Fatal(err)
		}
		ring, err := session.NewRing(session.NewKey(time.Now()), old)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after time.Duration
			want  error
		}{{0, nil}, {5*time.Minute - time.Second, nil}, {2 * time.Second, session.ErrUnknownKey}} {
			time.Sleep(c.after)
			value, err := ring.Seal("handle", "h", []byte("x"), 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := others.Open("handle", "h", value); !errors.Is(err, c.want) {
				t.Errorf("%v later: got %v, want %v", c.after, err, c.want)
			}
			if _, err := ring.Open("handle", "h", value); err != nil {
				t.Errorf("%v later: its own ring: %v", c.after, err)
			}
		}
		lone, err := session.NewRing(session.NewKey(time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lone.Seal("handle", "h", []byte("x"), 0); err != nil {
			t.Errorf("the first key of all: got %v, want it to seal at once", err)
		}
		if err := lone.Replace(); err == nil {
			t.Error("no key at all: got no error")
		}
	})
}

// TestNamesCanBeTyped: a session's name is an argument of commands.
func TestNamesCanBeTyped(t *testing.T) {
	for i := range 2000 {
		name := session.ID{byte(i), byte(i >> 8)}.Key().Name()
		if len(name) != 12 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Fatalf("got %q, want 12 letters and digits", name)
		}
	}
}
