package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/internal/event"
)

// diary keeps what happened to people.
type diary struct {
	all   []event.Event // the oldest first
	fault error
}

func (d *diary) Own(_ context.Context, login *auth.Login) (own []event.Event, err error) {
	for i := len(d.all) - 1; i >= 0; i-- {
		if e := d.all[i]; e.Provider == login.Identity.Provider && e.Subject == login.Identity.Subject {
			own = append(own, e)
		}
	}
	return own, d.fault
}

// devices are those of the sessions of a house.
type devices struct {
	s     *sessions
	old   int  // so many more there are
	half  bool // the store goes away after the first
	bound bool // to keys of their browsers
	fault error
}

func (d *devices) each(login *auth.Login, f func(id string, l *auth.Login)) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	for id, l := range d.s.live {
		if l.Identity.Provider == login.Identity.Provider && l.Identity.Subject == login.Identity.Subject {
			f(id, l)
		}
	}
}

func (d *devices) OwnDevices(_ context.Context, login *auth.Login) (all []auth.Device, err error) {
	d.each(login, func(_ string, l *auth.Login) {
		all = append(all, auth.Device{Name: l.Session.ID(), Created: noon, Seen: noon, Ends: noon.Add(time.Hour), Bound: d.bound, Current: l.Session.ID() == login.Session.ID()})
	})
	for i := range d.old {
		all = append(all, auth.Device{Name: fmt.Sprintf("old-%d", i), Created: noon, Seen: noon, Ends: noon.Add(time.Hour), Agent: strings.Repeat("curl/8 ", 20)})
	}
	return all, d.fault
}

func (d *devices) end(login *auth.Login, picked func(name string) bool) (n int, err error) {
	d.each(login, func(id string, l *auth.Login) {
		if picked(l.Session.ID()) && (!d.half || n == 0) {
			delete(d.s.live, id)
			n++
		}
	})
	if d.half {
		err = d.fault
	}
	return n, err
}

func (d *devices) EndOwn(_ context.Context, login *auth.Login, name string) (int, error) {
	return d.end(login, func(n string) bool { return n == name })
}

func (d *devices) EndOthers(_ context.Context, login *auth.Login, _ string) (int, error) {
	return d.end(login, func(n string) bool { return n != login.Session.ID() })
}

func (d *devices) EndEvery(_ context.Context, login *auth.Login, _ string) (int, error) {
	return d.end(login, func(string) bool { return true })
}

// openAccount is a house with a list of devices and a diary.
func openAccount(t *testing.T, edit ...func(*auth.HandlerConfig)) (h *house, d *devices, j *diary) {
	d, j = &devices{}, &diary{}
	h = open(t, append([]func(*auth.HandlerConfig){func(c *auth.HandlerConfig) {
		d.s, _ = c.Sessions.(*sessions)
		c.Devices, c.Journal = d, j
	}}, edit...)...)
	return h, d, j
}

const accountURL = "/.evergate/account"

// TestOwnEvents: everything that the catalogue says is for its person has words on the page,
// and each reason has its own.
func TestOwnEvents(t *testing.T) {
	h, _, j := openAccount(t)
	b := h.browser()
	b.signIn("/", "alice")
	show := func(name event.Name, reason string) string {
		t.Helper()
		j.all = []event.Event{{Name: name, Reason: reason, At: noon.Add(-3 * time.Hour), Provider: "local", Subject: "alice",
			Origin: event.Origin{Client: "192.0.2.9", Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}}}
		p := b.get(accountURL)
		p.want(t, 200, "3 hours ago", "from 192.0.2.9", "Firefox on Linux")
		_, list, _ := strings.Cut(p.body, `<ul class="events">`)
		list, _, _ = strings.Cut(list, "<br>")
		_, words, _ := strings.Cut(list, ">")
		return words
	}
	own := 0
	for _, kind := range event.Kinds {
		if !kind.Own {
			j.all = []event.Event{{Name: kind.Name, At: noon, Provider: "local", Subject: "alice"}}
			b.get(accountURL).want(t, 200, "Nothing has happened lately.")
			continue
		}
		own++
		seen := map[string]string{}
		for _, reason := range append(kind.Reasons, "a reason of tomorrow") {
			words := show(kind.Name, reason)
			if before, twice := seen[words]; words == "" || strings.Contains(words, string(kind.Name)) || twice && len(kind.Reasons) > 0 {
				t.Errorf("%s %s: got the words %q, as of %q", kind.Name, reason, words, before)
			}
			seen[words] = reason
		}
	}
	if own < 6 {
		t.Errorf("got %d kinds that are for their person, want 6", own)
	}
}

