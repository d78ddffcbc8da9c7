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

// FuzzCookie gives the Manager any Cookie header: it never panics, never
// serves, and always says in its own types why not.
func FuzzCookie(f *testing.F) {
	ring, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		f.Fatal(err)
	}
	m, err := session.New(session.Config{Store: memory.New(), Ring: ring, Cookie: "c", Methods: map[string]auth.Refresher{},
		IdleTimeout: time.Hour, MaxLifetime: time.Hour, Grace: time.Minute})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = m.Close() })
	for _, purpose := range []string{"handle", "probe"} {
		for _, plain := range [][]byte{nil, {1}, bytes.Repeat([]byte{1}, 73), bytes.Repeat([]byte{0xff}, 73), make([]byte, 74)} {
			v, err := ring.Seal(purpose, "gw.test", plain, 0)
			if err != nil {
				f.Fatal(err)
			}
			f.Add("c=" + v)
			f.Add("c-probe=" + v + "; c=" + v)
			f.Add("c=" + v + "; c=" + v)
		}
	}
	f.Add(`c="x y"; c=; =c`)
	f.Fuzz(func(t *testing.T, cookie string) {
		r := httptest.NewRequest(http.MethodGet, "http://gw.test/", nil)
		r.Header["Cookie"] = []string{cookie}
		login, err := m.Authenticate(r)
		var absent *auth.Absent
		var unavailable *auth.Unavailable
		if login != nil || (!errors.As(err, &absent) && !errors.As(err, &unavailable)) {
			t.Errorf("got %v, %v, want nobody signed in", login, err)
		}
	})
}
