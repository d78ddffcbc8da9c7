package accesslog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/internal/accesslog"
)

// sink is what a log is written to, and takes it as it is told to.
type sink struct {
	mu     sync.Mutex
	got    bytes.Buffer
	writes int
	limit  int           // how much of a write it takes; -1 takes all
	hold   chan struct{} // nothing is taken until it is closed
}

func newSink() *sink { return &sink{limit: -1} }

func (s *sink) Write(b []byte) (int, error) {
	s.mu.Lock()
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.limit >= 0 && len(b) > s.limit {
		n, _ := s.got.Write(b[:s.limit])
		return n, errors.New("the disk is full")
	}
	return s.got.Write(b)
}

func (s *sink) set(limit int) { s.mu.Lock(); s.limit = limit; s.mu.Unlock() }

func (s *sink) text() (text string, writes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String(), s.writes
}

// stuck has the sink take nothing until the returned function is called.
func (s *sink) stuck() (release func()) {
	hold := make(chan struct{})
	s.mu.Lock()
	s.hold = hold
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		s.hold = nil
		s.mu.Unlock()
		close(hold)
	}
}

func send(log *accesslog.Log, path string) {
	l := usual()
	l.Path = path
	log.Access(&l)
}

// TestWrittenSoon: a line is written 50 ms after its request, with all that came meanwhile and
// by one write.
func TestWrittenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSink()
		log := accesslog.New(out, accesslog.Options{})
		defer log.Close()
		for range 3 { // it goes on so
			before, writes := out.text()
			for range 20 {
				send(log, "/")
				time.Sleep(time.Millisecond)
			}
			time.Sleep(29 * time.Millisecond)
			synctest.Wait()
			if now, _ := out.text(); now != before {
				t.Fatal("a line is written by itself")
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			now, then := out.text()
			if n := strings.Count(now, "\n") - strings.Count(before, "\n"); n != 20 || then != writes+1 {
				t.Fatalf("%d lines in %d writes after 50 ms, want 20 in one", n, then-writes)
			}
		}
	})
}

// TestWrittenAtOnceWhenMany: what fills a block does not wait for its time.
func TestWrittenAtOnceWhenMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSink()
		log := accesslog.New(out, accesslog.Options{})
		defer log.Close()
		for range 1000 {
			send(log, "/")
		}
		synctest.Wait()
		text, writes := out.text()
		// What is left is less than a block, and waits for others as a lone line does.
		if left := 1000*len(text)/max(strings.Count(text, "\n"), 1) - len(text); left >= 64<<10 || writes > 100 {
			t.Errorf("%d lines in %d writes before any time has passed, want all but a block of 1000, in few", strings.Count(text, "\n"), writes)
		}
		time.Sleep(60 * time.Millisecond)
		synctest.Wait()
		if text, writes := out.text(); strings.Count(text, "\n") != 1000 || writes > 100 {
			t.Errorf("%d lines in %d writes a moment later, want 1000 in few", strings.Count(text, "\n"), writes)
		}
	})
}

// TestReadsFromTopToBottom: a record is behind the access lines before it and ahead of those
// after it, and whoever logged it finds all of them written.
func TestReadsFromTopToBottom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log := accesslog.New(f, accesslog.Options{})
	say := slog.New(log.Handler())
	const people, each = 8, 500
	var wg sync.WaitGroup
	for who := range people {
		wg.Go(func() {
			for i := range each {
				send(log, fmt.Sprintf("/%d/%d", who, i))
				if i%50 == 49 {
					say.Info("record", "path", fmt.Sprintf("/%d/%d", who, i))
					b, _ := os.ReadFile(path)
					if !bytes.Contains(b, fmt.Appendf(nil, `"msg":"record","path":"/%d/%d"`, who, i)) || !bytes.Contains(b, fmt.Appendf(nil, `"path":"/%d/%d","route"`, who, i)) {
						t.Error("a record was logged, and it is not written with the line before it")
					}
				}
			}
		})
	}
	wg.Wait()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next, lines := map[int]int{}, 0
	for line := range strings.Lines(string(b)) {
		var l struct{ Msg, Path string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		var who, i int
		if _, err := fmt.Sscanf(l.Path, "/%d/%d", &who, &i); err != nil {
			t.Fatal(err)
		}
		if l.Msg == "record" {
			i++ // the next line of theirs is not there yet
		}
		if next[who] != i {
			t.Fatalf("%s %s comes at the place of %d", l.Msg, l.Path, next[who])
		}
		if l.Msg == "request" {
			next[who]++
			lines++
		}
	}
	if lines != people*each || log.Lost() != 0 {
		t.Errorf("%d lines and %d lost, want %d and none", lines, log.Lost(), people*each)
	}
}

