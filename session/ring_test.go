package session_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
)

func TestRingOpensWhatItSealedAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k1, k2 := session.NewKey(time.Now()), session.NewKey(time.Now())
		older, err := session.NewRing(k1)
		if err != nil {
			t.Fatal(err)
		}
		newer, err := session.NewRing(k2, k1)
		if err != nil {
			t.Fatal(err)
		}
		value, err := older.Seal("form", "gw.test", []byte("kept"), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, purpose, host, value string
			ring                       *session.Ring
			want                       error
		}{
			{"its own ring opens it", "form", "gw.test", value, older, nil},
			{"a ring with the key in second place opens it", "form", "gw.test", value, newer, nil},
			{"another purpose does not", "handle", "gw.test", value, older, session.ErrSeal},
			{"another host does not", "form", "other.test", value, older, session.ErrSeal},
			{"a part does not", "form", "gw.test", value[:len(value)-1], older, session.ErrSeal},
			{"nothing does not", "form", "gw.test", "", older, session.ErrSeal},
			{"an endless one does not", "form", "gw.test", value + strings.Repeat("A", 1<<20), older, session.ErrSeal},
			{"only the key id does not", "form", "gw.test", value[:9], older, session.ErrSeal},
		} {
			got, err := c.ring.Open(c.purpose, c.host, c.value)
			if !errors.Is(err, c.want) || (err == nil && string(got) != "kept") {
				t.Errorf("%s: got %q, %v, want %v", c.name, got, err, c.want)
			}
		}
		under2, _ := newer.Seal("form", "gw.test", []byte("kept"), 0)
		if _, err := older.Open("form", "gw.test", under2); !errors.Is(err, session.ErrUnknownKey) {
			t.Errorf("a key that is not on the ring: got %v, want ErrUnknownKey", err)
		}
		time.Sleep(time.Minute)
		if _, err := older.Open("form", "gw.test", value); !errors.Is(err, session.ErrSeal) {
			t.Errorf("after its time: got %v, want ErrSeal", err)
		}
	})
}

func TestRingRefusesWeakKeys(t *testing.T) {
	good := session.NewKey(time.Now())
	for name, keys := range map[string][]secret.Text{
		"none":         nil,
		"empty":        {secret.New("")},
		"a password":   {secret.New("hunter2")},
		"all zeros":    {secret.New("evergate-key-1.0." + strings.Repeat("A", 86))},
		"too short":    {secret.New("evergate-key-1.0.AAAA")},
		"one twice":    {good, good},
		"a bad time":   {secret.New(strings.Replace(good.Reveal(), ".", ".x", 1))},
		"a bad second": {good, secret.New("x")},
	} {
		if _, err := session.NewRing(keys...); err == nil {
			t.Errorf("%s: got no error, want it refused", name)
		} else if strings.Contains(err.Error(), "AAAA") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

// FuzzSealed changes what was sealed by a byte: it opens as it was, for what it was sealed for,
// and otherwise not.
func FuzzSealed(f *testing.F) {
	for way := range byte(4) {
		f.Add([]byte("plain"), "state", "gw.test", uint16(40), byte('\n'), way)
		f.Add([]byte{}, "", "", uint16(8), byte('.'), way)
		f.Add([]byte("x"), "handle|gw", "test", uint16(1<<16-1), byte('='), way)
	}
	ring := fuzzRing(f)
	f.Fuzz(func(t *testing.T, plain []byte, purpose, host string, at uint16, c, way byte) {
		value, err := ring.Seal(purpose, host, plain, time.Hour)
		if err != nil {
			if len(plain) < 2000 {
				t.Fatalf("%d bytes are not sealed: %v", len(plain), err)
			}
			return
		}
		i := int(at) % (len(value) + 1)
		changed := value
		switch {
		case way%4 == 0:
			changed = value[:i] + string([]byte{c}) + value[i:]
		case way%4 == 1 && i < len(value):
			changed = value[:i] + string([]byte{c}) + value[i+1:]
		case way%4 == 2 && i < len(value):
			changed = value[:i] + value[i+1:]
		}
		got, err := ring.Open(purpose, host, changed)
		if same := changed == value; (err == nil) != same || same && !bytes.Equal(got, plain) || err != nil && !errors.Is(err, session.ErrSeal) && !errors.Is(err, session.ErrUnknownKey) {
			t.Fatalf("sealed as %q, and %q opens as %q, %v", value, changed, got, err)
		}
		for _, other := range [][2]string{{purpose + "x", host}, {purpose, "x" + host}} {
			if _, err := ring.Open(other[0], other[1], value); !errors.Is(err, session.ErrSeal) {
				t.Fatalf("sealed for %q and %q, it opens for %q: %v", purpose, host, other, err)
			}
		}
		blob := ring.SealBlob(purpose, []byte(host), plain)
		if got, current, err := ring.OpenBlob(purpose, []byte(host), blob); err != nil || !current || !bytes.Equal(got, plain) {
			t.Fatalf("what lies in the store opens as %q, %v, %v", got, current, err)
		}
		blob[i%len(blob)] ^= max(c, 1)
		if _, _, err := ring.OpenBlob(purpose, []byte(host), blob); err == nil {
			t.Fatal("what lies in the store opens when it is damaged")
		}
	})
}

// FuzzCookie gives the Manager any Cookie header: nobody is signed in but by the whole handle
// of a session that there is, and why not is always said in the Manager's own types.
func FuzzCookie(f *testing.F) {
	ring := fuzzRing(f)
	m, err := session.New(session.Config{Store: memory.New(), Ring: ring, Cookie: "c", Methods: map[string]auth.Refresher{"idp": &method{}},
		IdleTimeout: time.Hour, MaxLifetime: time.Hour, Grace: time.Minute})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = m.Close() })
	h := http.Header{}
	if err := m.Begin(h, jar{}.request("POST"), large("alice", 30), false); err != nil {
		f.Fatal(err)
	}
	j := jar{}
	j.take(h)
	live := j["c"] // LIVE, in what is kept and what other processes are given
	for _, line := range []string{"c=LIVE", "x=y; c=LIVE; c-probe=x", "c=LIVE; c=LIVE", "c=LIVE; c=x", `c="LIVE"`, "C=LIVE", "c=LIVEx", "c=xLIVE", `c="x y"; c=; =c`} {
		f.Add(line)
	}
	for _, purpose := range []string{"handle", "probe"} {
		for _, plain := range [][]byte{nil, {1}, bytes.Repeat([]byte{1}, 73), bytes.Repeat([]byte{0xff}, 73), make([]byte, 74)} {
			v, err := ring.Seal(purpose, "gw.test", plain, 0)
			if err != nil {
				f.Fatal(err)
			}
			f.Add("c=" + v)
			f.Add("c-probe=" + v + "; c=" + v)
		}
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		r := httptest.NewRequest(http.MethodGet, "http://gw.test/", nil)
		r.Header["Cookie"] = []string{strings.ReplaceAll(cookie, "LIVE", live)}
		login, err := m.Authenticate(r)
		_, absent := errors.AsType[*auth.Absent](err)
		_, outage := errors.AsType[*auth.Unavailable](err)
		sole := r.CookiesNamed("c")
		switch whole := len(sole) == 1 && sole[0].Value == live; {
		case (err == nil) != whole || whole && login.Identity.User != "alice":
			t.Errorf("%q: got %+v, %v, want somebody signed in: %v", cookie, login, err, whole)
		case err != nil && (login != nil || !absent && !outage):
			t.Errorf("%q: got %v, %v, want nobody, in one of the types for that", cookie, login, err)
		}
	})
}
