package local_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
)

// invitees is a users file with alice, who has a password that nobody knows.
func invitees(t *testing.T) (*userList, *local.Method, *time.Time) {
	t.Helper()
	s := &userList{users: []local.User{{Name: "alice", Password: quick(t, "nobody knows this one")}, {Name: "bob", Password: quick(t, password), Disabled: true}}}
	m := s.method(t, local.QuickHasher(1))
	now := time.Now()
	m.Now = func() time.Time { return now }
	return s, m, &now
}

func refused(err error) bool { _, ok := errors.AsType[*auth.Refused](err); return ok }

func TestInvite(t *testing.T) {
	s, m, now := invitees(t)
	ctx := t.Context()
	code, until, err := m.Invite(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if letters := strings.ReplaceAll(code, "-", ""); len(letters) != 26 || until.Sub(*now) > 24*time.Hour || until.Sub(*now) < 23*time.Hour {
		t.Errorf("got a code of %d letters until %v", len(letters), until)
	}
	if value := string(s.board.value); strings.Contains(value, code) || strings.Contains(value, strings.ReplaceAll(code, "-", "")) {
		t.Errorf("the code itself is kept: %s", value)
	}
	for _, spelled := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", ""), " " + strings.ReplaceAll(code, "-", " ") + "\n", strings.ReplaceAll(code, "O", "0")} {
		if user, err := m.Invited(ctx, spelled); user != "alice" || err != nil {
			t.Errorf("%q: got %q, %v", spelled, user, err)
		}
	}
	for _, wrong := range []string{"", "-", "AAAAA-AAAAA", code + "A", code[:len(code)-1], strings.Repeat("A", 1000), code + code} {
		if _, err := m.Invited(ctx, wrong); !refused(err) {
			t.Errorf("%q: got %v", wrong, err)
		}
		if _, err := m.Accept(ctx, wrong, other); !refused(err) {
			t.Errorf("%q with a password: got %v", wrong, err)
		}
	}
	// A password that is not taken does not use it up.
	if _, err := m.Accept(ctx, code, "alicealicealice"); err == nil || refused(err) {
		t.Errorf("a bad password: got %v", err)
	}
	s.board.set(func() { s.board.fault = errBoard })
	if _, err := m.Accept(ctx, code, other); !errors.Is(err, errBoard) {
		t.Errorf("without the board: got %v", err)
	}
	s.board.set(func() { s.board.fault = nil })
	login, err := m.Accept(ctx, code, other)
	if err != nil || login.Identity.Subject != "alice" || m.Check(login) != nil {
		t.Fatalf("got %+v, %v", login, err)
	}
	if _, err := m.Login(ctx, auth.Asker{Addr: home}, "alice", other); err != nil {
		t.Errorf("by the new password: %v", err)
	}
	if _, err := m.Accept(ctx, code, "yet another few words"); !refused(err) {
		t.Errorf("used again: got %v", err)
	}
}

// TestInviteThatIsVoid: by another one, by time, by a password that was set otherwise, and by
// what the users file says.
func TestInviteThatIsVoid(t *testing.T) {
	for name, void := range map[string]func(s *userList, m *local.Method, now *time.Time){
		"another one was made": func(_ *userList, m *local.Method, _ *time.Time) {
			if _, _, err := m.Invite(t.Context(), "alice"); err != nil {
				t.Error(err)
			}
		},
		"a day has passed": func(_ *userList, _ *local.Method, now *time.Time) { *now = now.Add(24 * time.Hour) },
		"the file has another password": func(s *userList, m *local.Method, _ *time.Time) {
			given := quick(t, "what an operator gave")
			s.write(func(users []local.User) { users[0].Password = given })
			m.Users.Reread(t)
		},
		"the user was disabled": func(s *userList, m *local.Method, _ *time.Time) {
			s.write(func(users []local.User) { users[0].Disabled = true })
			m.Users.Reread(t)
		},
		"it was forgotten": func(_ *userList, m *local.Method, _ *time.Time) {
			if err := m.Forget(t.Context(), "alice"); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, m, now := invitees(t)
			code, _, err := m.Invite(t.Context(), "alice")
			if err != nil {
				t.Fatal(err)
			}
			void(s, m, now)
			if _, err := m.Invited(t.Context(), code); !refused(err) {
				t.Errorf("got %v", err)
			}
			if _, err := m.Accept(t.Context(), code, other); !refused(err) {
				t.Errorf("with a password: got %v", err)
			}
		})
	}
	_, m, _ := invitees(t)
	if _, _, err := m.Invite(t.Context(), "bob"); !refused(err) {
		t.Errorf("somebody who is disabled: got %v", err)
	}
	if _, _, err := m.Invite(t.Context(), "nobody"); !errors.Is(err, local.ErrNoUser) {
		t.Errorf("nobody: got %v", err)
	}
}

// TestOneCodeAtTwoGateways: it is good at one of them.
func TestOneCodeAtTwoGateways(t *testing.T) {
	s, here, _ := invitees(t)
	there := s.method(t, local.QuickHasher(1))
	code, _, err := here.Invite(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the other one knows", func() bool { _, err := there.Invited(t.Context(), code); return err == nil })
	s.board.before = func() {
		if _, err := there.Accept(t.Context(), code, "the other gateway's words"); err != nil {
			t.Errorf("there: %v", err)
		}
	}
	if _, err := here.Accept(t.Context(), code, other); !refused(err) {
		t.Errorf("here: got %v", err)
	}
	// One whose file does not have the user yet says nothing about the code.
	s.write(func(users []local.User) { users[0].Name = "somebody-else" })
	code, _, err = func() (string, time.Time, error) { return here.Invite(t.Context(), "alice") }()
	if !errors.Is(err, local.ErrNoUser) {
		t.Errorf("got %q, %v", code, err)
	}
}

func TestRules(t *testing.T) {
	u := local.User{Name: "alice", DisplayName: "Alice Example", Email: "liddell@example.com"}
	short := local.Rules{Min: auth.MinPasswordOfTwo, Host: "wiki.example.org"}
	for next, want := range map[string]string{
		"kt7Rw2p":          auth.PasswordShort,
		"kt7Rw2pZq":        auth.PasswordGuessed, // nine characters that nobody would think of are 10^9
		"kt7Rw2pZq9vL":     "",
		"password1":        auth.PasswordCommon,
		"trustno1":         auth.PasswordCommon,
		"liddell-wiki1":    auth.PasswordGuessed,
		"example1990":      auth.PasswordGuessed,
		"alice alice":      auth.PasswordName,
		"pferd klammer 12": "",
	} {
		if got := short.Wrong(u, next); got != want {
			t.Errorf("%q: got %q, want %q", next, got, want)
		}
	}
	if got := (local.Rules{}).Wrong(u, "kt7Rw2pZq9vL"); got != auth.PasswordShort {
		t.Errorf("as the only factor: got %q", got)
	}
}
