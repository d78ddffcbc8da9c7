package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

const hash = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2E$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

func TestUsersFileRoundTrip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	want := []config.User{
		{Name: "alice", Password: hash, Groups: []string{"staff", "a, b", "${x}"}, Email: "alice@example.com", DisplayName: "Alice: the first", Disabled: true},
		{Name: "true", Password: hash}, {Name: "0123", Password: hash}, {Name: "jürgen", Password: hash},
	}
	if err := config.SaveUsers(file, want); err != nil {
		t.Fatal(err)
	}
	got, err := config.LoadUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v, want 0600", fi.Mode(), err)
	}
}

func TestSavingKeepsTheHeadOfTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	if err := os.WriteFile(file, []byte("# ours\n# two lines\nusers: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.SaveUsers(file, []config.User{{Name: "a", Password: hash}}); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(file)
	if !strings.HasPrefix(string(data), "# ours\n# two lines\nusers:") {
		t.Errorf("got\n%s", data)
	}
}

func TestBadUsers(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a password in the clear":          {"users:\n  alice: { password: hunter2 }\n", "users.alice.password: it is no argon2id hash"},
		"a hash of another kind":           {"users:\n  alice: { password: $2y$10$abc }\n", "it is no argon2id hash"},
		"no password":                      {"users:\n  alice: { groups: [a] }\n", "there is no password"},
		"an unknown key":                   {"users:\n  alice: { password: '" + hash + "', gruops: [a] }\n", `did you mean "groups"?`},
		"two spellings":                    {"users:\n  alice: { password: '" + hash + "' }\n  Alice: { password: '" + hash + "' }\n", "in letters of another size"},
		"two spellings of an accent":       {"users:\n  jos\u00e9: { password: '" + hash + "' }\n  jose\u0301: { password: '" + hash + "' }\n", "line 2, in another spelling of the same letters"},
		"those in another size":            {"users:\n  Jos\u00c9: { password: '" + hash + "' }\n  jose\u0301: { password: '" + hash + "' }\n", "line 2, in another spelling of the same letters"},
		"a space without width":            {"users:\n  \"ali\u200bce\": { password: '" + hash + "' }\n", `"ali\u200bce" has a blank or another character that does not show`},
		"a byte order mark":                {"users:\n  \"\\uFEFFalice\": { password: '" + hash + "' }\n", "does not show"},
		"a filler of Hangul":               {"users:\n  \"alice\u3164\": { password: '" + hash + "' }\n", "does not show"},
		"a no-break space":                 {"users:\n  \"alice\u00a0\": { password: '" + hash + "' }\n", "does not show"},
		"a space without width in a group": {"users:\n  alice: { password: '" + hash + "', groups: [staff, \"ad\u200bmin\"] }\n", `users.alice.groups: the group "ad\u200bmin" has a character that does not show`},
		"a blank at the end of a group":    {"users:\n  alice: { password: '" + hash + "', groups: [\"admin\u00a0\"] }\n", "has a blank at an end"},
		"a space in a name":                {"users:\n  'a b': { password: '" + hash + "' }\n", "has a space"},
		"a slash in a name":                {"users:\n  local/a: { password: '" + hash + "' }\n", "has a space, a control character or one of"},
		"no such key":                      {"usres: {}\n", `did you mean "users"?`},
		"a list":                           {"users: [alice]\n", "want a name and its entry"},
		"no address":                       {"users:\n  alice: { password: '" + hash + "', email: nope }\n", "it is no mail address"},
		"a wild address":                   {"users:\n  alice: { password: '" + hash + "', email: '*@example.com' }\n", "it is no mail address"},
		"empty":                            {"", "the file is empty"},
	} {
		_, err := config.ParseUsers("users.yaml", []byte(c.text))
		if _, ok := errors.AsType[config.Faults](err); !ok || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the password", name)
		}
	}
}

func TestNoUsersIsAFileToo(t *testing.T) {
	for _, text := range []string{"users: {}\n", "users:\n"} {
		if users, err := config.ParseUsers("users.yaml", []byte(text)); err != nil || len(users) != 0 {
			t.Errorf("%q: got %v, %v, want none", text, users, err)
		}
	}
}

// FuzzUsers: any text gives users or faults, and users survive being written.
func FuzzUsers(f *testing.F) {
	f.Add("users:\n  alice: { password: '" + hash + "', groups: [a], email: a@b.example, name: A, disabled: true }\n")
	f.Add("users:\n  ? [a]\n  : {}\n")
	f.Add("users: !!map {a: 1, a: 2}\n")
	f.Fuzz(func(t *testing.T, text string) {
		users, err := config.ParseUsers("fuzz", []byte(text))
		if err != nil {
			if _, ok := errors.AsType[config.Faults](err); !ok {
				t.Fatalf("got %v, want faults", err)
			}
			return
		}
		file := filepath.Join(t.TempDir(), "u.yaml")
		if err := config.SaveUsers(file, users); err != nil {
			t.Fatal(err)
		}
		again, err := config.LoadUsers(file)
		if err != nil || !reflect.DeepEqual(again, users) {
			t.Fatalf("got %v, %v, want %v", again, err, users)
		}
	})
}

// TestNamesThatLookAlikeAreNotSaved: what would not be read again is not written.
func TestNamesThatLookAlikeAreNotSaved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	for _, u := range []config.User{{Name: "ali\u200bce", Password: hash}, {Name: "alice", Password: hash, Groups: []string{"admin\u2060"}}} {
		if err := config.SaveUsers(file, []config.User{u}); err == nil || !strings.Contains(err.Error(), "does not show") {
			t.Errorf("%+q: got %v", u.Name, err)
		}
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{{"jos\u00e9", "jose\u0301", true}, {"JOSE\u0301", "jos\u00e9", true}, {"jose", "jos\u00e9", false}, {"alice", "Alice", true}} {
		if got := config.SameName(c.a, c.b); got != c.want {
			t.Errorf("%+q and %+q: got the same %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
