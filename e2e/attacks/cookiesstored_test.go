package attacks

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/oidc/oidctest"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/redis/redistest"
)

// Labs of some cases beside their own.
var (
	cookiesTwin  *lab // a second gateway on the same Redis, or nil where there is none
	cookiesRedis *redistest.Server
	cookiesAlone *lab // with session.store: cookie
)

// redisLab starts two gateways on one Redis and returns the first; nil where no Redis is installed.
func redisLab(t *testing.T) *lab {
	t.Helper()
	for _, name := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(name); err != nil {
			return nil
		}
	}
	cookiesRedis = redistest.Start(t, "appendonly", "yes", "appendfsync", "always")
	s := setup{more: fmt.Sprintf("session: { store: redis, redis: { addresses: [%q], timeout: 1s } }\nkeys: { files: [ring.key] }\n", cookiesRedis.Address()),
		files: map[string]string{"ring.key": session.NewKey(time.Now()).Reveal()}}
	l := newLab(t, s)
	cookiesTwin = newLab(t, s)
	return l
}

// cookiesSecond is the second gateway.
func cookiesSecond(t *testing.T) *lab {
	t.Helper()
	if cookiesTwin == nil {
		missing(t, "redis-server and redis-cli are not installed; make deps installs them")
	}
	return cookiesTwin.of(t)
}

// keysLab is a lab with a key ring of files.
func keysLab(t *testing.T) *lab {
	t.Helper()
	return newLab(t, setup{more: "keys: { files: [ring.key] }\n", files: map[string]string{"ring.key": session.NewKey(time.Now().Add(-2 * time.Hour)).Reveal()}})
}

