package local_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
)

// userList is a users file, and what is kept beside it.
type userList struct {
	mu    sync.Mutex
	users []local.User
	board board
}

func (s *userList) load() ([]local.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]local.User(nil), s.users...), nil
}

// write is an edit of the file.
func (s *userList) write(edit func(users []local.User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = append([]local.User(nil), s.users...)
	edit(s.users)
}

func (s *userList) method(t *testing.T, h *local.Hasher) *local.Method {
	t.Helper()
	d, err := local.NewDirectory(local.DirectoryOptions{Load: s.load, Board: &s.board})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return &local.Method{Name: "local", Users: d, Hasher: h, Throttle: local.NewThrottle(nil), Minter: minter{}}
}

// quick is a hash of p for a QuickHasher, another each time.
func quick(t *testing.T, p string) string {
	t.Helper()
	h, err := local.QuickHasher(1).Hash(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// until waits for what other goroutines bring about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about: %s", what)
		}
	}
}

const other = "other words in a row"

func TestChange(t *testing.T) {
	s := &userList{users: []local.User{{Name: "alice", Password: quick(t, password), Groups: []string{"staff"}}, {Name: "bob", Password: quick(t, password)}}}
	m := s.method(t, local.QuickHasher(2))
	var log bytes.Buffer
	m.Log = slog.New(slog.NewTextHandler(&log, nil))
	var told, files atomic.Int32
	m.Users.OnChange(func(file bool) {
		told.Add(1)
		if file {
			files.Add(1)
		}
	})
	before, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	bob, err := m.Login(t.Context(), auth.Asker{Addr: home}, "bob", password)
	if err != nil {
		t.Fatal(err)
	}
	if !m.CanChange(before) {
		t.Error("it is said not to be possible")
	}
	after, err := m.Change(t.Context(), auth.Asker{Addr: home}, before, password, other)
	if err != nil {
		t.Fatal(err)
	}
	if m.Check(before) == nil || m.Check(after) != nil || m.Check(bob) != nil || told.Load() != 1 || files.Load() != 0 {
		t.Errorf("got %v of the session before, %v after, %v of somebody else, told %d times", m.Check(before), m.Check(after), m.Check(bob), told.Load())
	}
	if after.Identity.Groups[0] != "staff" || after.AMR[0] != "pwd" || after.AuthTime.Before(before.AuthTime) || after.AccessToken.Value.IsZero() {
		t.Errorf("got %+v", after)
	}
	if _, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", other); err != nil {
		t.Errorf("with the new password: %v", err)
	}
	if _, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password); err == nil {
		t.Error("the old password still signs in")
	}
	if s.users[0].Password == "" || local.StampOf(s.users[0].Password) != before.Stamp {
		t.Error("the users file was written")
	}
	// What was kept is what the next start finds.
	if again := s.method(t, local.QuickHasher(1)); again.Check(after) != nil {
		t.Errorf("read anew: %v", again.Check(after))
	}
	if text := log.String(); strings.Contains(text, password) || strings.Contains(text, other) || strings.Contains(text, "$argon2id") {
		t.Errorf("the log shows a secret:\n%s", text)
	}
}

func TestChangeThatDoesNotHappen(t *testing.T) {
	var count atomic.Int32
	s := &userList{users: []local.User{{Name: "alice", Password: hashOf(t, password)}, {Name: "gone", Password: hashOf(t, password)}}}
	m := s.method(t, local.CountingHasher(2, &count))
	login, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	bad := func(why string) func(error) bool {
		return func(err error) bool {
			b, ok := errors.AsType[*auth.BadPassword](err)
			return ok && b.Why == why
		}
	}
	refused := func(err error) bool { _, ok := errors.AsType[*auth.Refused](err); return ok }
	for _, c := range []struct {
		name, current, next string
		want                func(error) bool
		hashes              int32
	}{
		{"the current one is wrong", "hunter2", other, refused, 1},
		{"14 characters", password, strings.Repeat("ä", 14), bad(auth.PasswordShort), 0},
		{"nothing", password, "", bad(auth.PasswordShort), 0},
		{"more than is hashed", password, strings.Repeat("x", 1025), bad(auth.PasswordLong), 0},
		{"no text", password, other + "\xff", bad(auth.PasswordNoText), 0},
		{"the user name, over and over", password, "AliceALICEalice ", bad(auth.PasswordName), 0},
		{"the one of before", password, password, bad(auth.PasswordSame), 0},
		{"a row of keys", password, "qwertyuiopasdfgh", bad(auth.PasswordGuessed), 0},
		{"a repetition", password, "monkeymonkeymonkey", bad(auth.PasswordGuessed), 0},
	} {
		count.Store(0)
		_, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, c.current, c.next)
		if !c.want(err) || count.Load() != c.hashes {
			t.Errorf("%s: got %v and %d hashes, want %d", c.name, err, count.Load(), c.hashes)
		}
		if err != nil && c.next != "" && (strings.Contains(err.Error(), c.next) || strings.Contains(err.Error(), c.current)) {
			t.Errorf("%s: the error shows a password", c.name)
		}
	}
	oidc := *login
	oidc.Identity.Provider = "corp"
	if _, err := m.Change(t.Context(), auth.Asker{Addr: home}, &oidc, password, other); !refused(err) || m.CanChange(&oidc) {
		t.Errorf("of somebody of another provider: got %v", err)
	}
	s.board.set(func() { s.board.fault = errBoard })
	if _, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other); !errors.Is(err, errBoard) {
		t.Errorf("where nothing can be kept: got %v", err)
	} else if _, ok := errors.AsType[*auth.Unavailable](err); !ok {
		t.Errorf("where nothing can be kept: got %v, want an outage", err)
	}
	if _, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password); err != nil || m.Check(login) != nil {
		t.Errorf("meanwhile: got %v, and %v of the session", err, m.Check(login))
	}
	s.board.set(func() { s.board.fault = nil })
	given := hashOf(t, "what an operator gave")
	s.write(func(users []local.User) { users[0].Password = given }) // and nobody has read it yet
	if _, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other); !errors.Is(err, auth.ErrChanged) {
		t.Errorf("changed meanwhile: got %v", err)
	}
	// What the operator gave is what counts.
	if _, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", "what an operator gave"); err != nil || m.Check(login) == nil {
		t.Errorf("what the operator gave: got %v, and %v of the session before", err, m.Check(login))
	}
}

