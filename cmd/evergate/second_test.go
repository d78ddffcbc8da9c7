package main

import (
	"encoding/base32"
	"html"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/auth/totp"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
)

// secondHouse is a gateway of alice's, and the app on her phone.
type secondHouse struct {
	t     *testing.T
	g     *gateway
	key   []byte // of the app
	last  int64  // the step of the last code that was used
	edit  func(*config.Config)
	store session.Store
	users string
}

func newSecondHouse(t *testing.T, rule string, store session.Store, keyFile string, more ...func(*config.Config)) *secondHouse {
	t.Helper()
	h := &secondHouse{t: t, store: store}
	alice := withAlice(t)
	h.edit = func(c *config.Config) {
		alice(c)
		c.Identity[0].Local.SecondFactor, h.users = rule, c.Identity[0].Local.UsersFile
		for _, e := range more {
			e(c)
		}
	}
	h.g = replica(t, store, t.TempDir(), keyFile, slog.New(slog.DiscardHandler), h.edit)
	return h
}

// code is what the app shows, or will in a moment: one that was not used yet, and that is good for
// ten seconds more at least.
func (h *secondHouse) code() string {
	h.t.Helper()
	step := max(h.last+1, totp.Step(time.Now().Add(10*time.Second))-1)
	for ; step > totp.Step(time.Now())+1; time.Sleep(100 * time.Millisecond) {
	}
	h.last = step
	return totp.Code(h.key, step)
}

func (h *secondHouse) visitor() *visitor { return &visitor{h.t, map[string]string{}} }

var (
	stepField = regexp.MustCompile(`[?&]step=([0-9a-f]{8})`)
	keyText   = regexp.MustCompile(`id="key">([A-Z2-7 ]+)</code>`)
	codeText  = regexp.MustCompile(`<li><code>([2-9A-Z-]{19})</code>`)
	onward    = regexp.MustCompile(`<a class="button" href="([^"]*)">I have kept them`)
)

// halfway has v give the password that is right, and returns the id of the sign-in under way.
func (h *secondHouse) halfway(v *visitor, demand ...string) string {
	h.t.Helper()
	form := url.Values{"username": {"alice"}, "password": {testPassword}}
	for i := 0; i < len(demand); i += 2 {
		form.Set(demand[i], demand[i+1])
	}
	w := v.do(h.g, http.MethodPost, "/.evergate/login", form)
	m := stepField.FindStringSubmatch(w.Header().Get("Location"))
	if w.Code != http.StatusSeeOther || m == nil {
		h.t.Fatalf("after the password: got %d to %q, want to be asked for more", w.Code, w.Header().Get("Location"))
	}
	return m[1]
}

// prove has v send a code.
func (h *secondHouse) prove(v *visitor, step, code string) *httptest.ResponseRecorder {
	h.t.Helper()
	return v.do(h.g, http.MethodPost, "/.evergate/second", url.Values{"step": {step}, "code": {code}})
}

// in has v sign in by password and app.
func (h *secondHouse) in(v *visitor) {
	h.t.Helper()
	if w := h.prove(v, h.halfway(v), h.code()); w.Code != http.StatusSeeOther {
		h.t.Fatalf("sign in by a code: got %d, %s", w.Code, w.Body)
	}
}

// setUp has v set up the app of the phone, halfway or signed in, and returns the answer.
func (h *secondHouse) setUp(v *visitor, step string) *httptest.ResponseRecorder {
	h.t.Helper()
	page := v.do(h.g, http.MethodGet, "/.evergate/account/app?step="+step, nil)
	m := keyText.FindStringSubmatch(page.Body.String())
	if page.Code != http.StatusOK || m == nil {
		h.t.Fatalf("the page with the key: got %d to %s, %s", page.Code, page.Header().Get("Location"), page.Body)
	}
	var err error
	if h.key, err = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(m[1], " ", "")); err != nil {
		h.t.Fatal(err)
	}
	h.last = 0
	return v.do(h.g, http.MethodPost, "/.evergate/account/app", url.Values{"step": {step}, "code": {h.code()}})
}

// recovery are the codes of a page, and where it goes on to.
func recovery(t *testing.T, w *httptest.ResponseRecorder) (codes []string, next string) {
	t.Helper()
	for _, m := range codeText.FindAllStringSubmatch(w.Body.String(), -1) {
		codes = append(codes, m[1])
	}
	on := onward.FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || len(codes) != 10 || on == nil {
		t.Fatalf("got %d with %d recovery codes, want ten and a way on:\n%s", w.Code, len(codes), w.Body)
	}
	return codes, html.UnescapeString(on[1])
}