// cookiesStored are about what is kept where, and for how long.
var cookiesStored = []attack{
	{"C-07", "high", "a cookie under a key that is behind another one on the ring, and then under one that was taken off it",
		"served while the key is on the ring; then 503, since another gateway may have that key, and never the app", func(t *testing.T, l *lab) {
			old := l.signIn("alice")
			was, err := os.ReadFile(filepath.Join(l.dir, "ring.key"))
			if err != nil {
				t.Fatal(err)
			}
			next := session.NewKey(time.Now().Add(-time.Hour)).Reveal()
			l.write("ring.key", next+"\n"+string(was)+"\n")
			l.hears("keys.reloaded")
			l.get("/", old).status(t, 200)
			fresh := l.signIn("alice")
			if id := func(cookie string) string { id, _, _ := strings.Cut(cookie, "."); return id }; id(fresh) == id(old) {
				t.Error("a new session is sealed under the old key")
			}
			l.write("ring.key", next+"\n")
			l.hears("keys.reloaded")
			l.get("/", old).status(t, 503)
			l.get("/", fresh).status(t, 200)
			// Who the old session is of is sealed under the old key, so the operator's list has it no more.
			l.saw(traces{app: 1, sessions: -1, events: []string{"keys.reloaded"}})
		}},
	{"C-10", "critical", "a copy of the cookie after its owner signed out: at the same gateway, at another one on the same store, and with `session.store: cookie`",
		"turned away at once, at each of them, and the refresh token is revoked at the provider", func(t *testing.T, l *lab) {
			there := cookiesSecond(t)
			cookie := l.signIn("alice")
			l.get("/", cookie).status(t, 200)
			there.get("/", cookie).status(t, 200)
			l.post("/.evergate/logout", "", cookie, "Origin: https://"+l.host).status(t, 200, 303)
			within(t, 2*time.Second, "to be turned away", func() {
				there.denied(there.get("/", cookie))
				l.denied(l.get("/", cookie))
			})
			l.saw(traces{app: 1, sessions: -1, events: []string{"session.ended/signed_out"}})
			there.saw(traces{app: 1})

			alone := cookiesAlone.of(t)
			j := alone.newJar("a browser")
			j.enter("bob", oidctest.Bob.Password)
			copied := j.copy("a thief")
			copied.get("/").status(t, 200)
			revoked := alone.provider().Stats().Revocations
			j.signOut().status(t, 200, 303)
			alone.denied(alone.get("/", copied.lines()...))
			renewalRevoked(alone, revoked)
			alone.saw(traces{app: 1, events: []string{"session.ended/signed_out"}})
		}},
	{"C-19", "high", "the attributes of each cookie that the gateway sets and deletes: of a sign-in under way, a session, a handle that rotates, a probe",
		"Secure, HttpOnly, `Path=/`, no Domain, `SameSite=Lax` and a name that browsers hold to that, also where a cookie is deleted (looked at for each answer to a browser of these sections)", func(t *testing.T, l *lab) {
			j := l.newJar("a browser")
			j.enter("alice", oidctest.Alice.Password)
			j.all[sessionCookie] += "x"
			r := j.keep(l.get("/", j.lines()...))
			l.denied(r)
			l.clears(r, sessionCookie)
			j.enter("alice", oidctest.Alice.Password)
			r = j.signOut()
			l.clears(r, sessionCookie)
			l.clears(r, sessionCookie+"-probe")
			if len(j.all) != 0 {
				t.Errorf("the jar keeps %d cookies", len(j.all))
			}
			l.saw(traces{sessions: -1, events: []string{"session.ended/signed_out"}})
		}},
	{"C-21", "critical", "the app says `Cache-Control: public, max-age=600` to an answer that a new handle rides on: 200, 206, 304 and 404, on a guarded path and on a public one",
		"`private, no-store` on each answer with a cookie of the gateway's; without one the public path's answer stays as it was", func(t *testing.T, l *lab) {
			j := l.newJar("a browser")
			j.enter("alice", oidctest.Alice.Password)
			l.app.answers(t, func(g *got) string {
				status := 200
				_, _ = fmt.Sscanf(filepath.Base(g.URL.Path), "%d", &status)
				return answer(status, "Cache-Control: public, max-age=600\r\nExpires: Fri, 01 Jan 2100 00:00:00 GMT\r\nEtag: \"1\"\r\n", "")
			})
			time.Sleep(2100 * time.Millisecond) // the handle rotates
			paths := []string{"/200", "/206", "/304", "/404", "/public/200", "/public/304"}
			for _, path := range paths {
				r := l.get(path, j.lines(`If-None-Match: "1"`, "Range: bytes=0-1")...)
				if !cookiesHas(r, sessionCookie) {
					t.Errorf("%s: got no new handle, so it shows nothing", path)
				}
				said := strings.Join(r.Header["Cache-Control"], ", ")
				if !strings.Contains(said, "private") || !strings.Contains(said, "no-store") || strings.Contains(said, "public") || strings.Contains(said, "max-age=600") {
					t.Errorf("%s: got Cache-Control %q, want private, no-store", path, said)
				}
			}
			if r := l.get("/public/200"); r.Header.Get("Cache-Control") != "public, max-age=600" || len(r.Cookies()) != 0 {
				t.Errorf("without a session: got Cache-Control %q and cookies %v", r.Header.Get("Cache-Control"), r.Cookies())
			}
			l.saw(traces{app: len(paths) + 1})
		}},
	{"C-22", "critical", "what a store would take for a path, a pattern or a command, as the session: `../../etc/passwd`, `a*`, `a%0d%0aFLUSHALL`, nothing, a byte, 60 kB and 1 MB",
		"turned away before the store is asked: only what opens under the key ring names a session, by a digest", func(t *testing.T, l *lab) {
			cookiesSecond(t)
			cookie := l.signIn("alice")
			keys := cookiesRedis.CLI("dbsize")
			for _, value := range []string{"../../etc/passwd", "a*", "*", "evergate:*", "a%0d%0aFLUSHALL", "a%0D%0A*1%0D%0A$8%0D%0AFLUSHALL", "{a}:s", "", "a", ".", strings.Repeat("a", 60<<10)} {
				l.denied(l.get("/", "Cookie: "+sessionCookie+"="+value))
			}
			// Line ends in it are other lines, and one of them is no header.
			l.get("/", "Cookie: "+sessionCookie+"=a\r\nFLUSHALL").status(t, 400)
			l.get("/", "Cookie: "+sessionCookie+"="+strings.Repeat("a", 1<<20)).status(t, 431)
			if now := cookiesRedis.CLI("dbsize"); now != keys {
				t.Errorf("the store has %s keys, want %s", now, keys)
			}
			l.get("/", cookie).status(t, 200)
			l.saw(traces{app: 1})
		}},
	{"C-25", "high", "the records of alice and bob change places in the store",
		"nobody is the other: a record opens only under the key of its own cookie, and at its own place", func(t *testing.T, l *lab) {
			there := cookiesSecond(t)
			alice, bob := l.signIn("alice"), l.signIn("bob")
			one, two := cookiesRecord(l, alice), cookiesRecord(l, bob)
			swap := func() {
				cookiesRedis.CLI("rename", one, "aside")
				cookiesRedis.CLI("rename", two, one)
				cookiesRedis.CLI("rename", "aside", two)
			}
			swap()
			there.denied(there.get("/", alice))
			there.denied(there.get("/", bob))
			served := 0
			for _, cookie := range []string{alice, bob} { // this one has what it read before, and may go on with that
				if r := l.get("/", cookie); r.StatusCode == 200 {
					served++
				} else {
					l.denied(r)
				}
			}
			swap()
			there.get("/", alice).status(t, 200)
			there.get("/", bob).status(t, 200)
			told := []string{}
			for _, g := range l.saw(traces{app: served}) {
				told = append(told, g.Header.Get("X-Forwarded-User"))
			}
			if want := []string{"alice", "bob"}; served == 2 && !slices.Equal(told, want) {
				t.Errorf("the app was told of %q, want %q", told, want)
			}
			there.saw(traces{app: 2, sessions: 2})
		}},
	{"C-24", "medium", "the session store hangs, holds another kind of thing in the place of a session, and is gone",
		"503 with Retry-After to whoever brings a session that this gateway cannot read, and never the app without them or as somebody else; once it is back the session goes on", func(t *testing.T, l *lab) {
			there := cookiesSecond(t)
			cookie := l.signIn("alice")
			key := cookiesRecord(l, cookie)
			closed := func(what string) {
				r := there.get("/", cookie)
				if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || len(r.Cookies()) != 0 {
					t.Errorf("%s: got %d, Retry-After %q and cookies %v, want 503 that keeps the cookie", what, r.StatusCode, r.Header.Get("Retry-After"), r.Cookies())
				}
				there.denied(there.get("/"))
			}
			again := func(what string) {
				for range 200 {
					if there.get("/", cookie).StatusCode == 200 {
						return
					}
					time.Sleep(50 * time.Millisecond)
				}
				t.Errorf("%s, and then was back: the session does not go on", what)
			}
			cookiesRedis.Signal(syscall.SIGSTOP)
			closed("it hangs")
			cookiesRedis.Signal(syscall.SIGCONT)
			again("it hung")
			cookiesRedis.CLI("rename", key, "aside")
			cookiesRedis.CLI("lpush", key, "x")
			time.Sleep(50 * time.Millisecond) // the gateway hears that its copy is no good
			r := there.get("/", cookie)
			if r.StatusCode == 200 {
				t.Log("it is served from what was read before")
			} else {
				r.status(t, 503)
			}
			cookiesRedis.CLI("del", key)
			cookiesRedis.CLI("rename", "aside", key)
			again("it had something else")
			served := there.app.count() - there.before.requests
			cookiesRedis.Kill()
			stranger := "Cookie: " + sessionCookie + "=" + cookiesUnknown(t, l)
			there.get("/", stranger).status(t, 503)
			there.denied(there.get("/"))
			cookiesRedis.Run()
			again("it was gone")
			for _, g := range there.saw(traces{app: served + 1, sessions: 1, any: true}) {
				if user := g.Header.Get("X-Forwarded-User"); user != "alice" {
					t.Errorf("the app was told of %q", user)
				}
			}
			l.saw(traces{any: true})
		}},
	{"C-27", "medium", "others on the machine: who may read the session file and its folder, and a link in the place of the file",
		"0600 and 0700, and a gateway that finds a link there does not start; what was acknowledged outlasts `kill -9` (`TestKillAnywhere`)", func(t *testing.T, l *lab) {
			for name, want := range map[string]os.FileMode{"data": 0o700, "data/sessions.db": 0o600, "data/cookie.key": 0o600, "data/admin.token": 0o600, "audit.jsonl": 0o600} {
				fi, err := os.Stat(filepath.Join(l.dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if got := fi.Mode().Perm(); got != want {
					t.Errorf("%s has mode %04o, want %04o", name, got, want)
				}
			}
			dir := t.TempDir()
			elsewhere := filepath.Join(dir, "elsewhere")
			for _, err := range []error{os.WriteFile(elsewhere, []byte("somebody's"), 0o600), os.Mkdir(filepath.Join(dir, "data"), 0o700),
				os.Symlink(elsewhere, filepath.Join(dir, "data", "sessions.db"))} {
				if err != nil {
					t.Fatal(err)
				}
			}
			code, said := evergate(t, dir, map[string]string{"evergate.yaml": mistakesBase, "users.yaml": usersFile}, "serve")
			if kept, err := os.ReadFile(elsewhere); code != 1 || !strings.Contains(said, "not a regular file") || string(kept) != "somebody's" || err != nil {
				t.Errorf("a link in the place of the session file: got exit code %d and %q, and it leads to %q", code, said, kept)
			}
			l.saw(traces{})
		}},
}

// cookiesRecord is the name of a cookie's record in Redis.
func cookiesRecord(l *lab, cookie string) string {
	l.t.Helper()
	plain, err := l.ring().Open("handle", gatewayHost, sidIn(l.t, cookie))
	if err != nil {
		l.t.Fatal(err)
	}
	key := session.ID(plain[1:17]).Key()
	return "evergate:{" + base64.RawURLEncoding.EncodeToString(key[:]) + "}:s"
}

// cookiesUnknown is a session that nobody has, sealed as the gateway does.
func cookiesUnknown(t *testing.T, l *lab) string {
	t.Helper()
	plain := make([]byte, 73)
	for i := range plain {
		plain[i] = byte(i)
	}
	plain[0] = 1 // the version
	copy(plain[17:25], []byte{0, 0, 0, 0, 0, 0, 0, 1})
	sealed, err := l.ring().Seal("handle", gatewayHost, plain, 0)
	return must(t, sealed, err)
}
