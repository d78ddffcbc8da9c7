package local_test

import (
	"bytes"
	"context"
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

// userList keeps users, as a users file does.
type userList struct {
	mu    sync.Mutex
	users []local.User
	err   error // what Save answers
}

func (s *userList) load() ([]local.User, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]local.User(nil), s.users...), nil
}

func (s *userList) save(_ context.Context, name, was, hash string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	for i := range s.users {
		if s.users[i].Name == name && s.users[i].Password == was {
			s.users[i].Password = hash
			return nil
		}
	}
	return auth.ErrChanged
}

func (s *userList) method(t *testing.T, h *local.Hasher) *local.Method {
	t.Helper()
	d, err := local.NewDirectory(local.DirectoryOptions{Load: s.load, Save: s.save})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return &local.Method{Name: "local", Users: d, Hasher: h, Throttle: local.NewThrottle(nil), Minter: minter{}}
}

const other = "other words in a row"

func TestChange(t *testing.T) {
	s := &userList{users: []local.User{{Name: "alice", Password: hashOf(t, password), Groups: []string{"staff"}}, {Name: "bob", Password: hashOf(t, password)}}}
	m := s.method(t, local.NewHasher(2))
	var log bytes.Buffer
	m.Log = slog.New(slog.NewTextHandler(&log, nil))
	told := 0
	m.Users.OnChange(func() { told++ })
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
	if m.Check(before) == nil || m.Check(after) != nil || m.Check(bob) != nil || told != 1 {
		t.Errorf("got %v of the session before, %v after, %v of somebody else, told %d times", m.Check(before), m.Check(after), m.Check(bob), told)
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
	// What was saved is what the next look at the users finds.
	if again := s.method(t, local.NewHasher(1)); again.Check(after) != nil {
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
	s.err = errors.New("read-only file system")
	if _, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other); err == nil || !strings.Contains(err.Error(), "read-only file system") {
		t.Errorf("where nothing can be saved: got %v", err)
	} else if _, ok := errors.AsType[*auth.Unavailable](err); !ok {
		t.Errorf("where nothing can be saved: got %v, want an outage", err)
	}
	s.err = nil
	s.users[0].Password = hashOf(t, "what an operator gave") // and nobody has read it yet
	if _, err := m.Change(t.Context(), auth.Asker{Addr: home}, login, password, other); !errors.Is(err, auth.ErrChanged) {
		t.Errorf("changed meanwhile: got %v", err)
	}
	if m.Check(login) != nil {
		t.Errorf("nothing was to change: %v", m.Check(login))
	}
	if _, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password); err != nil {
		t.Errorf("the password of before: %v", err)
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

// TestChangedAtAnotherGateway: one that has not read the file again yet does not know the
// new password, and does not end the session that came of it; those of before end once it has.
func TestChangedAtAnotherGateway(t *testing.T) {
	s := &userList{users: []local.User{{Name: "alice", Password: hashOf(t, password)}}}
	here, there := s.method(t, local.NewHasher(1)), s.method(t, local.NewHasher(1))
	time.Sleep(time.Millisecond)
	old, err := here.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := here.Change(t.Context(), auth.Asker{Addr: home}, old, password, other)
	if err != nil {
		t.Fatal(err)
	}
	refused, ok := errors.AsType[*auth.Refused](there.Check(fresh))
	if !ok || !refused.Here {
		t.Errorf("before it has read the file: got %v, want what this gateway alone says", there.Check(fresh))
	}
	there = s.method(t, local.NewHasher(1)) // reads it
	if err := there.Check(fresh); err != nil {
		t.Errorf("afterwards: got %v", err)
	}
	if refused, ok := errors.AsType[*auth.Refused](there.Check(old)); !ok || refused.Here {
		t.Errorf("of a session from before: got %v, want its end", there.Check(old))
	}
}
