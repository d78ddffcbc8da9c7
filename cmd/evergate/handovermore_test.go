//go:build unix

package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/redis/redistest"
)

// plainApp reads what it is sent and answers "app".
func plainApp(t *testing.T) string {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "app")
	}))
	t.Cleanup(app.Close)
	return app.URL
}

// TestRestartBehindASocket: the service manager has the socket; a restart as it makes one
// (SIGTERM, wait, start) loses no request and nobody's session.
func TestRestartBehindASocket(t *testing.T) {
	t.Parallel()
	l := &lineage{process: newProcess(t, plainApp(t))}
	socket, err := net.Listen("tcp", strings.TrimPrefix(l.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := socket.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	socket.Close()
	defer f.Close()
	l.env = []string{"LISTEN_FDS=1", "LISTEN_FDNAMES=public"}
	l.begin(f)
	b := newBrowser(t)
	signInAgain(t, l.process, b)
	load := l.load(b, 4)
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		if err := l.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-l.ended
		l.begin(f)
	}
	load.end(t, 100)
}

// TestHandOverOutlivesTheOldProcess: once the next one is ready, it takes over whatever
// becomes of the one before.
func TestHandOverOutlivesTheOldProcess(t *testing.T) {
	t.Parallel()
	l := newLineage(t, plainApp(t))
	b := newBrowser(t)
	signInAgain(t, l.process, b)
	was := l.present()
	if err := syscall.Kill(was, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	l.within("the beginning", func() bool { return strings.Contains(l.said(), "handover.begin") })
	_ = syscall.Kill(was, syscall.SIGKILL)
	l.within("the next process", func() bool { pid := l.serving(); return pid != 0 && pid != was })
	if code, err := b.get(t.Context(), l.base); err != nil || code != 200 {
		t.Errorf("got %d, %v, want the session alive", code, err)
	}
}

// TestFailedHandOverLeavesSocketsAsTheyWere: a program that ends before it looks at its sockets
// changes nothing about those of the gateway, which still goes down when it is told to, though
// nobody connects any more.
func TestFailedHandOverLeavesSocketsAsTheyWere(t *testing.T) {
	t.Parallel()
	l := &lineage{process: newProcess(t, plainApp(t))}
	program, err := os.ReadFile(l.bin)
	if err != nil {
		t.Fatal(err)
	}
	l.bin = filepath.Join(t.TempDir(), "evergate")
	if err := os.WriteFile(l.bin, program, 0o700); err != nil {
		t.Fatal(err)
	}
	l.begin()
	next := l.bin + ".next"
	if err := os.WriteFile(next, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, l.bin); err != nil {
		t.Fatal(err)
	}
	if ok, said := l.upgrade(); ok || !strings.Contains(said, "the one of before serves on") {
		t.Fatalf("a program that ends at once: got %v, %s", ok, said)
	}
	res, err := http.Get(l.base + "/") // whoever accepted this waits for the next one
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if l.present() != l.pid {
		t.Fatal("the gateway does not serve on")
	}
	http.DefaultClient.CloseIdleConnections()
	if err := syscall.Kill(l.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-l.ended:
	case <-time.After(20 * time.Second):
		t.Error("the gateway does not go down")
	}
}

// TestServiceManagerHearsOfAHandOver: which process it is to watch from now on, and nothing of
// an end.
func TestServiceManagerHearsOfAHandOver(t *testing.T) {
	t.Parallel()
	m, env := newManager(t)
	l := &lineage{process: newProcess(t, plainApp(t)), env: []string{env}}
	l.begin()
	m.hears("READY=1")
	if ok, said := l.upgrade(); !ok {
		t.Fatal(said)
	}
	m.hears("READY=1") // the next one, which systemd ignores: it is not the main process yet
	m.hears(fmt.Sprintf("MAINPID=%d", l.present()))
	<-l.ended
	if err := syscall.Kill(l.present(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.hears("STOPPING=1") // and nothing else was said before
}

// TestServiceManagerIsToldInOrder: READY=1 after a start and after a reload, and at no
// other time.
func TestServiceManagerIsToldInOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		calls func(s *serviceManager)
		want  []string
	}{
		{"a reload while it starts", func(s *serviceManager) { s.reloading(func() {}); s.ready() }, []string{"READY=1"}},
		{"a reload", func(s *serviceManager) { s.ready(); s.reloading(func() {}) }, []string{"READY=1", "RELOADING=1", "READY=1"}},
		{"a reload as it goes down", func(s *serviceManager) { s.ready(); s.stopping(); s.reloading(func() {}) }, []string{"READY=1", "STOPPING=1"}},
		{"ready too late", func(s *serviceManager) { s.stopping(); s.ready() }, []string{"STOPPING=1"}},
		{"a reload after a hand-over", func(s *serviceManager) { s.ready(); s.handedOver(7); s.reloading(func() {}) }, []string{"READY=1", "MAINPID=7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, env := newManager(t)
			t.Setenv("NOTIFY_SOCKET", strings.TrimPrefix(env, "NOTIFY_SOCKET="))
			c.calls(&serviceManager{log: slog.New(slog.DiscardHandler)})
			for _, want := range c.want {
				m.hears(want)
			}
			_ = m.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			buf := make([]byte, 100)
			if n, err := m.conn.Read(buf); err == nil {
				t.Errorf("it also hears %q", buf[:n])
			}
		})
	}
}

// TestHandOverWithRedis: nobody waits, for both may have the store at once.
func TestHandOverWithRedis(t *testing.T) {
	t.Parallel()
	redistest.Find(t, "redis-server")
	server := redistest.Start(t)
	key := filepath.Join(t.TempDir(), "ring.key")
	if err := writeKey(key, session.NewKey(time.Now())); err != nil {
		t.Fatal(err)
	}
	l := newLineage(t, plainApp(t), "admin:", "keys: { files: ["+key+"] }\nadmin:", "session: { rotation_grace: 1s }", "session: { rotation_grace: 1s, store: redis, redis: { addresses: ["+server.Address()+"] } }")
	b := newBrowser(t)
	signInAgain(t, l.process, b)
	load := l.load(b, 4)
	for range 3 {
		if ok, said := l.upgrade(); !ok {
			t.Fatal(said)
		}
		time.Sleep(300 * time.Millisecond)
	}
	load.end(t, 100)
}
