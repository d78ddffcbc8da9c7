//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/web"
)

// TestAccessLinesAreThoseOfSlog: whatever the config keeps out, an access line is what slog and
// the redaction of all other records would make of it.
func TestAccessLinesAreThoseOfSlog(t *testing.T) {
	l := web.Line{At: time.Now(), RequestID: "R", Client: netip.MustParseAddr("2001:db8:1:2::7%a b"), Method: "GET", Host: "wiki.example.com", Path: "/of/\"alice\"",
		Route: "wiki", Subject: "alice", Session: "S", Decision: "allowed", Upstream: "http://127.0.0.1:9", Status: 502, Bytes: 7, Took: 1234 * time.Microsecond,
		Waited: time.Millisecond, Level: slog.LevelWarn, Err: errors.New("dial tcp: refused")}
	for _, format := range []string{"json", "text"} {
		for _, redact := range [][]string{nil, {"client"}, {"subject"}, {"path"}, {"client", "subject", "path"}} {
			var out bytes.Buffer
			log, control := newLog(&out, config.Log{Format: format, Redact: redact})
			web.AccessBySlog(log).Access(&l)
			nobody := l
			nobody.Client, nobody.Subject = netip.Addr{}, ""
			web.AccessBySlog(log).Access(&nobody)
			want := out.String()
			out.Reset()
			control.access().Access(&l)
			control.access().Access(&nobody)
			if err := control.Close(); err != nil {
				t.Fatal(err)
			}
			if out.String() != want || strings.Count(want, "\n") != 2 {
				t.Errorf("%s, without %v:\ngot  %swant %s", format, redact, &out, want)
			}
		}
	}
}

// TestLogsPage: the line that docs/logs.md shows is one of ours, and the page names every key.
func TestLogsPage(t *testing.T) {
	page := pageOf(t, "docs/logs.md")
	took := func(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
	l := web.Line{At: time.Date(2026, 11, 27, 9, 14, 2, 310045112, time.FixedZone("", 3600)), RequestID: "D4KXQ2M6ZC5V7A3T5W2J6H4R7E", Client: netip.MustParseAddr("192.0.2.7"),
		Method: "GET", Host: "wiki.example.com", Path: "/handbook", Route: "wiki", Subject: "248289761001", Session: "9TGq1BTmPSBb", Decision: "allowed",
		Upstream: "http://127.0.0.1:9000", Status: 200, Bytes: 18231, Took: took(4.113), Waited: took(3.87)}
	var out bytes.Buffer
	_, control := newLog(&out, config.Log{Format: "json"})
	control.access().Access(&l)
	l.TraceID, l.Observed, l.Err = "T", "denied", errors.New("x")
	control.access().Access(&l)
	if err := control.Close(); err != nil {
		t.Fatal(err)
	}
	shown, all, _ := strings.Cut(out.String(), "\n")
	if !strings.Contains(page.text, "\n"+shown+"\n") {
		t.Errorf("the page does not show %s", shown)
	}
	var keys map[string]any
	if err := json.Unmarshal([]byte(all), &keys); err != nil {
		t.Fatal(err)
	}
	delete(keys, "msg")
	for key := range keys {
		if !regexp.MustCompile(`(?m)^\|[^|]*` + "`" + key + "`" + `[^|]*\|`).MatchString(page.text) {
			t.Errorf("the page does not say what %s is", key)
		}
	}
}

// logFile has the process write its log to a file, and returns what is in it.
func (p *process) logFile() (start func(), text func() string) {
	path := filepath.Join(p.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = f.Close() })
	return func() { p.startTo(f) }, func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			p.Fatal(err)
		}
		return string(b)
	}
}

// startTo starts it with a standard error of its own.
func (p *process) startTo(stderr *os.File) {
	p.Helper()
	p.prepare()
	p.cmd.Stderr = stderr
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.serves()
}

// ask sends requests over one connection, and returns once the last of them is over also for
// the gateway: it has closed the connection.
func (p *process) ask(c net.Conn, paths ...string) {
	p.Helper()
	in := bufio.NewReader(c)
	for i, path := range paths {
		last := ""
		if i == len(paths)-1 {
			last = "Connection: close\r\n"
		}
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, c.RemoteAddr(), last); err != nil {
			p.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			p.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if res.Body.Close(); res.StatusCode != 401 {
			p.Fatalf("%s: got %d, want 401", path, res.StatusCode)
		}
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		p.Fatalf("got %v after the last answer, want the end of the connection", err)
	}
}

func (p *process) dial() net.Conn {
	p.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.base, "http://"))
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = c.Close() })
	return c
}