func TestEventsOfOthersAndTooMany(t *testing.T) {
	h, _, j := openAccount(t)
	b := h.browser()
	b.signIn("/", "alice")
	for i := range 60 {
		j.all = append(j.all, event.Event{Name: event.SessionStarted, At: noon.Add(time.Duration(i-60) * time.Minute), Provider: "local", Subject: "alice",
			Origin: event.Origin{Agent: "<script>evil</script>", Client: "2001:db8::1"}})
	}
	j.all = append(j.all, event.Event{Name: event.ReuseDetected, At: noon, Provider: "local", Subject: "bob"})
	p := b.get(accountURL)
	p.want(t, 200, "1 minute ago", "from 2001:db8::1", "Unknown browser")
	if n := strings.Count(p.body, "Signed in<br>"); n != 50 || strings.Contains(p.body, "<script>evil") || strings.Contains(p.body, "for safety") {
		t.Errorf("got %d events, want the 50 newest of alice:\n%s", n, p.body)
	}
	j.fault = &auth.Unavailable{What: "the session store"}
	b.get(accountURL).want(t, 200, "What happened lately cannot be shown right now.", "This device")
}

// TestAccountOfManyDevices: the page stays small, and says what it leaves out.
func TestAccountOfManyDevices(t *testing.T) {
	h, d, _ := openAccount(t)
	d.old = 570
	b := h.browser()
	b.signIn("/", "alice")
	p := b.get(accountURL)
	p.want(t, 200, "This device", "old-48", "521 more devices are signed in that are not shown here", "Sign out all other devices", "Sign out everywhere")
	if strings.Contains(p.body, "old-49\"") || len(p.body) > 64<<10 {
		t.Errorf("got a page of %d bytes, want the 50 latest devices and less than 64 KiB", len(p.body))
	}
	d.old = 49
	if p := b.get(accountURL); strings.Contains(p.body, "not shown here") || !strings.Contains(p.body, "old-48") {
		t.Error("with 50 devices one of them is left out")
	}
}

func TestAccountSaysWhatIsBound(t *testing.T) {
	h, d, _ := openAccount(t)
	b := h.browser()
	b.signIn("/", "alice")
	const words = "Bound to its device"
	if p := b.get(accountURL); strings.Contains(p.body, words) {
		t.Errorf("it says that an unbound session is bound:\n%s", p.body)
	}
	d.bound = true
	b.get(accountURL).want(t, 200, words)
}

func TestAccountWithoutAList(t *testing.T) {
	h := open(t) // as with the cookie store
	b := h.browser()
	b.signIn("/", "alice")
	p := b.get(accountURL)
	p.want(t, 200, "has no list of them", "Sign out on this device", "keeps no record", "Name of alice", "alice@example.org", "staff", "password", "Your password cannot be changed here")
	if strings.Contains(p.body, "Sign out everywhere") || strings.Contains(p.body, "ACCESS-TOKEN") {
		t.Errorf("it offers what there is not, or shows a token:\n%s", p.body)
	}
	for _, which := range []string{"one", "others", "all"} {
		b.post("/.evergate/account/signout", url.Values{"which": {which}, "session": {"x"}}).want(t, 404, "There is no list of devices here", "Nothing was done.")
	}
	b.get("/app").want(t, 200, "the app")
	b.submit(p).want(t, 200, "<h1>Signed out</h1>")
}

