package audit_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/audit"
	"github.com/evergate/evergate/internal/event"
)

func TestLine(t *testing.T) {
	at := time.Date(2026, 11, 27, 9, 14, 2, 310e6, time.FixedZone("", 3600))
	e := event.Event{Name: event.SessionWithdrawn, At: at, User: "al\"ice\n", Provider: "local", Subject: "alice", Session: "abc", Reason: event.UserWithdrawn,
		Err: errors.New("refused: disabled"), Changed: []string{"not its field"}, Count: 3,
		Origin: event.Origin{RequestID: "R", Client: "192.0.2.1", Agent: "Firefox", Host: "apps.example.com"}}
	want := `{"time":"2026-11-27T08:14:02.310Z","event":"session.withdrawn","user":"al\"ice\n","provider":"local","subject":"alice","session":"abc",` +
		`"reason":"user_withdrawn","detail":"refused: disabled","client":"192.0.2.1","user_agent":"Firefox","host":"apps.example.com","request_id":"R"}` + "\n"
	if got := string(audit.Line(&e)); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	// Nothing that anybody sends can make two lines of one, or no JSON.
	for _, nasty := range []string{"\x00\xff", "a\u2028b", strings.Repeat("x", 1<<20), "</script>"} {
		e.User, e.Origin.Agent, e.Err = nasty, nasty, errors.New(nasty)
		line := audit.Line(&e)
		var back map[string]any
		if err := json.Unmarshal(line, &back); err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%.20q: got %.200q %v", nasty, line, err)
		}
	}
}

// TestFieldsAreKnown: the catalogue names no field that the audit log does not have.
func TestFieldsAreKnown(t *testing.T) {
	have := map[string]bool{}
	for _, f := range audit.Fields {
		have[f.Name] = true
	}
	for _, k := range event.Kinds {
		for _, f := range k.Fields {
			if !have[f] {
				t.Errorf("%s: there is no field %q", k.Name, f)
			}
		}
	}
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	l := audit.New(audit.Options{})
	s, err := audit.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Use([]audit.Sink{s})
	tell := func(n int) {
		l.Hear(t.Context(), event.Event{Name: event.SessionStarted, At: time.Now(), User: strconv.Itoa(n)})
	}
	read := func(name string) string {
		b, _ := os.ReadFile(name)
		return string(b)
	}
	tell(1)
	l.Hear(t.Context(), event.Event{Name: event.SessionRenewed, At: time.Now(), User: "not for it"})
	until(t, func() bool { return strings.Contains(read(path), `"user":"1"`) })
	if fi, _ := os.Stat(path); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", fi.Mode())
	}
	if err := os.Rename(path, path+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	until(t, func() bool { tell(2); return strings.Contains(read(path), `"user":"2"`) })
	if strings.Contains(read(path+".1"), "not for it") || strings.Contains(read(path), `"user":"1"`) {
		t.Errorf("got %s and %s", read(path+".1"), read(path))
	}
	tell(3)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(read(path), `"user":"3"`) {
		t.Error("what was queued at the end is lost")
	}
	tell(4) // after Close it goes nowhere, and nothing panics
	if _, err := audit.OpenFile(t.TempDir()); err == nil {
		t.Error("a folder was taken for a file")
	}
}

// full takes nothing for as long as it is told to.
type full struct {
	mu   sync.Mutex
	bad  bool
	got  bytes.Buffer
	hold chan struct{}
}

func (f *full) Write(b []byte) (int, error) {
	if f.hold != nil {
		<-f.hold
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bad {
		return 0, errors.New("the disk is full")
	}
	return f.got.Write(b)
}
func (f *full) Close() error   { return nil }
func (f *full) String() string { return "the full disk" }
func (f *full) set(bad bool)   { f.mu.Lock(); f.bad = bad; f.mu.Unlock() }
func (f *full) text() string   { f.mu.Lock(); defer f.mu.Unlock(); return f.got.String() }

func TestTrouble(t *testing.T) {
	sick, well := &full{bad: true}, &full{}
	var mu sync.Mutex
	lost := 0
	l := audit.New(audit.Options{Lost: func(n int) { mu.Lock(); lost += n; mu.Unlock() }})
	l.Use([]audit.Sink{sick, well})
	l.Hear(t.Context(), event.Event{Name: event.SessionStarted, At: time.Now(), User: "alice"})
	until(t, func() bool { return l.Trouble() != nil })
	if err := l.Trouble(); !strings.Contains(err.Error(), "the full disk takes nothing since") {
		t.Errorf("got %v", err)
	}
	if !strings.Contains(well.text(), "alice") {
		t.Error("one that is sick keeps others from their lines")
	}
	sick.set(false)
	l.Hear(t.Context(), event.Event{Name: event.SessionStarted, At: time.Now(), User: "bob"})
	until(t, func() bool { return l.Trouble() == nil && strings.Contains(sick.text(), "bob") })
	_ = l.Close()
	mu.Lock()
	defer mu.Unlock()
	if lost != 1 {
		t.Errorf("%d lost, want one", lost)
	}
}

// TestLost: who is told of events never waits, and what was lost is told.
func TestLost(t *testing.T) {
	slow := &full{hold: make(chan struct{})}
	l := audit.New(audit.Options{})
	l.Use([]audit.Sink{slow})
	for range 6000 {
		l.Hear(t.Context(), event.Event{Name: event.SessionStarted, At: time.Now(), User: "alice"})
	}
	close(slow.hold)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`"event":"audit.lost","count":(\d+)`).FindStringSubmatch(slow.text())
	if m == nil {
		t.Fatal("nothing says that events were lost")
	}
	lost, _ := strconv.Atoi(m[1])
	if got := strings.Count(slow.text(), "session.started"); got+lost != 6000 {
		t.Errorf("%d lines and %d lost, want 6000 together", got, lost)
	}
}

