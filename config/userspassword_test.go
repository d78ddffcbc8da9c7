package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/evergate/evergate/config"
)

const otherHash = "$argon2id$v=19$m=65536,t=3,p=4$b3RoZXJvdGhlcm90aGVy$b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyb3Q"

// TestSetPassword: one hash is another afterwards, and every other byte is as it was.
func TestSetPassword(t *testing.T) {
	for name, text := range map[string]string{
		"as evergate writes it":    "# ours\nusers:\n    alice:\n        password: HASH\n        groups: [staff]\n    bob:\n        password: KEEP\n",
		"comments and order":       "users:\n  # the first\n  alice:   # really\n    name: Alice   # hers\n    password: HASH  # of May\n\n  bob: # the second\n    password: KEEP\n# the end\n",
		"quoted, on one line":      "users:\n  alice: { password: 'HASH', groups: [a] }\n  bob: { password: \"KEEP\" }\n",
		"in double quotes":         "users:\n  alice: { groups: [a], password: \"HASH\" }\n  bob: { password: 'KEEP' }\n",
		"line ends of Windows":     "users:\r\n  alice:\r\n    password: HASH\r\n  bob:\r\n    password: KEEP\r\n",
		"letters of several bytes": "users:\n  'jürgen-ß': { password: 'KEEP' }\n  'alice': { name: 'Älice Ünter', password: 'HASH' }\n",
		"no line end at the end":   "users:\n  bob: { password: 'KEEP' }\n  alice: { password: 'HASH' }",
		"the same hash twice":      "users:\n  bob: { password: 'HASH' }\n  alice: { password: 'HASH' }\n",
		"a hash in a comment":      "# HASH\nusers:\n  alice: # HASH\n    password: HASH # HASH\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "users.yaml")
			keep := strings.Replace(hash, "c2Fsd", "a2Vlc", 1)
			text := strings.ReplaceAll(strings.ReplaceAll(text, "HASH", hash), "KEEP", keep)
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			before, err := config.LoadUsers(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := config.SetPassword(file, "alice", hash, otherHash); err != nil {
				t.Fatal(err)
			}
			after, err := config.LoadUsers(file)
			if err != nil {
				t.Fatal(err)
			}
			for i := range before {
				if before[i].Name == "alice" {
					before[i].Password = otherHash
				}
			}
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("got %v, want %v", after, before)
			}
			got, _ := os.ReadFile(file)
			if strings.Replace(string(got), otherHash, hash, 1) != text {
				t.Errorf("got\n%s\nwant one hash replaced in\n%s", got, text)
			}
			if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("got mode %v, %v, want 0600", fi.Mode(), err)
			}
		})
	}
}

func TestSetPasswordThatDoesNotHappen(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"another password by now": {"users:\n  alice: { password: '" + otherHash + "' }\n", config.ErrUserChanged.Error()},
		"gone by now":             {"users:\n  bob: { password: '" + hash + "' }\n", config.ErrUserChanged.Error()},
		"a bad file":              {"users:\n  alice: { pasword: '" + hash + "' }\n", "unknown key"},
		"over two lines":          {"users:\n  alice:\n    password: >-\n      " + hash + "\n", "evergate user passwd alice"},
		"an escape":               {"users:\n  alice:\n    password: \"\\x24" + hash[1:] + "\"\n", "evergate user passwd alice"},
	} {
		file := filepath.Join(dir, "users.yaml")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := config.SetPassword(file, "alice", hash, otherHash)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), hash) || strings.Contains(err.Error(), otherHash) {
			t.Errorf("%s: got %v, want %q and no hash", name, err, c.want)
		}
		if strings.Contains(c.want, "meanwhile") != errors.Is(err, config.ErrUserChanged) {
			t.Errorf("%s: got %v", name, err)
		}
		if got, _ := os.ReadFile(file); string(got) != c.text {
			t.Errorf("%s: the file has changed:\n%s", name, got)
		}
	}
	nowhere := filepath.Join(dir, "nowhere", "users.yaml")
	if err := config.SetPassword(nowhere, "alice", hash, otherHash); err == nil {
		t.Errorf("with no file: got %v", err)
	}
}

// TestSetPasswordAmongEdits: what others write meanwhile, whole and in one step as editors
// and `evergate user` do, is there afterwards.
func TestSetPasswordAmongEdits(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users.yaml")
	hashes := []string{hash, otherHash}
	if err := config.SaveUsers(file, []config.User{{Name: "alice", Password: hash}, {Name: "bob", Password: hash}}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, name := range []string{"alice", "bob"} {
		wg.Go(func() {
			for i := range 50 {
				if err := config.SetPassword(file, name, hashes[i%2], hashes[(i+1)%2]); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// FuzzSetPassword: whatever a users file looks like, either one password is another
// afterwards, or nothing is.
func FuzzSetPassword(f *testing.F) {
	f.Add("users:\n  a: { password: '" + hash + "' }\n")
	f.Add("# x\nusers:\n  \"a\":\n    password: " + hash + " # x\n")
	f.Add("users: {a: {password: \"" + hash + "\"}}\n")
	file := filepath.Join(f.TempDir(), "u.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		before, err := config.ParseUsers("fuzz", []byte(text))
		if err != nil || len(before) == 0 {
			return
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		failed := config.SetPassword(file, before[0].Name, before[0].Password, otherHash)
		after, err := config.LoadUsers(file)
		if err != nil {
			t.Fatalf("%v after %q", err, text)
		}
		if failed == nil {
			before[0].Password = otherHash
		}
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("got %v, want %v", after, before)
		}
	})
}
