//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
)

// lineage is a gateway whose process changes. What its processes say is in one file.
type lineage struct {
	*process
	log string
	pid int
	env []string

	ended <-chan struct{} // closed when the first process has
}

// newLineage starts a gateway before upstream; whatever process it is by then ends with
// the test.
func newLineage(t *testing.T, upstream string, edits ...string) *lineage {
	t.Helper()
	l := &lineage{process: newProcess(t, upstream)}
	for i := 0; i < len(edits); i += 2 {
		l.edit(edits[i], edits[i+1])
	}
	l.begin()
	return l
}

// begin runs the first process; files follow its standard ones.
func (l *lineage) begin(files ...*os.File) {
	l.Helper()
	l.log = filepath.Join(l.TempDir(), "log")
	f, err := os.Create(l.log)
	if err != nil {
		l.Fatal(err)
	}
	defer f.Close()
	l.prepare()
	if len(files) > 0 { // the process id that systemd names has to be the gateway's: a shell becomes it
		l.cmd = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, l.bin, l.file)
	}
	l.cmd.Stdout, l.cmd.Stderr, l.cmd.ExtraFiles, l.cmd.Env = f, f, files, append(os.Environ(), l.env...)
	if err := l.cmd.Start(); err != nil {
		l.Fatal(err)
	}
	l.pid = l.cmd.Process.Pid
	ended := make(chan struct{})
	go func() { _ = l.cmd.Wait(); close(ended) }()
	l.ended = ended
	l.Cleanup(func() {
		if pid := l.serving(); pid != 0 {
			l.pid = pid
		}
		_ = syscall.Kill(l.pid, syscall.SIGKILL)
		if l.Failed() {
			l.Log(l.said())
		}
	})
	l.within("the first process", func() bool { return l.serving() == l.pid })
}

// said is the log, without requests that were served.
func (l *lineage) said() string {
	b, _ := os.ReadFile(l.log)
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(line, `"status":200`) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// serving is the process that answers, or 0.
func (l *lineage) serving() int {
	cfg, err := config.Load(l.file)
	if err == nil {
		l.adminAt, l.dataDir = cfg.Admin.Listen, cfg.DataDir
	}
	client := &adminClient{base: "http://" + l.adminAt, token: filepath.Join(l.dataDir, adminTokenFile)}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var p admin.Process
	if client.call(ctx, "GET", "/api/process", nil, &p) != nil {
		return 0
	}
	return p.PID
}

// present is the process that answers by now. It is never 0, by which a signal goes to all
// processes of the test.
func (l *lineage) present() (pid int) {
	l.Helper()
	l.within("a process that answers", func() bool { pid = l.serving(); return pid != 0 })
	return pid
}

// upgrade hands over by the command, and says what that said.
func (l *lineage) upgrade() (ok bool, said string) {
	var out bytes.Buffer
	return run([]string{"upgrade", "--config", l.file}, nil, &out, &out) == exitOK, out.String()
}

// load sends requests until stop, each on a connection that is kept and on one that is
// fresh, and reports what was not answered as it should.
type load struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	served int
	failed []string
	slow   time.Duration
}

