package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

const (
	firefoxLinux   = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	firefoxLinux99 = "Mozilla/5.0 (X11; Linux x86_64; rv:999.0) Gecko/20100101 Firefox/999.0"
	chromeWindows  = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// metBook is a journal that looks whether devices are known.
type metBook struct {
	*auth.ShelfJournal
	at   time.Time
	told []event.Event
}

// signIn returns what it told of a sign-in.
func (b *metBook) signIn(t *testing.T, subject, agent, client string, cookie, marked bool) []event.Event {
	t.Helper()
	b.told, b.at = nil, b.at.Add(time.Minute)
	ctx := auth.MeetingContext(t.Context(), cookie, marked, func(e event.Event) { b.told = append(b.told, e) })
	b.Hear(ctx, event.Event{Name: event.SessionStarted, At: b.at, Provider: "p", Subject: subject, User: subject, Session: "s",
		Origin: event.Origin{Client: client, Agent: agent, RequestID: "r"}})
	_, _ = b.Own(t.Context(), &auth.Login{}) // which waits for what came before
	return b.told
}

func TestNewDevice(t *testing.T) {
	type sign struct {
		agent, client  string
		cookie, marked bool
		tells          string // what is known, or "-"
	}
	const here, near, there = "192.0.2.7", "192.0.2.200", "198.51.100.1"
	for name, signs := range map[string][]sign{
		"the first sign-in there is":          {{firefoxLinux, here, false, false, "-"}},
		"the same browser":                    {{firefoxLinux, here, false, false, "-"}, {firefoxLinux, here, false, false, "-"}},
		"another version":                     {{firefoxLinux, here, false, false, "-"}, {firefoxLinux99, here, false, false, "-"}},
		"the same browser elsewhere":          {{firefoxLinux, here, false, false, "-"}, {firefoxLinux, there, false, false, "-"}},
		"another browser":                     {{firefoxLinux, here, false, false, "-"}, {chromeWindows, here, false, false, "Firefox on Linux"}},
		"another browser, twice":              {{firefoxLinux, here, false, false, "-"}, {chromeWindows, here, false, false, "Firefox on Linux"}, {chromeWindows, there, false, false, "-"}},
		"a third one":                         {{firefoxLinux, here, false, false, "-"}, {chromeWindows, here, false, false, "Firefox on Linux"}, {"curl/8.1", here, false, false, "Chrome on Windows, Firefox on Linux"}},
		"one that says nothing":               {{firefoxLinux, here, false, false, "-"}, {"", here, false, false, "Firefox on Linux"}},
		"marked: by its cookie":               {{firefoxLinux, here, false, true, "-"}, {chromeWindows, there, true, true, "-"}},
		"marked: without it, in its network":  {{firefoxLinux, here, false, true, "-"}, {firefoxLinux, near, false, true, "-"}},
		"marked: without it, elsewhere":       {{firefoxLinux, here, false, true, "-"}, {firefoxLinux, there, false, true, "Firefox on Linux"}},
		"marked: without it, elsewhere again": {{firefoxLinux, here, false, true, "-"}, {firefoxLinux, there, false, true, "Firefox on Linux"}, {firefoxLinux, there, false, true, "-"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &metBook{ShelfJournal: auth.NewMemoryJournal(nil, nil), at: time.Now()}
			defer func() { _ = b.Close() }()
			b.signIn(t, "bob", "Wget/1.0", there, false, false) // somebody else's
			for i, s := range signs {
				told := b.signIn(t, "alice", s.agent, s.client, s.cookie, s.marked)
				if s.tells == "-" {
					if len(told) != 0 {
						t.Errorf("%d: got %+v, want nothing told", i, told)
					}
					continue
				}
				if len(told) != 1 {
					t.Fatalf("%d: got %+v, want one new device", i, told)
				}
				if e := told[0]; e.Name != event.NewDevice || e.Before != s.tells || !strings.HasSuffix(e.Now, "/24") || e.User != "alice" || e.Session != "s" ||
					e.Action != "log" || e.Origin.Client != s.client || e.Origin.RequestID != "r" || !e.At.Equal(b.at) {
					t.Errorf("%d: got %+v, want that %q are known, and the request that it came of", i, e, s.tells)
				}
			}
		})
	}
	t.Run("long ago", func(t *testing.T) {
		b := &metBook{ShelfJournal: auth.NewMemoryJournal(nil, nil), at: time.Now()}
		defer func() { _ = b.Close() }()
		b.signIn(t, "alice", firefoxLinux, here, false, false)
		b.at = b.at.Add(90 * 24 * time.Hour)
		b.signIn(t, "alice", chromeWindows, here, false, false)
		b.at = b.at.Add(91 * 24 * time.Hour)
		if told := b.signIn(t, "alice", firefoxLinux, here, false, false); len(told) != 1 || told[0].Before != "Chrome on Windows" {
			t.Errorf("half a year later: got %+v, want a device that is not known any more", told)
		}
	})
	t.Run("many", func(t *testing.T) {
		b := &metBook{ShelfJournal: auth.NewMemoryJournal(nil, nil), at: time.Now()}
		defer func() { _ = b.Close() }()
		for i := range 100 {
			b.signIn(t, "alice", firefoxLinux, fmt.Sprintf("10.0.%d.1", i), false, true)
		}
		if told := b.signIn(t, "alice", firefoxLinux, "10.0.99.1", false, true); len(told) != 0 {
			t.Errorf("got %+v, want the latest known", told)
		}
		if told := b.signIn(t, "alice", firefoxLinux, "10.0.0.1", false, true); len(told) != 1 {
			t.Errorf("got %+v, want what is long ago forgotten", told)
		}
	})
}

// tellingSessions tell of sign-ins, as those of the session package do.
type tellingSessions struct {
	*sessions
	hear event.Func
}

func (s tellingSessions) Begin(h http.Header, r *http.Request, login *auth.Login, remember bool) error {
	err := s.sessions.Begin(h, r, login, remember)
	if err == nil {
		event.Tell(r.Context(), nil, s.hear, 0, "", event.Event{Name: event.SessionStarted, Provider: login.Identity.Provider, Subject: login.Identity.Subject, User: login.Identity.User})
	}
	return err
}

// TestSignInByANewDevice: from the form to the account page.
func TestSignInByANewDevice(t *testing.T) {
	for _, on := range []bool{true, false} {
		t.Run(fmt.Sprint("told ", on), func(t *testing.T) {
			journal := auth.NewMemoryJournal(nil, nil)
			defer func() { _ = journal.Close() }()
			people := &stamped{stamp: "stamp"}
			h := open(t, func(c *auth.HandlerConfig) {
				c.Password, c.Journal, c.NewDevices, c.Heard = people, journal, on, journal.Hear
				c.Sessions = tellingSessions{c.Sessions.(*sessions), journal.Hear}
			})
			signIn := func(user, agent, cookies string) page {
				form := url.Values{"username": {user}, "password": {user + user}}.Encode()
				p := h.browser().do("POST!", "/.evergate/login", urlencoded, form, "User-Agent", agent, "Cookie", cookies)
				p.want(t, 303)
				return p
			}
			news := func() (n int) {
				t.Helper()
				own, err := journal.Own(t.Context(), &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "alice"}})
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range own {
					if e.Name == event.NewDevice {
						n += e.Count
					}
				}
				return n
			}
			want := func(n int, what string) {
				t.Helper()
				if !on {
					n = 0
				}
				if got := news(); got != n {
					t.Errorf("%s: got %d new devices in all, want %d", what, got, n)
				}
			}
			first := signIn("alice", firefoxLinux, "")
			want(0, "the first device")
			signIn("alice", firefoxLinux99, "")
			want(0, "its next version, in a private window")
			known := cookieNamed(first, knownCookie)
			signIn("alice", chromeWindows, knownCookie+"="+known.Value)
			want(0, "the same cookies under another name")
			people.stamp = "changed"
			signIn("alice", "curl/8.1", knownCookie+"="+known.Value)
			want(0, "the same after a new password")
			signIn("bob", "Wget/1.0", "")
			last := signIn("alice", "Wget/1.0", "")
			want(1, "another device")
			signIn("alice", "Wget/1.0", "")
			want(1, "the same again")

			body := h.browser().get("/.evergate/account", "Cookie", sessionCookie+"="+cookieNamed(last, sessionCookie).Value).body
			if strings.Contains(body, "Signed in by a browser that was not known at this account") != on {
				t.Errorf("the account page says of it, want %v:\n%s", on, body)
			}
		})
	}
}

