package attacks

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mistakesOpen are about what is reached of the gateway by others than its operator.
var mistakesOpen = []attack{
	{"G-13", "medium", "a broken file in the place of the config, and of the users file, while the gateway runs",
		"what was in force stays so; the log, `/readyz`, the audit log and `evergate reload` say what is wrong", func(t *testing.T, l *lab) {
			good, err := os.ReadFile(l.config)
			if err != nil {
				t.Fatal(err)
			}
			cookie := l.signIn("alice")
			l.write("evergate.yaml", strings.Replace(string(good), "allow: [ groups: [admin] ]", "allow: []", 1))
			code, said := evergate(t, l.dir, nil, "reload", "--config", "evergate.yaml")
			if code != 1 || !strings.Contains(said, "allow") {
				t.Errorf("reload: got exit code %d and %q, want 1 and the fault", code, said)
			}
			l.hears("config.bad")
			l.get("/admin/x", cookie).status(t, 403)
			l.get("/", cookie).status(t, 200)
			if _, ready := l.operator("/readyz"); !strings.Contains(ready, "allow") || !strings.Contains(ready, `"ready":true`) {
				t.Errorf("/readyz says %q, want that it is ready, and the fault", ready)
			}
			usersText := usersFile
			l.write("users.yaml", "users: [alice\n")
			l.write("evergate.yaml", string(good))
			if code, said := evergate(t, l.dir, nil, "reload", "--config", "evergate.yaml"); code != 0 && !strings.Contains(said, "users.yaml") {
				t.Errorf("reload of what was there before: got exit code %d and %q", code, said)
			}
			l.get("/", cookie).status(t, 200)
			l.write("users.yaml", usersText)
			evergate(t, l.dir, nil, "reload", "--config", "evergate.yaml")
			l.get("/", cookie).status(t, 200)
			// Read by a signal and put back before the next look, it is not told of for good.
			ready := func(says string) {
				t.Helper()
				for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
					_, got := l.operator("/readyz")
					if strings.Contains(got, says) {
						return
					}
					if time.Now().After(end) {
						t.Fatalf("/readyz says %q, want %q", got, says)
					}
				}
			}
			l.write("evergate.yaml", string(good)+"nonsense: true\n")
			if err := l.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			ready("nonsense")
			l.write("evergate.yaml", string(good))
			ready(`"config":{"ok":true`)
			l.saw(traces{app: 3, any: true})
		}},
	{"G-16", "critical", "what is the operator's, on the public listener: `/debug/pprof/`, `/metrics`, `/config`, `/api/sessions`, `/readyz`, and below `/.evergate/`; also with the operator's token",
		"the first belong to the app and its rules, and the gateway's own paths are those that are meant for people: 404", func(t *testing.T, l *lab) {
			token := mistakesToken(t, l)
			theirs := []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/metrics", "/config", "/api/sessions", "/api/config", "/livez", "/readyz", "/events", "/signin"}
			for _, path := range theirs {
				l.denied(l.get(path))
				l.denied(l.get(path, "Authorization: Bearer "+token))
			}
			cookie := l.signIn("alice")
			for _, path := range theirs {
				if r := l.get(path, cookie, "Authorization: Bearer "+token); r.StatusCode != 200 || !strings.Contains(r.body, `"uri":"`+path) {
					t.Errorf("%s: got %d %.200q, want what the app says", path, r.StatusCode, r.body)
				}
				own := "/.evergate" + path
				if r := l.get(own, cookie, "Authorization: Bearer "+token); r.StatusCode != 404 || strings.Contains(r.body, "evergate_") || strings.Contains(r.body, "goroutine") {
					t.Errorf("%s: got %d %.200q, want 404", own, r.StatusCode, r.body)
				}
			}
			l.get("/.evergate/auth", cookie).status(t, 404)
			l.one(l.request("POST", "/.evergate/api/sessions/revoke", "Authorization: Bearer "+token, "Content-Length: 0")).status(t, 403, 404)
			for _, g := range l.saw(traces{app: len(theirs)}) {
				if strings.Contains(g.head(), token) {
					t.Error("the app got the operator's token")
				}
			}
		}},
	{"G-17", "high", "the operator's listener by another name (DNS rebinding), by a page of another site, without and with a wrong token, and by paths that read two ways",
		"421 for names that are not loopback's, 401 without the token, and no path leads around it", func(t *testing.T, l *lab) {
			token, cookie := mistakesToken(t, l), l.signIn("alice")
			bearer := "Authorization: Bearer " + token
			asks := func(method, target, host string, lines ...string) *reply {
				return mistakesAdmin(l, method+" "+target+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n"+strings.Join(append(lines, ""), "\r\n")+"\r\n")
			}
			for _, host := range []string{"evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "evil.test:9180", "127.1", "0x7f000001", "localhost.", gatewayHost, "localhost@evil.test", ""} {
				asks("GET", "/api/sessions", host, bearer).status(t, 421, 400)
				asks("GET", "/metrics", host).status(t, 421, 400)
				asks("POST", "/api/sessions/revoke", host, bearer, "Content-Length: 0").status(t, 421, 400)
			}
			for _, lines := range [][]string{nil, {"Authorization: Bearer x"}, {"Authorization: Bearer "}, {"Authorization: bearer " + token}, {"Authorization: Basic " + token}, {"Authorization: Bearer " + token + "x"},
				{"Authorization: Bearer " + token[:len(token)-1]}, {"X-Authorization: Bearer " + token}, {"Cookie: token=" + token}, {"Authorization: Bearer x", bearer}} {
				asks("GET", "/api/sessions", l.admin, lines...).status(t, 401)
				asks("POST", "/api/sessions/revoke", l.admin, append(lines, "Origin: https://evil.test", "Content-Type: text/plain", "Content-Length: 0")...).status(t, 401)
			}
			for _, path := range []string{"/api/sessions/", "//api/sessions", "/./api/sessions", "/livez/../api/sessions", "/metrics/..%2fapi/sessions", "/API/sessions", "/api%2fsessions", "/livez/..;/api/sessions", "/livez?/api/sessions", "/sessions", "/timeline", "/config", "/events"} {
				r := asks("GET", path, l.admin)
				if strings.Contains(r.body, "alice") || r.StatusCode == 200 && !strings.HasPrefix(path, "/livez?") {
					t.Errorf("%s: got %d %.200q", path, r.StatusCode, r.body)
				}
			}
			// The dashboard, from a page of another site, in the browser of nobody and of whoever has signed in there.
			asks("POST", "/sessions/revoke", l.admin, "Origin: https://evil.test", "Content-Length: 0").status(t, 401, 403, 404)
			asks("OPTIONS", "/api/sessions", l.admin, "Origin: https://evil.test", "Access-Control-Request-Method: GET").status(t, 401, 404, 405)
			r := asks("GET", "/api/sessions", l.admin, bearer, "Origin: https://evil.test")
			if r.StatusCode != 200 || r.Header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(r.body, "alice") {
				t.Errorf("with the token: got %d %.200q and Access-Control-Allow-Origin %q", r.StatusCode, r.body, r.Header.Get("Access-Control-Allow-Origin"))
			}
			l.get("/", cookie).status(t, 200)
			l.hears("admin.refused")
			l.saw(traces{app: 1, any: true})
		}},
	{"G-21", "high", "a gateway that runs as root, and one whose program everybody on the machine can replace",
		"said at each start, with what to do", func(t *testing.T, l *lab) {
			dir := t.TempDir()
			program, err := os.ReadFile(binary)
			if err != nil {
				t.Fatal(err)
			}
			open := filepath.Join(dir, "open")
			if err := os.Mkdir(open, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(open, "evergate"), program, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(open, 0o777); err != nil {
				t.Fatal(err)
			}
			kept := binary
			for _, c := range []struct {
				path     string
				replaced bool
			}{{kept, false}, {filepath.Join(open, "evergate"), true}} {
				// It begins, and ends since a key is not there.
				said := mistakesStart(t, c.path, dir)
				if got := strings.Contains(said, "can replace the program"); got != c.replaced {
					t.Errorf("%s says %q; want that the program can be replaced: %v", c.path, said, c.replaced)
				}
				if got, want := strings.Contains(said, "runs as root"), os.Geteuid() == 0; got != want {
					t.Errorf("it says %q; want that it runs as root: %v", said, want)
				}
			}
			l.saw(traces{})
		}},
}

// mistakesToken is the operator's.
func mistakesToken(t *testing.T, l *lab) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(l.dir, "data", "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSpace(string(token))
	l.secrets.add("the operator's token", text)
	return text
}

// mistakesAdmin sends bytes to the operator's listener.
func mistakesAdmin(l *lab, bytes string) *reply {
	l.t.Helper()
	c, err := net.Dial("tcp", l.admin)
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, bytes); err != nil {
		l.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		l.t.Fatalf("the operator's listener: %v, to %.200q", err, bytes)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return &reply{res, string(body)}
}

// mistakesStart runs the program at path in a folder where a key of the ring is not there, and returns what it said.
func mistakesStart(t *testing.T, path, dir string) string {
	t.Helper()
	for name, text := range map[string]string{"evergate.yaml": mistakesBase + "keys: { files: [nothing.key] }\n", "users.yaml": usersFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := startable(t, path, dir).CombinedOutput()
	if err == nil {
		t.Fatalf("it started without its key:\n%s", out)
	}
	return string(out)
}

func startable(t *testing.T, path, dir string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), path, "serve", "--config", "evergate.yaml")
	cmd.Dir = dir
	return cmd
}