// TestSinkThatHangs: a pipe that nobody empties keeps nobody from asking how the log is, nor from
// having another one used.
func TestSinkThatHangs(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	if _, err := out.Write(make([]byte, 1<<16)); err != nil { // as much as a pipe takes
		t.Fatal(err)
	}
	l := audit.New(audit.Options{})
	l.Use([]audit.Sink{audit.Stream(out, "standard output")})
	l.Hear(t.Context(), event.Event{Name: event.SessionStarted, At: time.Now(), User: "stuck"})
	time.Sleep(100 * time.Millisecond) // it is being written by now
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	s, err := audit.OpenFile(file)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Trouble()
		l.Use([]audit.Sink{s})
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("whoever asks, or has another one used, waits for the pipe")
	}
	go func() { _, _ = io.Copy(io.Discard, in) }()
	until(t, func() bool {
		l.Hear(t.Context(), event.Event{Name: event.SessionStarted, At: time.Now(), User: "later"})
		b, _ := os.ReadFile(file)
		return strings.Contains(string(b), `"user":"later"`)
	})
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestSyslog(t *testing.T) {
	message := regexp.MustCompile(`^<85>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ evergate \d+ audit - (\{.*\})$`)
	local := regexp.MustCompile(`^<85>[A-Z][a-z]{2} [ 0-9][0-9] \d\d:\d\d:\d\d evergate\[\d+\]: (\{.*\})$`)
	checkForm := func(t *testing.T, form *regexp.Regexp, got []byte) {
		t.Helper()
		m := form.FindSubmatch(got)
		var fields map[string]any
		if m == nil || json.Unmarshal(m[1], &fields) != nil || fields["user"] != "alice" {
			t.Errorf("got %q, want the line in a message like %s", got, form)
		}
	}
	check := func(t *testing.T, got []byte) { t.Helper(); checkForm(t, message, got) }
	sink := func(t *testing.T, to string) audit.Sink {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		s, err := audit.Syslog(u, "authpriv")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	line := audit.Line(&event.Event{Name: event.SessionStarted, At: time.Now(), User: "alice"})

	t.Run("udp", func(t *testing.T) {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := sink(t, "udp://"+c.LocalAddr().String()).Write(line); err != nil {
			t.Fatal(err)
		}
		check(t, datagram(t, c))
	})
	t.Run("unix, restarted", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		c, err := net.ListenPacket("unixgram", path)
		if err != nil {
			t.Fatal(err)
		}
		s := sink(t, "unix://"+path)
		if _, err := s.Write(line); err != nil {
			t.Fatal(err)
		}
		checkForm(t, local, datagram(t, c))
		_ = c.Close()
		_ = os.Remove(path)
		if c, err = net.ListenPacket("unixgram", path); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := s.Write(line); err != nil {
			t.Fatalf("after the daemon was restarted: %v", err)
		}
		checkForm(t, local, datagram(t, c))
	})
	t.Run("tcp", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := sink(t, "tcp://"+l.Addr().String())
		for range 2 {
			if _, err := s.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		for range 2 { // with their lengths in front
			head, err := r.ReadString(' ')
			n, nerr := strconv.Atoi(strings.TrimSpace(head))
			if err != nil || nerr != nil {
				t.Fatalf("got %q", head)
			}
			body := make([]byte, n)
			if _, err := io.ReadFull(r, body); err != nil {
				t.Fatal(err)
			}
			check(t, body)
		}
		_ = c.Close()
		_ = l.Close()
		until(t, func() bool { _, err := s.Write(line); return err != nil }) // nobody is there any more
	})
	if _, err := audit.Syslog(&url.URL{Scheme: "https", Host: "x"}, "authpriv"); err == nil {
		t.Error("https was taken for a syslog")
	}
	if _, err := audit.Syslog(&url.URL{Scheme: "udp", Host: "x:1"}, "kern"); err == nil {
		t.Error("kern was taken for a facility of ours")
	}
}

func datagram(t *testing.T, c net.PacketConn) []byte {
	t.Helper()
	b := make([]byte, 64<<10)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	n, _, err := c.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(fmt.Errorf("it did not come about within a minute"))
		}
	}
}
