package session_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/session"
)

// FuzzStatelessCookie feeds the Cookie header anything: it is answered without a
// panic, and nobody but who signed in is anybody.
func FuzzStatelessCookie(f *testing.F) {
	ring := fuzzRing(f)
	provider := &method{}
	s, err := session.NewStateless(session.StatelessConfig{
		Ring: ring, Methods: map[string]auth.Refresher{"idp": provider}, Cookie: "c",
		IdleTimeout: time.Hour, MaxLifetime: time.Hour, Grace: time.Minute,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	h := http.Header{}
	if err := s.Begin(h, jar{}.request("POST"), large("alice", 3000), false); err != nil {
		f.Fatal(err)
	}
	j := jar{}
	j.take(h)
	// In what is kept, and what other processes are given, the two are FIRST and SECOND.
	for _, line := range []string{"c=FIRST; c-1=SECOND", "c=FIRST", "c-1=SECOND; c=FIRST", "c=SECOND; c-1=FIRST", "c=FIRST; c-1=SECOND; c-2=SECOND", "c=FIRST; c-1=SECOND; c=FIRST",
		"c=xFIRST; c-1=SECOND", "c=; c-1=; c-2=; c-3=; c-4=; c-5=", "c=AAAAAAAA.AAAA; c-99999999=x; c="} {
		f.Add(line)
	}
	for _, plain := range [][]byte{nil, {1}, make([]byte, 43), append([]byte{1}, make([]byte, 80)...)} {
		sealed, err := ring.Seal("chunk", "gw.test", plain, 0)
		if err != nil {
			f.Fatal(err)
		}
		f.Add("c=" + sealed)
	}
	f.Fuzz(func(t *testing.T, cookie string) {
		r := jar{}.request("GET")
		cookie = strings.NewReplacer("FIRST", j["c"], "SECOND", j["c-1"]).Replace(cookie)
		r.Header.Set("Cookie", cookie)
		login, err := s.Authenticate(r)
		_, outage := errors.AsType[*auth.Unavailable](err)
		switch {
		case err == nil && (login.Identity.User != "alice" || !strings.Contains(cookie, j["c"]) || !strings.Contains(cookie, j["c-1"])):
			t.Errorf("got %q signed in by %q", login.Identity.User, cookie)
		case err != nil && !errors.Is(err, auth.ErrAnonymous) && !outage:
			t.Errorf("got %v, want nobody or an outage", err)
		}
	})
}