// TestWordsForRiskSignals: each signal and each end has words of its own on the account page and
// on the page to sign in at.
func TestWordsForRiskSignals(t *testing.T) {
	for reason, says := range map[string]string{
		auth.Suspected: "To be safe, sign in again", auth.ChangedBrowser: "another browser used it", auth.ParallelUse: "two browsers in two places used it",
	} {
		h := open(t)
		p := h.browser().get("/.evergate/login?max_age=0&why=" + reason)
		if p.want(t, 200); !strings.Contains(p.body, says) {
			t.Errorf("%s: the page does not say %q:\n%s", reason, says, p.body)
		}
	}
	shelf := auth.NewMemoryJournal(nil, nil)
	defer func() { _ = shelf.Close() }()
	h := open(t, func(c *auth.HandlerConfig) { c.Journal = shelf })
	b := h.browser()
	b.signIn("/", "alice")
	for name, reason := range map[event.Name]string{event.NewNetwork: "", event.ChangedBrowser: "", event.ParallelUse: "", event.SessionRevoked: event.OtherBrowser} {
		shelf.Hear(context.Background(), event.Event{Name: name, Reason: reason, Provider: "local", Subject: "alice", At: time.Now()})
	}
	p := b.get("/.evergate/account")
	for _, says := range []string{"A sign-in was used from another network", "A sign-in was used by another browser than", "A sign-in was used by two browsers in two places",
		"A device was signed out for safety: another browser used its sign-in"} {
		if !strings.Contains(p.body, says) {
			t.Errorf("the account page does not say %q", says)
		}
	}
}