// TestGuessingTheCurrentPassword is as slow as guessing at the sign-in, and counts as such.
func TestGuessingTheCurrentPassword(t *testing.T) {
	var count atomic.Int32
	s := &userList{users: []local.User{{Name: "alice", Password: hashOf(t, password)}}}
	m := s.method(t, local.CountingHasher(2, &count))
	login, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		_, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, "guess", other)
		if _, ok := errors.AsType[*auth.Throttled](err); ok {
			if i < 10 {
				t.Errorf("throttled after %d guesses, want at least 10 free ones", i)
			}
			if _, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other); err == nil {
				t.Error("the right one is looked at while guessing is slowed down")
			}
			return
		}
	}
	t.Error("100 guesses were looked at")
}

func TestNobodyChangesWhatIsNotSaved(t *testing.T) {
	var count atomic.Int32
	m := method(t, &[]local.User{{Name: "alice", Password: hashOf(t, password)}}, local.CountingHasher(1, &count))
	login, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	if m.CanChange(login) {
		t.Error("it is said to be possible")
	}
	if _, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other); err == nil || m.Check(login) != nil {
		t.Errorf("got %v", err)
	}
}

// TestChangedAtAnotherGateway: one that was not told yet does not know the new password, and does
// not end the session that came of it; those of before end once it was.
func TestChangedAtAnotherGateway(t *testing.T) {
	s := &userList{users: []local.User{{Name: "alice", Password: quick(t, password)}}}
	here, there := s.method(t, local.QuickHasher(1)), s.method(t, local.QuickHasher(1))
	old, err := there.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	s.board.deaf = true
	fresh, err := here.Change(t.Context(), auth.Asker{Addr: home}, old, password, other)
	if err != nil {
		t.Fatal(err)
	}
	refused, ok := errors.AsType[*auth.Refused](there.Check(fresh))
	if !ok || !refused.Here {
		t.Errorf("before it was told: got %v, want what this gateway alone says", there.Check(fresh))
	}
	s.board.set(func() { s.board.deaf = false })
	until(t, "it knows", func() bool { return there.Check(fresh) == nil })
	if refused, ok := errors.AsType[*auth.Refused](there.Check(old)); !ok || refused.Here {
		t.Errorf("of a session from before: got %v, want its end", there.Check(old))
	}
	if _, err := there.Login(t.Context(), auth.Asker{Addr: home}, "alice", password); err == nil {
		t.Error("the old password signs in there")
	}
}