func TestAccountOfAProvidersPerson(t *testing.T) {
	c := newCorp()
	c.amr = []string{"pwd", "otp", "swk", "pop", "unheard-of"}
	h := openWith(t, c, false)
	b := h.browser()
	b.get(back(b.depart("/")))
	p := b.get(accountURL)
	p.want(t, 200, "corp/carol", "at Corp &amp; Sons", "password, one-time code, key on the device</dd>", "You sign in at Corp &amp; Sons. If you have a password, it is changed there.")
	b.get("/.evergate/account/password").want(t, 404, "Your password cannot be changed here", "it is changed there")
	if policy := p.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https:") {
		t.Errorf("signing out leads on to the provider, and the page forbids it: %s", policy)
	}
}

func TestSignOutThatEndsHalfway(t *testing.T) {
	h, d, _ := openAccount(t)
	b := h.browser()
	b.signIn("/", "alice")
	for range 2 {
		h.browser().signIn("/", "alice")
	}
	d.half, d.fault = true, &auth.Unavailable{What: "the session store"}
	b.post("/.evergate/account/signout", url.Values{"which": {"all"}}).
		want(t, 503, "Your devices are still signed in", "The session store is out of order", "1 of your devices was signed out, and the rest were not")
	b.get("/app").want(t, 200, "the app")
}

// changer answers whatever it is told to.
type changer struct {
	err   error
	asked int
}

func (c *changer) CanChange(*auth.Login) bool { return true }

func (c *changer) MinPassword() int { return auth.MinPassword }

func (c *changer) Change(_ context.Context, _ auth.Asker, login *auth.Login, _, _ string) (*auth.Login, error) {
	c.asked++
	fresh := *login
	fresh.Session = nil
	return &fresh, c.err
}

func TestPasswordThatIsNotChanged(t *testing.T) {
	c := &changer{}
	h, _, _ := openAccount(t, func(cfg *auth.HandlerConfig) { cfg.Passwords = c })
	b := h.browser()
	b.signIn("/", "alice")
	form := url.Values{"current": {"CURRENT"}, "new": {"a new one for me"}, "again": {"a new one for me"}}
	const path = "/.evergate/account/password"
	for _, k := range []struct {
		err    error
		status int
		text   string
	}{
		{&auth.Refused{Reason: "wrong password"}, 403, "The current password is wrong."},
		{&auth.Throttled{RetryAfter: 11500 * time.Millisecond}, 429, "Wait 12 seconds, then try again."},
		{&auth.Unavailable{What: "what keeps the passwords", Err: errors.New("internal detail")}, 503, "Your password is not changed: what keeps the passwords is out of order"},
		{auth.ErrChanged, 409, "Somebody else changed your password in this very moment."},
		{&auth.BadPassword{Why: auth.PasswordShort}, 422, "it needs 15 characters"},
		{&auth.BadPassword{Why: auth.PasswordNoText}, 422, "cannot be read as text"},
		{&auth.BadPassword{Why: auth.PasswordCommon}, 422, "one of the most common ones"},
		{&auth.BadPassword{Why: auth.PasswordGuessed}, 422, "too easy to guess"},
		{errors.New("nobody expected this"), 500, "Something went wrong here"},
	} {
		c.err = k.err
		p := b.post(path, form)
		p.want(t, k.status, k.text)
		if strings.Contains(p.body, "CURRENT") || strings.Contains(p.body, "a new one for me") || strings.Contains(p.body, "internal detail") {
			t.Errorf("%v: the page shows a secret:\n%s", k.err, p.body)
		}
	}
	asked := c.asked
	for name, values := range map[string]url.Values{
		"two new ones in one field": {"current": {"c"}, "new": {"a", "b"}, "again": {"a"}},
		"no repetition":             {"current": {"c"}, "new": {"a new one for me"}},
	} {
		if p := b.post(path, values); p.StatusCode != 422 || c.asked != asked {
			t.Errorf("%s: got %d", name, p.StatusCode)
		}
	}
	if p := b.post(path+"?current=c&new=a&again=a", url.Values{}); c.asked > asked+1 || strings.Contains(p.at(), "done=password") {
		t.Errorf("a password in the address was taken: %s", p.at())
	}
	b.get("/app").want(t, 200, "the app")

	// It is changed, and then the store is away.
	c.err = nil

	h.sessions.set(func() { h.sessions.beginFault = &auth.Unavailable{What: "the session store"} })
	b.post(path, form).want(t, 503, "Your password is changed", "sign in again, by the new password")
}
