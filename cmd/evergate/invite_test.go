package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/redis/redistest"
)

var codeOfInvite = regexp.MustCompile(`(?m)^code:\s+(\S+)$`)

// invite has a one-time code made by the command.
func (f *fleet) invite(args ...string) string {
	f.Helper()
	out := f.user("", "invite", args...)
	m := codeOfInvite.FindStringSubmatch(out)
	if m == nil || !strings.Contains(out, f.public.URL+"/.evergate/invite#"+m[1]) {
		f.Fatalf("got no code, or no link with it:\n%s", out)
	}
	return m[1]
}

const inviteAt = "/.evergate/invite"

// TestInvite: somebody new, and somebody who has forgotten their password.
func TestInvite(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	if _, stderr, code := f.run("user", "invite", "--config", f.file, "carol"); code == 0 || !strings.Contains(stderr, "no gateway runs") {
		t.Errorf("with no gateway: got %d, %s", code, stderr)
	}
	f.admin.Start()
	carol := f.device(onLinux)
	carol.get(inviteAt).want(t, "the page", 200, "Set your password", `name="code"`, "data-code", "login.js")
	code := f.invite("--groups", "staff", "--name", "Carol Example", "carol")
	carol.post(inviteAt, "code", strings.ToLower(code)).want(t, "the code", 200, "carol", `name="new"`, `autocomplete="username"`)
	carol.post(inviteAt, "code", code, "new", newWords, "again", newWords+"s").want(t, "two that differ", 422, "differ", code)
	carol.post(inviteAt, "code", code, "new", "carolcarolcarol1", "again", "carolcarolcarol1").want(t, "one that is guessed", 422, "too easy to guess", "!carolcarolcarol1")
	page := carol.post(inviteAt, "code", code, "new", newWords, "again", newWords)
	page.want(t, "set", 200, "<h1>Your account</h1>", "Carol Example", "staff")
	f.device(onLinux).signIn("carol", newWords).want(t, "by the new one", 200, "Your account")
	for _, wrong := range []string{code, "", "AAAAA-AAAAA-AAAAA-AAAAA-AAAAA-A"} {
		a := f.device(onLinux).post(inviteAt, "code", wrong, "new", newWords, "again", newWords)
		a.want(t, "a code that is not good", 403, "This code is not good", "!carol")
		if wrong != "" && strings.Contains(a.body, wrong) {
			t.Error("the page shows the code again")
		}
	}
	f.device(onLinux).get(inviteAt+"?code="+f.invite("carol")).want(t, "a code in the address", 200, `name="code"`, "!carol")

	// A reset ends what was begun before, and voids the code of before.
	phone, desk := f.device(onIPhone), f.device(onWindows)
	phone.signIn("alice", testPassword)
	first := f.invite("alice")
	second := f.invite("alice")
	desk.post(inviteAt, "code", first).want(t, "one that another took the place of", 403, "not good")
	desk.post(inviteAt, "code", second, "new", newWords, "again", newWords).want(t, "reset", 200, "<h1>Your account</h1>")
	if phone.in() || !desk.in() {
		t.Errorf("got the phone signed in %v, the desk %v", phone.in(), desk.in())
	}
	f.device(onLinux).signIn("alice", testPassword).want(t, "the old password", 401)

	if _, stderr, code := f.run("user", "invite", "--config", f.file, "--groups", "staff", "alice"); code == 0 || !strings.Contains(stderr, "already") {
		t.Errorf("groups for somebody who is there: got %d, %s", code, stderr)
	}
	if _, stderr, code := f.run("user", "invite", "--config", f.file, "Alice"); code == 0 || !strings.Contains(stderr, "in letters of another size") {
		t.Errorf("another spelling: got %d, %s", code, stderr)
	}
	f.user("", "disable", "bob")
	if _, stderr, code := f.run("user", "invite", "--config", f.file, "bob"); code == 0 || !strings.Contains(stderr, "disabled") {
		t.Errorf("somebody who is disabled: got %d, %s", code, stderr)
	}
}

func TestInviteFromAnotherSite(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.admin.Start()
	code := f.invite("alice")
	form := url.Values{"code": {code}, "new": {newWords}, "again": {newWords}}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		f.device(onLinux).send("POST", inviteAt, form, header...).want(t, strings.Join(header, " "), 403, "did not come from our own page")
	}
	f.device(onLinux).signIn("alice", testPassword).want(t, "the password of before", 200, "Your account")
}

// TestResetFactors: what is kept goes, and all sessions with it.
func TestResetFactors(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.admin.Start()
	desk, bob := f.device(onLinux), f.device(onLinux)
	desk.signIn("alice", testPassword)
	bob.signIn("bob", testPassword)
	enrol(t, f.g.book, "alice")
	f.device(onLinux).signIn("alice", testPassword).want(t, "more is asked for", 200, "!<h1>Your account</h1>")
	f.user("", "reset-mfa", "alice")
	if desk.in() || !bob.in() {
		t.Errorf("got alice signed in %v, bob %v", desk.in(), bob.in())
	}
	if r, err := f.g.book.Load(t.Context(), "alice"); err != nil || !r.Empty() {
		t.Errorf("got %+v, %v", r, err)
	}
	f.device(onLinux).signIn("alice", testPassword).want(t, "the password is enough", 200, "<h1>Your account</h1>")
	if _, stderr, code := f.run("user", "reset-mfa", "--config", f.file, "nobody"); code == 0 || !strings.Contains(stderr, "no such user") {
		t.Errorf("nobody: got %d, %s", code, stderr)
	}
}

