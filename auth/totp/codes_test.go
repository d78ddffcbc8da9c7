package totp

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/session/sessiontest"
)

// vault is a credential.Cabinet in a session store.
type vault struct{ session.Vault }

func (v vault) Load(ctx context.Context, name string, atLeast uint64) ([]byte, uint64, error) {
	return v.LoadNewer(ctx, name, atLeast)
}

func (v vault) Save(ctx context.Context, name string, prev uint64, value []byte, ttl time.Duration) (bool, error) {
	err := v.Vault.Save(ctx, name, prev, value, ttl)
	if errors.Is(err, session.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// away is a store that is out of order.
type away struct{ session.Store }

func (away) Get(context.Context, session.Key, uint64) (session.Record, error) {
	return session.Record{}, errors.New("no route to it")
}

// desk is Codes with a clock that stands still, and alice, whose app has a secret.
type desk struct {
	*Codes
	t      *testing.T
	store  session.Store
	ring   *session.Ring
	at     time.Time
	secret []byte
}

func newDesk(t *testing.T) *desk {
	ring, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, store: memory.New(), ring: ring, at: time.Unix(2000000000, 0), secret: []byte("12345678901234567890")}
	d.Codes = &Codes{Book: credential.NewBook(vault{session.Vault{Store: d.store, Ring: ring}}), Now: func() time.Time { return d.at }}
	if _, err := d.SetUp(t.Context(), "alice", d.secret, Code(d.secret, Step(d.at)), true); err != nil {
		t.Fatal(err)
	}
	d.at = d.at.Add(Period)
	return d
}

func (d *desk) code() string { return Code(d.secret, Step(d.at)) }

func (d *desk) codes() []string {
	d.t.Helper()
	codes, err := d.Renew(d.t.Context(), "alice", false)
	if err != nil || len(codes) != recoveryCodes {
		d.t.Fatalf("got %d recovery codes, %v", len(codes), err)
	}
	return codes
}

// want has a code of alice's looked at.
func (d *desk) want(code, how string) auth.Checked {
	d.t.Helper()
	got, err := d.Check(d.t.Context(), "alice", code)
	is := "taken"
	if _, ok := errors.AsType[*auth.Refused](err); ok {
		is = "refused"
	} else if th, ok := errors.AsType[*auth.Throttled](err); ok {
		is = "wait " + th.RetryAfter.String()
		if th.ForGood {
			is = "for good"
		}
	} else if err != nil {
		is = err.Error()
	}
	if is != how {
		d.t.Errorf("code %s: got %q, want %q", code, is, how)
	}
	return got
}

// TestCodeOnce: a code is taken once, those before it never, and what stays behind is no code.
func TestCodeOnce(t *testing.T) {
	d := newDesk(t)
	d.want(Code(d.secret, Step(d.at)-1), "refused") // that one set the app up
	if got := d.want(" "+d.code()[:3]+" "+d.code()[3:], "taken"); got.Recovery || got.ACR != auth.ACRMulti || strings.Join(got.AMR, " ") != "otp mfa" {
		t.Errorf("got %+v", got)
	}
	d.want(d.code(), "refused")
	d.want(Code(d.secret, Step(d.at)+1), "taken") // a clock that is ahead
	d.at = d.at.Add(Period)
	d.want(d.code(), "refused") // and it was taken then
	d.at = d.at.Add(Period)
	d.want(d.code(), "taken")
	if _, err := d.Check(t.Context(), "bob", d.code()); !errors.Is(err, errNone) {
		t.Errorf("somebody who has nothing set up: got %v", err)
	}
}

// TestRecoveryCodeOnce: each is taken once, in whatever way it is typed; new ones void the others; what is
// kept of them is not what is shown.
func TestRecoveryCodeOnce(t *testing.T) {
	d := newDesk(t)
	codes := d.codes()
	if got := d.want(strings.ToLower(strings.ReplaceAll(codes[3], "-", " ")), "taken"); !got.Recovery || got.Left != 9 {
		t.Errorf("got %+v, want 9 left", got)
	}
	d.want(codes[3], "refused")
	d.want(codes[9], "taken")
	if again, err := d.Renew(t.Context(), "alice", true); err != nil || again != nil {
		t.Errorf("got %d codes, %v; there are some already", len(again), err)
	}
	newer := d.codes()
	d.want(codes[0], "refused")
	d.want(newer[0], "taken")
	if none, err := d.Renew(t.Context(), "bob", false); err != nil || none != nil {
		t.Errorf("somebody who has nothing set up: got %d codes, %v", len(none), err)
	}
	r, err := d.Book.Load(t.Context(), "alice")
	if err != nil || len(r.Recovery) != 9 || len(r.Recovery[0].Digest) != 32 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestGuessing: ten wrong codes are free, then waits double up to 15 minutes, and after a hundred
// nobody guesses any more. A recovery code is taken all the while.
func TestGuessing(t *testing.T) {
	d := newDesk(t)
	recovery := d.codes()
	for _, malformed := range []string{"", "12345", "1234567", "AAAA-BBBB"} {
		d.want(malformed, "refused")
	}
	for range 10 {
		d.want("000000", "refused")
	}
	wait := time.Second
	for n := 11; n <= 100; n++ {
		d.want(d.code(), "wait "+wait.String()) // not looked at, though it is right
		d.want("AAAA-BBBB-CCCC-DDDD", "wait "+wait.String())
		d.at = d.at.Add(wait)
		d.want("000000", "refused")
		wait = min(2*wait, 15*time.Minute)
	}
	d.at = d.at.Add(1000 * time.Hour)
	d.want(d.code(), "for good")
	d.want(recovery[0], "taken")
	d.want("000000", "refused")
	d.want(d.code(), "taken") // which sets the count back
	for range 9 {
		d.want("000000", "refused")
	}
	d.at = d.at.Add(Period)
	d.want(d.code(), "taken")
	for range 10 {
		d.want("000000", "refused")
	}
	d.want("000000", "wait 1s")
}

// TestSetUp: a code of another secret sets nothing up, another app takes the place of the first,
// whoever is to have none yet gets none, and nothing stays behind a last one.
func TestSetUp(t *testing.T) {
	d := newDesk(t)
	other := []byte("another secret of 20")
	if _, err := d.SetUp(t.Context(), "alice", other, d.code(), false); !errors.Is(err, errWrong) {
		t.Errorf("by a code of another app: got %v", err)
	}
	if _, err := d.SetUp(t.Context(), "alice", other, Code(other, Step(d.at)), true); !errors.Is(err, auth.ErrChanged) {
		t.Errorf("for somebody who has one: got %v", err)
	}
	d.want(d.code(), "taken")
	if _, err := d.SetUp(t.Context(), "alice", other, Code(other, Step(d.at)), false); err != nil {
		t.Fatal(err)
	}
	d.at = d.at.Add(Period)
	d.want(d.code(), "refused")
	d.want(Code(other, Step(d.at)), "taken")
	codes := d.codes()
	if removed, err := d.Remove(t.Context(), "alice", true); removed || !errors.Is(err, auth.ErrLastFactor) {
		t.Errorf("the last one, where there has to be one: got %t, %v", removed, err)
	}
	if removed, err := d.Remove(t.Context(), "alice", false); !removed || err != nil {
		t.Errorf("got %t, %v", removed, err)
	}
	d.want(codes[0], "refused")
	if r, err := d.Book.Load(t.Context(), "alice"); err != nil || r.HasSecond() || r.Recovery != nil {
		t.Errorf("after the last one is gone: got %+v, %v", r, err)
	}
	if removed, err := d.Remove(t.Context(), "alice", false); removed || err != nil {
		t.Errorf("a second time: got %t, %v", removed, err)
	}
}

// TestOutageIsNoRefusal: where the store is out of order nobody is told that a code is wrong.
func TestOutageIsNoRefusal(t *testing.T) {
	d := newDesk(t)
	d.Book = credential.NewBook(vault{session.Vault{Store: away{d.store}, Ring: d.ring}})
	_, err := d.Check(t.Context(), "alice", d.code())
	if _, ok := errors.AsType[*auth.Unavailable](err); !ok {
		t.Errorf("got %v, want a *auth.Unavailable", err)
	}
}

// TestWhatIsChangedIsWhatThereIs: a copy at hand that is older than what was just written does not
// have somebody who set an app up go without recovery codes, nor keep what is to be removed, nor is
// it shown to whoever looks what there is now.
func TestWhatIsChangedIsWhatThereIs(t *testing.T) {
	d := newDesk(t)
	if removed, err := d.Remove(t.Context(), "alice", false); !removed || err != nil {
		t.Fatalf("got %t, %v", removed, err)
	}
	d.Book = credential.NewBook(vault{session.Vault{Store: sessiontest.NewLate(d.store), Ring: d.ring}})
	if r, err := d.Book.Load(t.Context(), "alice"); err != nil || r.HasSecond() {
		t.Fatalf("got %+v, %v, want nothing set up", r, err)
	}
	if _, err := d.SetUp(t.Context(), "alice", d.secret, d.code(), true); err != nil {
		t.Fatal(err)
	}
	if codes, err := d.Renew(t.Context(), "alice", true); err != nil || len(codes) != recoveryCodes {
		t.Errorf("got %d recovery codes, %v", len(codes), err)
	}
	if e, err := d.Book.Enrolled(t.Context(), "alice"); err != nil || e.Authenticator.IsZero() || e.Codes != recoveryCodes {
		t.Errorf("once the app is set up: got %+v, %v", e, err)
	}
	if removed, err := d.Remove(t.Context(), "alice", false); !removed || err != nil {
		t.Errorf("remove: got %t, %v", removed, err)
	}
	if e, err := d.Book.Enrolled(t.Context(), "alice"); err != nil || e.Any() {
		t.Errorf("once the app is removed: got %+v, %v", e, err)
	}
	for _, value := range []string{"", "of alice", "of bob"} {
		if value != "" {
			if err := d.Book.PutNote(t.Context(), "kind", "key", []byte(value), 0); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := d.Book.Note(t.Context(), "kind", "key"); err != nil || string(got) != value {
			t.Errorf("got the note %q, %v, want %q", got, err, value)
		}
	}
	if err := d.Book.Forget(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Book.Load(t.Context(), "alice"); err != nil || !r.Empty() {
		t.Errorf("once all is forgotten: got %+v, %v", r, err)
	}
}