func wantPage(t *testing.T, what string, w *httptest.ResponseRecorder, status int, says ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("%s: got %d to %q, want %d:\n%.3000s", what, w.Code, w.Header().Get("Location"), status, w.Body)
	}
	for _, s := range says {
		if !strings.Contains(w.Body.String()+w.Header().Get("Location"), s) {
			t.Errorf("%s: there is no %q in\n%s%s", what, s, w.Header().Get("Location"), w.Body)
		}
	}
}

// TestAppOnTheAccountPage: set up, asked for, replaced by recovery codes, removed; and the
// journal tells of all of it.
func TestAppOnTheAccountPage(t *testing.T) {
	t.Parallel()
	h := newSecondHouse(t, "optional", memory.New(), newKeyFile(t))
	v := h.visitor()
	if w := v.guess(h.g, "alice", testPassword); !strings.Contains(w.Header().Get("Location"), "landed") {
		t.Fatalf("a password alone: got %d to %s", w.Code, w.Header().Get("Location"))
	}
	wantPage(t, "the account page before", v.do(h.g, http.MethodGet, "/.evergate/account", nil), 200, "all that it takes", `href="/.evergate/account/app"`)
	wantPage(t, "codes for nothing", v.do(h.g, http.MethodGet, "/.evergate/account/codes", nil), 409, "nothing to recover")
	first := keyText.FindString(v.do(h.g, http.MethodGet, "/.evergate/account/app", nil).Body.String())
	if again := keyText.FindString(v.do(h.g, http.MethodGet, "/.evergate/account/app", nil).Body.String()); first == "" || again != first {
		t.Errorf("the page once more has the key %s, want %s as before: the app may have it already", again, first)
	}
	wantPage(t, "a code of another app", v.do(h.g, http.MethodPost, "/.evergate/account/app", url.Values{"code": {"000000"}}), 422, "not the code", first)
	codes, next := recovery(t, h.setUp(v, ""))
	wantPage(t, "the account page after", v.do(h.g, http.MethodGet, next, nil), 200, "Your app is set up", "10 recovery codes", "An app that makes codes was set up", "one-time code")

	other := h.visitor()
	step := h.halfway(other)
	wantPage(t, "what asks for the code", other.do(h.g, http.MethodGet, "/.evergate/second?step="+step, nil), 200, `autocomplete="one-time-code"`)
	wantPage(t, "a wrong code", h.prove(other, step, "000000"), 401, "wrong")
	code := h.code()
	wantPage(t, "the right one", h.prove(other, step, code), 303, "landed")
	wantPage(t, "the same again", h.prove(h.visitor(), step, code), 400, "")
	third := h.visitor()
	wantPage(t, "the same code at another sign-in", h.prove(third, h.halfway(third), code), 401, "used already")
	wantPage(t, "a recovery code", h.prove(third, h.halfway(third), strings.ToLower(codes[4])), 303, "landed")
	wantPage(t, "the recovery code again", h.prove(h.visitor(), h.halfway(third), codes[4]), 400)
	wantPage(t, "the recovery code at another sign-in", h.prove(third, h.halfway(third), codes[4]), 401)
	newer, _ := recovery(t, v.do(h.g, http.MethodPost, "/.evergate/account/codes", nil))
	wantPage(t, "one of before", h.prove(third, h.halfway(third), codes[5]), 401)
	wantPage(t, "one of the new", h.prove(third, h.halfway(third), newer[5]), 303)

	wantPage(t, "remove the app", v.do(h.g, http.MethodPost, "/.evergate/account/app/remove", nil), 303, "done=app-removed")
	wantPage(t, "the account page", v.do(h.g, http.MethodGet, "/.evergate/account?done=app-removed", nil), 200, "Your app is removed", "all that it takes",
		"The app that makes codes was removed", "Recovery codes were made", "A recovery code was used to sign in", "the second proof was not")
	wantPage(t, "the other browser goes on", other.do(h.g, http.MethodGet, "/.evergate/account", nil), 200)
	wantPage(t, "a password alone", h.visitor().guess(h.g, "alice", testPassword), 303, "landed")
}

// TestSecondFactorRequired: whoever has none sets one up on the way in, is shown the recovery codes and
// goes on to what they opened; and the last one stays.
func TestSecondFactorRequired(t *testing.T) {
	t.Parallel()
	h := newSecondHouse(t, "required", memory.New(), newKeyFile(t))
	v := h.visitor()
	step := h.halfway(v, "rd", "/page")
	wantPage(t, "what is to be set up", v.do(h.g, http.MethodGet, "/.evergate/second?step="+step, nil), 200, "/.evergate/account/app?step="+step)
	wantPage(t, "the account before", v.do(h.g, http.MethodGet, "/.evergate/account", nil), 303, "/.evergate/login")
	wantPage(t, "a code before there is an app", h.prove(v, step, "123456"), 401)
	_, next := recovery(t, h.setUp(v, step))
	wantPage(t, "go on", v.do(h.g, http.MethodGet, next, nil), 303, "/page")
	wantPage(t, "the page", v.do(h.g, http.MethodGet, "/page", nil), 200, "the app got")
	wantPage(t, "the app's page", v.do(h.g, http.MethodGet, "/.evergate/account/app", nil), 200, "It has to stay")
	wantPage(t, "remove it all the same", v.do(h.g, http.MethodPost, "/.evergate/account/app/remove", nil), 409, "Nothing was changed")
	again := h.visitor()
	step = h.halfway(again)
	wantPage(t, "set up another halfway", again.do(h.g, http.MethodGet, "/.evergate/account/app?step="+step, nil), 303, "/.evergate/second?step="+step)
	wantPage(t, "sign in by it", h.prove(again, step, h.code()), 303, "landed")
}