// TestTwoChangeAtOnce: of two gateways one is told that the other was faster.
func TestTwoChangeAtOnce(t *testing.T) {
	s := &userList{users: []local.User{{Name: "alice", Password: quick(t, password)}, {Name: "bob", Password: quick(t, password)}}}
	here, there := s.method(t, local.QuickHasher(2)), s.method(t, local.QuickHasher(2))
	login := func(user string) *auth.Login {
		t.Helper()
		l, err := here.Login(t.Context(), auth.Asker{Addr: home}, user, password)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	alice, bob := login("alice"), login("bob")
	change := func(who *auth.Login, then error) {
		t.Helper()
		s.board.before = func() {
			if _, err := there.Change(t.Context(), auth.Asker{Addr: home}, who, password, "the other gateway's words"); err != nil {
				t.Errorf("there: %v", err)
			}
		}
		if _, err := here.Change(t.Context(), auth.Asker{Addr: home}, alice, password, other); !errors.Is(err, then) {
			t.Errorf("here: got %v, want %v", err, then)
		}
	}
	change(alice, auth.ErrChanged)
	if _, err := here.Login(t.Context(), auth.Asker{Addr: home}, "alice", "the other gateway's words"); err != nil {
		t.Errorf("the one that was faster: %v", err)
	}
	given := quick(t, password)
	s.write(func(users []local.User) { users[0].Password = given })
	alice = func() *auth.Login { here.Users.Reread(t); return login("alice") }()
	change(bob, nil) // somebody else's is in nobody's way
	for user, word := range map[string]string{"alice": other, "bob": "the other gateway's words"} {
		if _, err := here.Login(t.Context(), auth.Asker{Addr: home}, user, word); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
}

// TestFileHasTheLastWord: a password that was changed here counts as long as the users file has
// the one that it was changed from.
func TestFileHasTheLastWord(t *testing.T) {
	first, second := quick(t, password), quick(t, "what an operator gave")
	s := &userList{users: []local.User{{Name: "alice", Password: first}}}
	m := s.method(t, local.QuickHasher(1))
	works := func(word string) bool {
		_, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", word)
		return err == nil
	}
	login, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other)
	if err != nil {
		t.Fatal(err)
	}
	s.write(func(users []local.User) { users[0].Password = second })
	m.Users.Reread(t)
	if works(other) || works(password) || !works("what an operator gave") || m.Check(changed) == nil {
		t.Error("an edit of the file does not count at once")
	}
	s.write(func(users []local.User) { users[0].Password = first })
	m.Users.Reread(t)
	if works(password) || !works(other) {
		t.Error("with the file of before, the password that was given up for another is good again")
	}
	if err := m.Forget(t.Context(), "alice"); err != nil || !works(password) {
		t.Errorf("after it was forgotten the file's is not good: %v", err)
	}
}

// TestFileReadBesideAnOldCopy: a session by a password that was changed elsewhere a moment ago does
// not end because the users file is read here, before this gateway has heard of it.
func TestFileReadBesideAnOldCopy(t *testing.T) {
	s := &userList{users: []local.User{{Name: "alice", Password: quick(t, password)}}}
	here, there := s.method(t, local.QuickHasher(1)), s.method(t, local.QuickHasher(1))
	before, err := there.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	s.board.set(func() { s.board.deaf, s.board.old = true, &copied{} })
	fresh, err := there.Change(t.Context(), auth.Asker{Addr: home}, before, password, other)
	if err != nil {
		t.Fatal(err)
	}
	here.Users.Reread(t)
	if err := here.Check(fresh); err != nil {
		t.Errorf("the session by the new password: %v", err)
	}
	if here.Check(before) == nil {
		t.Error("the session by the old one is good still")
	}
}

// TestStartWithoutTheBoard: as long as nobody knows whether a password was changed, none opens
// anything, and no session ends for it.
func TestStartWithoutTheBoard(t *testing.T) {
	s := &userList{users: []local.User{{Name: "alice", Password: quick(t, password)}}}
	m := s.method(t, local.QuickHasher(1))
	login, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other)
	if err != nil {
		t.Fatal(err)
	}
	s.board.set(func() { s.board.fault = errBoard })
	again := s.method(t, local.QuickHasher(1))
	for what, err := range map[string]error{
		"a session": again.Check(fresh),
		"a sign-in": func() error {
			_, err := again.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
			return err
		}(),
		"a second step": func() error { _, err := again.Proven(t.Context(), "alice", "", time.Now(), auth.Proof{}); return err }(),
		"a code":        func() error { _, err := again.Invited(t.Context(), "x"); return err }(),
	} {
		if _, ok := errors.AsType[*auth.Unavailable](err); !ok {
			t.Errorf("%s: got %v, want an outage", what, err)
		}
	}
	if m.Check(fresh) != nil {
		t.Errorf("one that knew: got %v", m.Check(fresh))
	}
	s.board.mu.Lock()
	s.board.fault = nil // and nobody is told
	s.board.mu.Unlock()
	until(t, "it is read", func() bool { return again.Check(fresh) == nil })
	if _, err := again.Login(t.Context(), auth.Asker{Addr: home}, "alice", password); err == nil {
		t.Error("the old password signs in")
	}
	// One that is lost has lost what was changed; the file is what is left.
	s.board.set(func() { s.board.value, s.board.version = nil, 0 })
	until(t, "the file's counts", func() bool {
		_, err := again.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
		return err == nil
	})
}

// TestCheckAllocatesNothing: it is asked on every request.
func TestCheckAllocatesNothing(t *testing.T) {
	s := &userList{users: []local.User{{Name: "alice", Password: quick(t, password)}}}
	m := s.method(t, local.QuickHasher(1))
	login, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	if login, err = m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = m.Check(login) }); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}