// enrol gives a user an authenticator and a passkey, which nobody has.
func enrol(t *testing.T, b *credential.Book, user string) {
	t.Helper()
	err := b.Edit(t.Context(), user, func(r *credential.Record) error {
		r.Authenticator = &credential.Authenticator{Secret: []byte("secret"), Created: time.Now()}
		r.Passkeys = []credential.Passkey{{ID: []byte("id"), Name: "a key"}}
		r.Handle = []byte("a handle of " + user)
		return nil
	})
	if err == nil {
		err = b.PutNote(t.Context(), credential.HandleKind, "a handle of "+user, []byte(user), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSomebodyElseOfTheSameName has nothing of the one of before.
func TestSomebodyElseOfTheSameName(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.admin.Start()
	enrol(t, f.g.book, "alice")
	users := filepath.Join(filepath.Dir(f.file), "users.yaml")
	if err := config.SaveUsers(users, []config.User{{Name: "bob", Password: testHash}}); err != nil {
		t.Fatal(err)
	}
	f.user(testPassword+"\n", "add", "--password-stdin", "alice")
	if r, err := f.g.book.Load(t.Context(), "alice"); err != nil || !r.Empty() {
		t.Errorf("got %+v, %v", r, err)
	}
	if note, err := f.g.book.Note(t.Context(), credential.HandleKind, "a handle of alice"); err != nil || note != nil {
		t.Errorf("got the note %q, %v", note, err)
	}
}

// TestResealed: a key leaves the ring, and what was kept under it is there still.
func TestResealed(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.admin.Start()
	desk := f.device(onLinux)
	desk.signIn("alice", testPassword)
	desk.post("/.evergate/account/password", "current", testPassword, "new", newWords, "again", newWords).want(t, "changed", 200, "Your password is changed.")
	enrol(t, f.g.book, "bob")
	dir := filepath.Join(filepath.Dir(f.file), "data")
	was, err := readKeys([]string{filepath.Join(dir, "cookie.key")})
	if err != nil {
		t.Fatal(err)
	}
	next := session.NewKey(time.Now().Add(-time.Hour))
	replace := func(keys ...secret.Text) {
		t.Helper()
		if err := f.g.ring.Replace(keys...); err != nil {
			t.Fatal(err)
		}
	}
	replace(next, was[0])
	if err := f.g.resealNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	replace(next)
	if r, err := f.g.book.Load(t.Context(), "bob"); err != nil || len(r.Passkeys) != 1 || r.Authenticator == nil {
		t.Errorf("got %+v, %v", r, err)
	}
	if note, err := f.g.book.Note(t.Context(), credential.HandleKind, "a handle of bob"); err != nil || string(note) != "bob" {
		t.Errorf("got the note %q, %v", note, err)
	}
	value, _, err := f.g.board.Load(t.Context(), 0)
	if err != nil || !strings.Contains(string(value), "alice") {
		t.Errorf("got %q, %v of what was changed", value, err)
	}
}

// TestPasswordAtTwoGateways: what is changed at one counts at the other within a second.
func TestPasswordAtTwoGateways(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	key := filepath.Join(t.TempDir(), "ring.key")
	if err := writeKey(key, session.NewKey(time.Now())); err != nil {
		t.Fatal(err)
	}
	here := newFleet(t, "session: { store: redis, redis: { addresses: [ \""+server.Address()+"\" ] } }", "keys: { files: [ "+key+" ] }")
	cfg := here.cfg
	cfg.DataDir = t.TempDir()
	var g *gateway
	public := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.Public.ServeHTTP(w, r) }))
	var err error
	if cfg.PublicURL, err = url.Parse("http://" + public.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if g, err = build(&cfg, slog.New(slog.DiscardHandler), parts{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	public.Start()
	t.Cleanup(public.Close)
	there := &fleet{T: t, cfg: cfg, file: here.file, public: public, g: g}

	desk, away, bob := here.device(onLinux), there.device(onWindows), there.device(onIPhone)
	desk.signIn("alice", testPassword).want(t, "here", 200, "Your account")
	away.signIn("alice", testPassword).want(t, "there", 200, "Your account")
	bob.signIn("bob", testPassword)
	desk.post("/.evergate/account/password", "current", testPassword, "new", newWords, "again", newWords).want(t, "changed", 200, "Your password is changed.")
	changed := time.Now()
	for away.in() && time.Since(changed) < 20*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(changed); away.in() || took > 5*time.Second {
		t.Errorf("the other gateway serves the session of before: %v after %v", away.in(), took)
	}
	// The end of a session and the word of a password come by different ways.
	for good := true; good; {
		asked := time.Since(changed)
		if good = there.device(onLinux).signIn("alice", testPassword).StatusCode == 200; good && asked > 5*time.Second {
			t.Fatalf("the other gateway takes the password of before %v after", asked)
		}
	}
	there.device(onLinux).signIn("alice", testPassword).want(t, "the old password there", 401)
	there.device(onLinux).signIn("alice", newWords).want(t, "the new password there", 200, "Your account")
	if !bob.in() {
		t.Error("somebody else is signed out")
	}
}