// TestStepUpToCodes: a page that asks for more than a password has it set up by those who have nothing
// else, and asks those for it who have.
func TestStepUpToCodes(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]config.Rule{"amr": {AMR: []string{"mfa"}}, "acr": {ACR: []string{"mfa"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newSecondHouse(t, "optional", memory.New(), newKeyFile(t), func(c *config.Config) {
				strong := c.Routes[0]
				strong.Name, strong.Match.Path, strong.Allow = "strong", "/strong/", []config.Rule{rule}
				c.Routes = append(c.Routes, strong)
			})
			v := h.visitor()
			v.guess(h.g, "alice", testPassword)
			wantPage(t, "a page that asks for nothing", v.do(h.g, http.MethodGet, "/page", nil), 200, "the app got")
			w := v.do(h.g, http.MethodGet, "/strong/page", nil)
			wantPage(t, "one that does", w, 302, "/.evergate/login?", name+"_values=mfa")
			at, _ := url.Parse(w.Header().Get("Location"))
			var demand []string
			for key, values := range at.Query() {
				demand = append(demand, key, values[0])
			}
			_, next := recovery(t, h.setUp(v, h.halfway(v, demand...)))
			wantPage(t, "go on", v.do(h.g, http.MethodGet, next, nil), 303, "/strong/page")
			wantPage(t, "there", v.do(h.g, http.MethodGet, "/strong/page", nil), 200, "the app got")
			later := h.visitor()
			h.in(later)
			wantPage(t, "there, by a sign-in with a code", later.do(h.g, http.MethodGet, "/strong/page", nil), 200, "the app got")
		})
	}
}

// TestPasswordAloneChangesNoFactor: a session of before, by a password alone, is not enough to put
// something else in the place of what was set up since; nor is one that is not fresh, or a sign-in under way.
func TestPasswordAloneChangesNoFactor(t *testing.T) {
	t.Parallel()
	h := newSecondHouse(t, "optional", memory.New(), newKeyFile(t))
	thief, owner := h.visitor(), h.visitor()
	thief.guess(h.g, "alice", testPassword)
	owner.guess(h.g, "alice", testPassword)
	key := url.Values{"code": {"123456"}, "current": {testPassword}, "new": {newWords}, "again": {newWords}}
	wantPage(t, "the thief's app is on its way", thief.do(h.g, http.MethodGet, "/.evergate/account/app", nil), 200)
	codes, _ := recovery(t, h.setUp(owner, ""))
	for _, c := range []struct{ method, path string }{
		{"GET", "/.evergate/account/app"}, {"POST", "/.evergate/account/app"}, {"POST", "/.evergate/account/app/remove"},
		{"GET", "/.evergate/account/codes"}, {"POST", "/.evergate/account/codes"},
		{"GET", "/.evergate/account/password"}, {"POST", "/.evergate/account/password"},
	} {
		w := thief.do(h.g, c.method, c.path, key)
		wantPage(t, c.method+" "+c.path, w, 303, "/.evergate/login?", "acr_values=mfa", "max_age=600")
		for _, code := range codes {
			if strings.Contains(w.Body.String(), code) {
				t.Errorf("%s %s tells a code", c.method, c.path)
			}
		}
	}
	step := h.halfway(thief)
	for _, step := range []string{step, "00000000", "x"} {
		w := thief.do(h.g, http.MethodPost, "/.evergate/account/app", url.Values{"step": {step}, "code": {"123456"}})
		if w.Code == http.StatusOK || w.Code == http.StatusSeeOther && !strings.Contains(w.Header().Get("Location"), "/second?step=") {
			t.Errorf("set up another with step %s: got %d to %s", step, w.Code, w.Header().Get("Location"))
		}
	}
	wantPage(t, "without a code", thief.do(h.g, http.MethodPost, "/.evergate/second", url.Values{"step": {step}}), 401)
	h.in(owner) // by the app that was set up
}