// TestStuck: where what takes the log hangs, no request waits. What finds no place is counted
// and told of, and all else comes in its order.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSink()
		release := out.stuck()
		log := accesslog.New(out, accesslog.Options{})
		say := slog.New(log.Handler())
		start, sent := time.Now(), 0
		for range 20_000 { // some 7 MB
			send(log, "/before")
			sent++
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("requests waited for %s", took)
		}
		if log.Lost() == 0 || log.Lost() > 12_000 {
			t.Errorf("%d lines of 7 MB are lost, want those over 4 MiB", log.Lost())
		}
		say.Warn("the first that waits")
		first := time.Since(start)
		for range 100 {
			say.Warn("others do not, and have place")
		}
		if first != 500*time.Millisecond || time.Since(start) != first {
			t.Errorf("a record waited for %s and 100 more for %s, want half a second and not at all", first, time.Since(start)-first)
		}
		for range 20_000 { // and records have a bound, too
			say.Warn(strings.Repeat("x", 200))
		}
		lost := log.Lost()
		release()
		synctest.Wait()
		text, _ := out.text()
		if n := strings.Count(text, `"msg":"request"`); n < 10_000 || n > 15_000 {
			t.Errorf("%d lines waited, want 4 MiB of them", n)
		}
		if len(text) > 5<<20+1<<10 {
			t.Errorf("%d bytes waited, want 5 MiB at most", len(text))
		}
		if strings.Count(text, "others do not") != 100 {
			t.Error("a flood of requests has pushed out records")
		}
		if want := fmt.Sprintf(`"event":"log.lost","lines":%d`, lost); !strings.Contains(text, want) || lost+int64(strings.Count(text, "\n")) != 40_000+101+1 {
			t.Errorf("%d lost and %d written, want all that was sent and one with %s", lost, strings.Count(text, "\n"), want)
		}
		if before, after := strings.LastIndex(text, `"msg":"request"`), strings.Index(text, "the first that waits"); before > after {
			t.Error("a record has overtaken lines")
		}

		// It takes lines again: whoever logs waits for them as ever, and it is told no more.
		say.Warn("well again")
		if text, _ := out.text(); !strings.HasSuffix(text, "\"msg\":\"well again\"}\n") {
			t.Error("a record was logged and is not written")
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		if text, _ := out.text(); strings.Count(text, "log.lost") != 1 {
			t.Errorf("told %d times of it, want once", strings.Count(text, "log.lost"))
		}
	})
}

// TestToldOnceAMinute: as long as lines are lost a line says so once a minute, the last one also.
func TestToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSink()
		log := accesslog.New(out, accesslog.Options{Text: true})
		lose := func(n int) {
			release := out.stuck()
			send(log, strings.Repeat("x", 5000)) // this one is under way
			time.Sleep(time.Second)
			for before := log.Lost(); log.Lost() < before+int64(n); {
				send(log, "/")
			}
			release()
			synctest.Wait()
		}
		told := func(want ...int) {
			t.Helper()
			text, _ := out.text()
			for _, n := range want {
				_, rest, ok := strings.Cut(text, fmt.Sprintf("event=log.lost lines=%d\n", n))
				if text = rest; !ok {
					t.Fatalf("it was not told that %d lines are lost", n)
				}
			}
			if strings.Contains(text, "log.lost") {
				t.Fatal("more was told")
			}
		}
		lose(7)
		told(7)
		lose(1)
		lose(2)
		told(7)
		time.Sleep(time.Minute) // also when no request follows
		synctest.Wait()
		told(7, 3)
		lose(5)
		told(7, 3)
		if err := log.Close(); err != nil { // at the end nothing is kept back
			t.Fatal(err)
		}
		told(7, 3, 5)
	})
}