// TestNetworksDoNotPushOut: a phone that goes from one network to the next all day leaves the
// sign-in to be seen.
func TestNetworksDoNotPushOut(t *testing.T) {
	j := auth.NewMemoryJournal(nil, nil)
	defer func() { _ = j.Close() }()
	alice := &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "alice"}}
	j.Hear(t.Context(), event.Event{Name: event.SessionStarted, Provider: "local", Subject: "alice", At: time.Now()})
	for i := range 200 {
		j.Hear(t.Context(), event.Event{Name: event.NewNetwork, Provider: "local", Subject: "alice", At: time.Now(), Origin: event.Origin{Client: fmt.Sprintf("10.0.%d.1", i)}})
	}
	own, err := j.Own(t.Context(), alice)
	if err != nil || len(own) != 11 || own[10].Name != event.SessionStarted || own[0].Origin.Client != "10.0.199.1" {
		t.Errorf("got %d events, %v, want ten networks and the sign-in", len(own), err)
	}
}

// TestSuspectedForm: a form that was being sent is kept for the person whose session has to be
// signed in again, as it is where a session has ended, and reaches the app afterwards.
func TestSuspectedForm(t *testing.T) {
	h := open(t)
	b := h.browser()
	b.signIn("/", "alice")
	h.got()
	alice := &auth.Login{Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}, AuthTime: noon}
	h.sessions.set(func() {
		h.sessions.fault = &auth.Absent{Reason: auth.Suspected, Demand: &auth.Demand{Fresh: true}, Login: alice}
	})
	p := b.post("/save", url.Values{"text": {"long"}}, "Referer", h.URL+"/edit")
	if p.want(t, 200, "To be safe, sign in again"); !strings.Contains(p.at(), "max_age=0") || strings.Contains(p.body, "alice") {
		t.Fatalf("got %s\n%s\nwant the page to sign in at, which says why and not who", p.at(), p.body)
	}
	program := b.get("/data", "Accept", "application/json", "Sec-Fetch-Mode", "cors")
	if program.want(t, 401, `"reason":"suspected"`); !strings.Contains(program.Header.Get("Www-Authenticate"), `error="insufficient_user_authentication"`) {
		t.Errorf("a program: got %q", program.Header.Get("Www-Authenticate"))
	}
	out := b.get("/.evergate/logout")
	if out.want(t, 200, "Sign out?", "To be safe, sign in again"); strings.Contains(out.body, "alice") {
		t.Errorf("the page to sign out on says whose it is:\n%s", out.body)
	}
	h.sessions.set(func() { h.sessions.fault = nil })
	back := b.submit(p, "username", "alice", "password", "alicealice")
	back.want(t, 200)
	b.submit(back)
	if got := h.got(); len(got) == 0 || got[len(got)-1].method != "POST" || got[len(got)-1].body != "text=long" {
		t.Errorf("the app got %+v, want what was being sent", got)
	}
}