func (l *lineage) load(b *browser, workers int) *load {
	f := &load{stop: make(chan struct{})}
	for i := range 2 * workers {
		c := &http.Client{Jar: b.client.Jar, Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		f.wg.Go(func() {
			defer c.CloseIdleConnections()
			for {
				select {
				case <-f.stop:
					return
				default:
				}
				start := time.Now()
				method := "GET"
				if i%4 >= 2 {
					method = "POST" // which no client sends twice by itself
				}
				res, err := l.send(c, method)
				for tries := 0; err == nil && res.StatusCode == 307 && tries < 3; tries++ {
					res.Body.Close() // a detour for the cookies of now, which browsers follow by themselves
					res, err = l.send(c, method)
				}
				what := ""
				if err != nil {
					what = err.Error()
				} else {
					body, err := io.ReadAll(res.Body)
					res.Body.Close()
					if res.StatusCode != 200 || err != nil || string(body) != "app" {
						what = fmt.Sprint(res.StatusCode, err, string(body))
					}
				}
				f.mu.Lock()
				if what == "" {
					f.served++
				} else {
					f.failed = append(f.failed, method+" "+what)
				}
				f.slow = max(f.slow, time.Since(start))
				f.mu.Unlock()
			}
		})
	}
	return f
}

// send sends one request that Go's client does not repeat by itself where that could hide
// a loss.
func (l *lineage) send(c *http.Client, method string) (*http.Response, error) {
	var body io.Reader
	if method == "POST" {
		body = io.MultiReader(strings.NewReader("x"))
	}
	req, err := http.NewRequest(method, l.base+"/", body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return c.Do(req)
}

// end has the load go on until it was one: until so many requests were served, which on a
// busy machine may be after what it was there for. Then it ends it, and none may have failed.
func (f *load) end(t *testing.T, least int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		f.mu.Lock()
		enough := f.served >= least || len(f.failed) > 0
		f.mu.Unlock()
		if enough {
			break
		}
	}
	close(f.stop)
	f.wg.Wait()
	if len(f.failed) > 0 {
		t.Errorf("%d of %d requests failed; the first: %s", len(f.failed), f.served+len(f.failed), f.failed[0])
	}
	if f.served < least {
		t.Errorf("got %d requests served, which is no load", f.served)
	}
	t.Logf("%d requests served, the slowest in %v", f.served, f.slow.Round(time.Millisecond))
}

// TestHandOver: five processes in a row under load, by command and by signal: no request is
// refused, none fails, nobody is signed out. An upload and a download that take longer go on in the
// process where they began; a WebSocket is told to come again.
func TestHandOver(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/upload" {
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
			return
		}
		if r.URL.Path == "/download" { // of no length that is known beforehand
			for range 80 {
				_, _ = io.WriteString(w, strings.Repeat("y", 100))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(100 * time.Millisecond)
			}
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		echo(w, r)
	}))
	defer app.Close()
	l := newLineage(t, app.URL)
	b := newBrowser(t)
	signInAgain(t, l.process, b)
	load := l.load(b, 4)

	// An upload for 8 seconds, over two hand-overs of its own process and the next.
	upload := make(chan string, 1)
	reader, writer := io.Pipe()
	go func() {
		req, _ := http.NewRequest("POST", l.base+"/upload", reader)
		c := &http.Client{Jar: b.client.Jar}
		res, err := c.Do(req)
		if err != nil {
			upload <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		upload <- string(body)
	}()
	go func() {
		for range 80 {
			_, _ = writer.Write(bytes.Repeat([]byte("x"), 100))
			time.Sleep(100 * time.Millisecond)
		}
		writer.Close()
	}()
	download := make(chan string, 1)
	go func() {
		res, err := (&http.Client{Jar: b.client.Jar}).Get(l.base + "/download")
		if err != nil {
			download <- err.Error()
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		download <- fmt.Sprint(len(body), err)
	}()
	time.Sleep(1500 * time.Millisecond) // by now it counts as long-lived
	socket, _, err := websocket.Dial(t.Context(), strings.Replace(l.base, "http", "ws", 1)+"/socket", &websocket.DialOptions{HTTPClient: &http.Client{Jar: b.client.Jar}})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()

	seen := map[int]bool{l.pid: true}
	for i := range 5 {
		if i%2 == 0 {
			if ok, said := l.upgrade(); !ok {
				t.Fatalf("evergate upgrade: %s", said)
			}
		} else {
			was := l.present()
			if err := syscall.Kill(was, syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			l.within("another process", func() bool { pid := l.serving(); return pid != 0 && pid != was })
		}
		if i == 0 {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if _, _, err := socket.Read(ctx); websocket.CloseStatus(err) != 1012 {
				t.Errorf("the WebSocket: got %v, want close code 1012", err)
			}
			cancel()
		}
		seen[l.present()] = true
		time.Sleep(300 * time.Millisecond)
	}
	if len(seen) != 6 {
		t.Errorf("got processes %v, want six", seen)
	}
	load.end(t, 100)
	if got := <-upload; got != "8000 <nil>" {
		t.Errorf("the upload: got %s, want all 8000 bytes", got)
	}
	if got := <-download; got != "8000 <nil>" {
		t.Errorf("the download: got %s, want all 8000 bytes", got)
	}
	if code, err := b.get(t.Context(), l.base); err != nil || code != 200 {
		t.Errorf("afterwards: got %d, %v, want the session alive", code, err)
	}
	current := l.present()
	for pid := range seen {
		if pid != current {
			l.within("the end of the processes before", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
		}
	}
}

// zombie reports whether a process has ended and nobody has asked how.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}

// TestHandOverThatFails: a bad config, a program that is none, and one that is killed on
// its way, before and after it was told to go.
func TestHandOverThatFails(t *testing.T) {
	t.Parallel()
	slow, release := make(chan struct{}, 1), make(chan struct{}, 1)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/slow/" {
			slow <- struct{}{}
			<-release
		}
		echo(w, r)
	}))
	defer app.Close()
	defer close(release)
	l := newLineage(t, app.URL)
	b := newBrowser(t)
	b.client.Timeout = 0 // the slow request takes as long as the new process does to start
	signInAgain(t, l.process, b)
	load := l.load(b, 2)

	// A listener that is taken, though the file is sound.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := l.base[strings.LastIndex(l.base, ":")+1:]
	l.edit("listen: 127.0.0.1:"+port, "listen: "+taken.Addr().String())
	if ok, said := l.upgrade(); ok || !strings.Contains(said, "the one of before serves on") {
		t.Errorf("an address that is taken: got %v, %s", ok, said)
	}
	l.edit("listen: "+taken.Addr().String(), "listen: 127.0.0.1:"+port)

	// Killed as soon as it is there, and as soon as it is told to go.
	for _, at := range []string{"handover.start", "handover.begin"} {
		// While something is under way the process of before waits, which leaves time to
		// kill the new one.
		ended := make(chan error, 1)
		go func() {
			_, err := b.get(t.Context(), l.base+"/slow")
			ended <- err
		}()
		<-slow
		was, begun, failed := l.present(), strings.Count(l.said(), at), strings.Count(l.said(), "handover.failed")
		if err := syscall.Kill(was, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		child := 0
		for end := time.Now().Add(time.Minute); child == 0 || strings.Count(l.said(), at) == begun; child = childOf(was) {
			if time.Now().After(end) {
				t.Fatalf("no new process, or no %s", at)
			}
			time.Sleep(time.Millisecond)
		}
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		release <- struct{}{}
		l.within("the process of before, serving again", func() bool {
			return strings.Count(l.said(), "handover.failed") > failed && l.serving() == was
		})
		if err := <-ended; err != nil {
			t.Errorf("what was under way: %v", err)
		}
	}
	if got := strings.Count(l.said(), "handover.failed"); got < 3 {
		t.Errorf("got %d failures in the log, want three", got)
	}
	if ok, said := l.upgrade(); !ok {
		t.Errorf("afterwards: %s", said)
	}
	load.end(t, 20)
}

// childOf is a child of a process that lives, or 0.
func childOf(pid int) int {
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		var state string
		var parent, id int
		if n, _ := fmt.Sscan(rest, &state, &parent); n == 2 && parent == pid && state != "Z" {
			_, _ = fmt.Sscan(string(b), &id)
			return id
		}
	}
	return 0
}
