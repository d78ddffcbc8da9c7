package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/internal/secret"
)

const password = "a few words in a row"

var (
	home    = netip.MustParseAddr("192.0.2.1")
	hashes  sync.Map
	hashing sync.Mutex
)

// hashOf is a real hash of p, made once.
func hashOf(t *testing.T, p string) string {
	t.Helper()
	hashing.Lock()
	defer hashing.Unlock()
	if h, ok := hashes.Load(p); ok {
		return h.(string)
	}
	h, err := local.NewHasher(1).Hash(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	hashes.Store(p, h)
	return h
}

type minter struct{}

func (minter) Mint(context.Context, *auth.Login, string) (auth.Token, error) {
	return auth.Token{Value: secret.New("token"), Issued: time.Now(), Expires: time.Now().Add(time.Minute)}, nil
}

// method is a Method over users that a test can change.
func method(t *testing.T, users *[]local.User, h *local.Hasher) *local.Method {
	t.Helper()
	d, err := local.NewDirectory(local.DirectoryOptions{Load: func() ([]local.User, error) { return *users, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return &local.Method{Name: "local", Users: d, Hasher: h, Throttle: local.NewThrottle(nil), Minter: minter{}}
}

func TestLogin(t *testing.T) {
	var count atomic.Int32
	users := []local.User{
		{Name: "alice", Password: hashOf(t, password), Groups: []string{"staff"}, Email: "alice@example.com"},
		{Name: "bob", Password: hashOf(t, password), Disabled: true},
	}
	m := method(t, &users, local.CountingHasher(2, &count))
	for _, c := range []struct {
		name, user, password string
		ok                   bool
		hashes               int32
	}{
		{"the right password", "alice", password, true, 1},
		{"the right password, a space behind the name", "alice ", password, true, 1},
		{"a wrong password", "alice", "hunter2", false, 1},
		{"an empty password", "alice", "", false, 1},
		{"an unknown user costs the same", "mallory", password, false, 1},
		{"a disabled user costs the same", "bob", password, false, 1},
		{"another spelling is another user", "Alice", password, false, 1},
		{"a megabyte of password costs nothing", "alice", strings.Repeat("x", 1<<20), false, 0},
		{"a password that is no text costs nothing", "alice", "\xff\xfe", false, 0},
	} {
		count.Store(0)
		login, err := m.Login(t.Context(), auth.Asker{Addr: home}, c.user, c.password)
		refused, isRefused := errors.AsType[*auth.Refused](err)
		if (err == nil) != c.ok || (!c.ok && !isRefused) || count.Load() != c.hashes {
			t.Errorf("%s: got %v, %d hashes, want ok %v, %d", c.name, err, count.Load(), c.ok, c.hashes)
		}
		if refused != nil && strings.Contains(refused.Error(), c.password) && c.password != "" {
			t.Errorf("%s: the error shows the password", c.name)
		}
		if c.ok && (login.Identity.User != "alice" || !login.Identity.EmailVerified || login.AMR[0] != "pwd" || login.Stamp == "") {
			t.Errorf("%s: got %+v", c.name, login.Identity)
		}
	}
}

func TestRefusedOfAnUnknownClientIsLogged(t *testing.T) {
	var count atomic.Int32
	var log bytes.Buffer
	m := method(t, &[]local.User{}, local.CountingHasher(1, &count))
	m.Log = slog.New(slog.NewTextHandler(&log, nil))
	for _, addr := range []netip.Addr{home, {}} {
		_, _ = m.Login(t.Context(), auth.Asker{Addr: addr}, "alice", password)
	}
	if got := log.String(); !strings.Contains(got, "client=192.0.2.1\n") || !strings.Contains(got, "client=\"\"\n") {
		t.Errorf("want the address, and none:\n%s", got)
	}
}

func TestRefreshFollowsTheUsers(t *testing.T) {
	var count atomic.Int32
	users := []local.User{{Name: "alice", Password: hashOf(t, password), Groups: []string{"staff"}}}
	m := method(t, &users, local.CountingHasher(1, &count))
	login, err := m.Login(t.Context(), auth.Asker{Addr: home}, "alice", password)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(u *local.User)
		want   string // of the refusal, or ""
	}{
		{"nothing has changed", func(*local.User) {}, ""},
		{"groups are those of now", func(u *local.User) { u.Groups = []string{"ops"} }, ""},
		{"the password was changed", func(u *local.User) { u.Password = hashOf(t, "other words in a row") }, "password was changed"},
		{"disabled", func(u *local.User) { u.Disabled = true }, "disabled"},
		{"renamed", func(u *local.User) { u.Name = "alicia" }, "no such user"},
	} {
		changed := users[0]
		c.change(&changed)
		m2 := method(t, &[]local.User{changed}, local.CountingHasher(1, &count))
		fresh, err := m2.Refresh(t.Context(), login, "")
		checked := m2.Check(login)
		if c.want == "" {
			if err != nil || checked != nil || fmt.Sprint(fresh.Identity.Groups) != fmt.Sprint(changed.Groups) || !fresh.AuthTime.Equal(login.AuthTime) {
				t.Errorf("%s: got %v, %v", c.name, err, checked)
			}
			continue
		}
		for _, err := range []error{err, checked} {
			if _, ok := errors.AsType[*auth.Refused](err); !ok || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want refused: %s", c.name, err, c.want)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = m.Check(login) }); n != 0 {
		t.Errorf("a check allocates %v times, want 0", n)
	}
}

func TestFloodOfSignInsIsBounded(t *testing.T) {
	var running, most atomic.Int32
	full, someoneIsSentAway := context.WithTimeout(t.Context(), 5*time.Second)
	defer someoneIsSentAway()
	h := local.SlowHasher(4, func() {
		n := running.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		<-full.Done()
		time.Sleep(5 * time.Millisecond)
		running.Add(-1)
	})
	users := []local.User{{Name: "alice", Password: hashOf(t, password)}}
	m := method(t, &users, h)
	var busy, looked atomic.Int32
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			_, err := m.Login(t.Context(), auth.Asker{Addr: addr}, fmt.Sprintf("user%d", i), password)
			if u, ok := errors.AsType[*auth.Unavailable](err); ok && u.RetryAfter > 0 {
				busy.Add(1)
				someoneIsSentAway()
			} else {
				looked.Add(1)
			}
		})
	}
	wg.Wait()
	if most.Load() > 4 || looked.Load() == 0 || busy.Load() == 0 {
		t.Errorf("got %d hashes at once, %d looked at, %d sent away; want at most 4, and some of both", most.Load(), looked.Load(), busy.Load())
	}
}

func TestDirectoryFollowsTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := hashOf(t, password)
	write("alice")
	d, err := local.NewDirectory(local.DirectoryOptions{Path: file, Every: 5 * time.Millisecond, Load: func() ([]local.User, error) {
		b, err := os.ReadFile(file)
		if err != nil || string(b) == "bad" {
			return nil, errors.New("the file is bad")
		}
		return []local.User{{Name: string(b), Password: h}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	changed := make(chan bool, 10)
	d.OnChange(func(file bool) { changed <- file })
	m := &local.Method{Name: "local", Users: d, Minter: minter{}}
	login := &auth.Login{Identity: auth.Identity{Subject: "alice"}, Stamp: local.StampOf(h)}
	if err := m.Check(login); err != nil {
		t.Fatal(err)
	}
	write("bad")
	time.Sleep(50 * time.Millisecond)
	if err := m.Check(login); err != nil {
		t.Errorf("after a bad file: got %v, want the users of before", err)
	}
	write("bob")
	select {
	case <-changed:
	case <-time.After(10 * time.Second):
		t.Fatal("the change was not seen")
	}
	if err := m.Check(login); err == nil {
		t.Error("after alice has gone: got no error")
	}
}

func TestPHCStrings(t *testing.T) {
	good := hashOf(t, password)
	if !strings.HasPrefix(good, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("got %s, want RFC 9106's second recommended parameters", good)
	}
	parts := strings.Split(good, "$")
	tail := "$" + parts[4] + "$" + parts[5]
	for name, s := range map[string]string{
		"plain text":           password,
		"another kind":         "$argon2i$v=19$m=65536,t=3,p=4" + tail,
		"bcrypt":               "$2y$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
		"an old version":       "$argon2id$v=16$m=65536,t=3,p=4" + tail,
		"too little memory":    "$argon2id$v=19$m=1024,t=3,p=4" + tail,
		"one pass":             "$argon2id$v=19$m=65536,t=1,p=4" + tail,
		"all of the memory":    "$argon2id$v=19$m=4294967295,t=3,p=4" + tail,
		"passes without end":   "$argon2id$v=19$m=65536,t=4294967295,p=4" + tail,
		"a negative parameter": "$argon2id$v=19$m=-65536,t=3,p=4" + tail,
		"a missing parameter":  "$argon2id$v=19$m=65536,t=3" + tail,
		"another order":        "$argon2id$v=19$t=3,m=65536,p=4" + tail,
		"no salt":              "$argon2id$v=19$m=65536,t=3,p=4$$" + parts[5],
		"a short hash":         "$argon2id$v=19$m=65536,t=3,p=4$" + parts[4] + "$AAAA",
		"something behind":     good + "$x",
		"nothing":              "",
	} {
		_, err := local.NewDirectory(local.DirectoryOptions{Load: func() ([]local.User, error) {
			return []local.User{{Name: "alice", Password: s}}, nil
		}})
		if err == nil || !strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: got %v, want it refused with the user's name", name, err)
		}
		if err != nil && len(s) > 8 && strings.Contains(err.Error(), s) {
			t.Errorf("%s: the error shows the hash", name)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	d, err := local.NewDirectory(local.DirectoryOptions{Load: func() ([]local.User, error) {
		return []local.User{{Name: "alice", Password: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2E$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"}}, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	m := &local.Method{Users: d}
	login := &auth.Login{Identity: auth.Identity{Subject: "alice"}}
	b.ReportAllocs()
	for b.Loop() {
		_ = m.Check(login)
	}
}