// TestFullDisk: lines that are not taken are counted. Half a line has an end, before the next.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSink()
		log := accesslog.New(out, accesslog.Options{})
		say := slog.New(log.Handler())
		say.Info("one")
		out.set(20)
		say.Info("half")
		send(log, "/lost")
		say.Info("lost, too")
		out.set(-1)
		say.Info("two")
		time.Sleep(2 * time.Minute) // without a line, and it is told
		synctest.Wait()
		text, _ := out.text()
		var said []string
		for line := range strings.Lines(text) {
			var l struct {
				Msg   string
				Event string
				Lines int
			}
			if json.Unmarshal([]byte(line), &l) == nil {
				said = append(said, strings.TrimSpace(fmt.Sprint(l.Msg[:3], " ", l.Event)))
			} else if len(line) > 22 {
				t.Errorf("two lines are mixed: %q", line)
			}
		}
		if got := strings.Join(said, ","); got != "one,two,lin log.lost" {
			t.Errorf("got %s in\n%s", got, text)
		}
		if log.Lost() != 3 || !strings.Contains(text, `"lines":3}`) {
			t.Errorf("%d lost, want 3, told in\n%s", log.Lost(), text)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestClose: what waits is written, and what is logged later also.
func TestClose(t *testing.T) {
	out := newSink()
	log := accesslog.New(out, accesslog.Options{})
	send(log, "/waits")
	for range 2 {
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if text, _ := out.text(); !strings.Contains(text, "/waits") {
		t.Error("what waited at the end is not there")
	}
	send(log, "/late")
	if text, _ := out.text(); !strings.Contains(text, "/late") {
		t.Error("what came after the end is not there")
	}
	slog.New(log.Handler()).Info("last")
	if text, _ := out.text(); !strings.HasSuffix(text, "\"msg\":\"last\"}\n") {
		t.Error("a record after the end is not there")
	}
}

// TestCloseOfAStuckLog: the program ends also where what takes its log hangs.
func TestCloseOfAStuckLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := newSink()
		release := out.stuck()
		log := accesslog.New(out, accesslog.Options{})
		send(log, "/")
		start := time.Now()
		if err := log.Close(); err == nil || !strings.Contains(err.Error(), "is stuck") {
			t.Errorf("got %v, want that it is stuck", err)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("it took %s, want 2 s", took)
		}
		release()
		synctest.Wait()
		if text, _ := out.text(); !strings.Contains(text, `"msg":"request"`) {
			t.Error("it takes lines again before the end, and there is none")
		}
	})
}

// TestPipe: a pipe gets pieces that it does not tear, each of whole lines; one that nobody
// empties keeps no request.
func TestPipe(t *testing.T) {
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer w.Close()
	out := &pieces{File: w}
	log := accesslog.New(out, accesslog.Options{})
	long := strings.Repeat("l", 9000)
	var took time.Duration
	for i := range 1000 {
		start := time.Now()
		if send(log, "/"); i == 500 {
			send(log, long)
		}
		took += time.Since(start)
	}
	if took > 5*time.Second {
		t.Errorf("requests waited %s for a pipe that nobody empties", took)
	}
	read := make(chan string)
	go func() {
		b, _ := io.ReadAll(in)
		read <- string(b)
	}()
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if text := <-read; strings.Count(text, "\n") != 1001 || !strings.Contains(text, long) || log.Lost() != 0 {
		t.Errorf("%d lines and %d lost, want 1001 and none", strings.Count(text, "\n"), log.Lost())
	}
	for _, p := range out.all {
		if !strings.HasSuffix(p, "\n") || len(p) > 4096 && strings.Count(p, "\n") > 1 {
			t.Fatalf("a piece of %d bytes with %d ends of lines", len(p), strings.Count(p, "\n"))
		}
	}
	if len(out.all) > 200 {
		t.Errorf("%d writes for 1001 lines", len(out.all))
	}
}

// pieces notes what was written at a time. One goroutine writes.
type pieces struct {
	*os.File
	all []string
}

func (p *pieces) Write(b []byte) (int, error) {
	p.all = append(p.all, string(b))
	return p.File.Write(b)
}

// TestAccessAllocatesNothing: a request leaves no garbage for its line.
func TestAccessAllocatesNothing(t *testing.T) {
	log := accesslog.New(io.Discard, accesslog.Options{})
	defer log.Close()
	l := usual()
	if n := testing.AllocsPerRun(1000, func() { log.Access(&l) }); n >= 1 {
		t.Errorf("%v allocations a line, want none", n)
	}
}