// TestAccessLinesAtTheEnd: however the program ends, if it ends by itself, the lines of all
// requests are there. Killed, it loses those of a moment.
func TestAccessLinesAtTheEnd(t *testing.T) {
	t.Parallel()
	paths := make([]string, 100)
	for i := range paths {
		paths[i] = fmt.Sprintf("/line-%d-", i)
	}
	missing := func(text string) (n int) {
		for _, path := range paths {
			if !strings.Contains(text, path) {
				n++
			}
		}
		return n
	}
	for name, signals := range map[string]int{"one signal": 1, "two signals": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProcess(t, "http://127.0.0.1:9")
			start, text := p.logFile()
			start()
			c, open := p.dial(), p.dial()
			p.ask(p.dial(), paths...)
			if signals == 2 { // so that it does not end by itself
				if _, err := io.WriteString(open, "GET / HTTP/1.1\r\nHost: "); err != nil {
					t.Fatal(err)
				}
			}
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			for end := time.Now().Add(30 * time.Second); !strings.Contains(text(), "going down"); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("it does not go down")
				}
			}
			p.ask(c, "/after-the-first-signal")
			if signals == 2 {
				_ = p.cmd.Process.Signal(syscall.SIGTERM)
			}
			if _ = p.cmd.Wait(); p.cmd.ProcessState.ExitCode() != signals-1 {
				t.Errorf("it ended with %v, want exit code %d", p.cmd.ProcessState, signals-1)
			}
			if n := missing(text()); n > 0 || !strings.Contains(text(), "/after-the-first-signal") {
				t.Errorf("%d lines from before it was asked to end are missing, or the one from after that", n)
			}
		})
	}
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		p := newProcess(t, "http://127.0.0.1:9")
		start, text := p.logFile()
		start()
		p.ask(p.dial(), paths...)
		for end := time.Now().Add(30 * time.Second); missing(text()) > 0; time.Sleep(5 * time.Millisecond) { // with nothing that follows
			if time.Now().After(end) {
				t.Fatalf("%d lines are missing", missing(text()))
			}
		}
		p.kill()
		for line := range strings.Lines(text()) {
			var l map[string]any
			if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &l) != nil {
				t.Errorf("not a whole line: %q", line)
			}
		}
	})
}

// TestLogThatNobodyReads: requests are served, what is lost is counted for Prometheus and told
// in the log once somebody reads it, and the program ends when it is asked to.
func TestLogThatNobodyReads(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p := newProcess(t, "http://127.0.0.1:9")
	p.startTo(out)
	_ = out.Close() // it is the process's own now
	admin := regexp.MustCompile(`admin: \{ listen: (\S+) \}`).FindStringSubmatch(p.config())[1]
	lost := func() int {
		res, err := http.Get("http://" + admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		m := regexp.MustCompile(`(?m)^evergate_log_lines_lost_total (\S+)$`).FindSubmatch(b)
		if m == nil {
			t.Fatalf("there is no such metric in %s", b)
		}
		n, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	if n := lost(); n != 0 {
		t.Errorf("%d lines are lost at the start", n)
	}
	batch := make([]string, 200)
	for i := range batch {
		batch[i] = "/" + strings.Repeat("x", 1100)
	}
	sent := 0
	for ; lost() == 0; sent += len(batch) {
		if sent > 20_000 {
			t.Fatal("nothing is lost, or all is kept in memory")
		}
		p.ask(p.dial(), batch...)
	}
	if sent < 3000 {
		t.Errorf("%d lines of a kilobyte, and some are lost", sent)
	}
	read := make(chan string, 1)
	told := make(chan string, 1)
	go func() {
		var all strings.Builder
		for s := bufio.NewScanner(in); s.Scan(); {
			all.WriteString(s.Text() + "\n")
			if strings.Contains(s.Text(), `"event":"log.lost"`) {
				select {
				case told <- s.Text():
				default:
				}
			}
		}
		read <- all.String()
	}()
	select {
	case line := <-told:
		if !strings.Contains(line, `"level":"WARN"`) || !regexp.MustCompile(`"lines":[1-9]`).MatchString(line) {
			t.Errorf("got %s", line)
		}
	case <-time.After(30 * time.Second):
		t.Error("nothing in the log tells that lines are lost")
	}
	final := lost()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if n := strings.Count(<-read, "/xxx"); n+final != sent {
		t.Errorf("%d written and %d lost, want %d together", n, final, sent)
	}
}

var asked atomic.Int64

// said is its log, with the lines of all requests that are over: it reads from top to bottom,
// so they are there once that of a later one is.
func (p *process) said() string {
	p.Helper()
	path := fmt.Sprintf("/.evergate/said-%d", asked.Add(1))
	if res, err := http.Get(p.base + path); err != nil {
		p.Fatal(err)
	} else {
		res.Body.Close()
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if text := p.out.String(); strings.Contains(text, path+`"`) {
			return text
		}
		if time.Now().After(end) {
			p.Fatalf("there is no line of %s:\n%s", path, &p.out)
		}
	}
}

// config is its file.
func (p *process) config() string {
	p.Helper()
	b, err := os.ReadFile(p.file)
	if err != nil {
		p.Fatal(err)
	}
	return string(b)
}