// TestOldPasswordSetsNothingUp: a sign-in under way by a password that was changed meanwhile leaves
// nothing behind that its holder could prove later.
func TestOldPasswordSetsNothingUp(t *testing.T) {
	t.Parallel()
	h := newSecondHouse(t, "required", memory.New(), newKeyFile(t))
	thief := h.visitor()
	step := h.halfway(thief)
	page := thief.do(h.g, http.MethodGet, "/.evergate/account/app?step="+step, nil)
	wantPage(t, "under way", page, 200)
	const next = "another horse, another battery"
	hash, err := local.NewHasher(1).Hash(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if err := config.SaveUsers(h.users, []config.User{{Name: "alice", Password: hash}}); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if w := h.visitor().guess(h.g, "alice", next); w.Code == http.StatusSeeOther {
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the new password is not good")
		}
	}
	m := keyText.FindStringSubmatch(page.Body.String())
	h.key, _ = base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(m[1], " ", ""))
	w := thief.do(h.g, http.MethodPost, "/.evergate/account/app", url.Values{"step": {step}, "code": {h.code()}})
	wantPage(t, "the old password's sign-in", w, 403, "You are not signed in")
	if e, err := h.g.book.Enrolled(t.Context(), "alice"); err != nil || e.Any() || e.Codes > 0 {
		t.Errorf("got %+v, %v, want nothing set up", e, err)
	}
}

// TestGuessingCodes: after ten wrong ones in a row the right one has to wait too, at whichever
// gateway, and a recovery code has not; while the store is away nobody is told that a code is wrong.
func TestGuessingCodes(t *testing.T) {
	t.Parallel()
	store := awayStore{memory.New(), &atomic.Bool{}}
	h := newSecondHouse(t, "optional", store, newKeyFile(t))
	v := h.visitor()
	v.guess(h.g, "alice", testPassword)
	codes, _ := recovery(t, h.setUp(v, ""))
	guesser := h.visitor()
	step := h.halfway(guesser)
	store.away.Store(true)
	wantPage(t, "while the store is away", h.prove(guesser, step, "000000"), 503, "out of order")
	store.away.Store(false)
	for range 10 {
		wantPage(t, "a wrong code", h.prove(guesser, step, "000000"), 401)
	}
	if err := h.g.book.Edit(t.Context(), "alice", func(r *credential.Record) error {
		r.Guesses.Until = r.Guesses.Until.Add(time.Hour) // the wait of a second could be over by now
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w := h.prove(guesser, step, h.code())
	wantPage(t, "the right one", w, 429, "Too many attempts")
	if w.Header().Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	wantPage(t, "a recovery code", h.prove(guesser, step, codes[0]), 303, "landed")
}

// TestForgottenAndSetUpAnew: whoever has lost all of it, and was helped, sets up something else at once.
func TestForgottenAndSetUpAnew(t *testing.T) {
	t.Parallel()
	store, err := redis.Open(redis.Options{Addresses: []string{redistest.Start(t).Address()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	h := newSecondHouse(t, "optional", store, newKeyFile(t))
	v := h.visitor()
	v.guess(h.g, "alice", testPassword)
	if err := h.g.book.Forget(t.Context(), "alice"); err != nil { // of whom nothing is kept
		t.Fatal(err)
	}
	for range 2 {
		recovery(t, h.setUp(v, ""))
		if err := h.g.book.Forget(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		if r, err := h.g.book.Load(t.Context(), "alice"); err != nil || r.HasSecond() || len(r.Recovery) > 0 {
			t.Errorf("got %+v, %v, want nothing left", r, err)
		}
	}
}

// TestReplicasTakeACodeOnce: twenty at once, over two gateways on a real Redis.
func TestReplicasTakeACodeOnce(t *testing.T) {
	t.Parallel()
	server, keyFile := redistest.Start(t), newKeyFile(t)
	open := func() session.Store {
		store, err := redis.Open(redis.Options{Addresses: []string{server.Address()}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	}
	h := newSecondHouse(t, "optional", open(), keyFile)
	both := []*gateway{h.g, replica(t, open(), t.TempDir(), keyFile, slog.New(slog.DiscardHandler), h.edit)}
	v := h.visitor()
	v.guess(h.g, "alice", testPassword)
	codes, _ := recovery(t, h.setUp(v, ""))
	for name, code := range map[string]string{"a code of the app": h.code(), "a recovery code": codes[7]} {
		who := h.visitor()
		step := h.halfway(who)
		count := inParallel(8, func(i int) int {
			same := &visitor{t, maps.Clone(who.cookies)}
			return same.do(both[i%2], http.MethodPost, "/.evergate/second", url.Values{"step": {step}, "code": {code}}).Code
		})
		if count[http.StatusSeeOther] != 1 || count[http.StatusUnauthorized] != 7 {
			t.Errorf("%s, eight times at once: got %v, want it taken once", name, count)
		}
	}
}
