package door_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/cmd/evergate/internal/door"
)

// dial connects to a door until the test ends.
func dial(t testing.TB, to string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// TestClientGoesAway: whoever serves a request is told, however the client goes, at once or
// after a while, and also where more requests were answered before.
func TestClientGoesAway(t *testing.T) {
	ended := make(chan time.Time, 1)
	s := serve(t, door.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			return
		}
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
			t.Error("nobody was told")
		}
		ended <- time.Now()
	})})
	for name, leave := range map[string]func(*net.TCPConn){
		"closes":      func(c *net.TCPConn) { _ = c.Close() },
		"half closes": func(c *net.TCPConn) { _ = c.CloseWrite() },
		"resets":      func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() },
	} {
		for _, after := range []time.Duration{0, 5 * time.Millisecond, 200 * time.Millisecond} {
			t.Run(fmt.Sprint(name, " after ", after), func(t *testing.T) {
				c := dial(t, s.front)
				in := bufio.NewReader(c)
				for range 3 {
					askOver(t, c, in, "/")
				}
				_, _ = io.WriteString(c, "GET /wait HTTP/1.1\r\nHost: gate.example\r\n\r\n")
				time.Sleep(after)
				began := time.Now()
				leave(c)
				if took := (<-ended).Sub(began); took > time.Second {
					t.Errorf("it was told after %v, want 40 ms", took)
				}
			})
		}
	}
}

// askOver sends a request over c and reads the answer.
func askOver(t testing.TB, c net.Conn, in *bufio.Reader, path string) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: gate.example\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return answer(t, in)
}

func answer(t testing.TB, in *bufio.Reader) string {
	t.Helper()
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestPipelinedRequests come in any pieces, also while one before them takes long, and each is
// answered in its turn.
func TestPipelinedRequests(t *testing.T) {
	s := serve(t, door.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Query().Has("slow") {
			time.Sleep(70 * time.Millisecond)
		}
		if r.Context().Err() != nil {
			t.Error("a request that its client waits for was ended:", r.URL)
		}
		fmt.Fprint(w, r.URL.Path, string(body))
	})})
	var all strings.Builder
	for i := range 20 {
		slow := ""
		if i%7 == 0 {
			slow = "?slow"
		}
		fmt.Fprintf(&all, "GET /%d%s HTTP/1.1\r\nHost: gate.example\r\n\r\n", 2*i, slow)
		fmt.Fprintf(&all, "POST /%d%s HTTP/1.1\r\nHost: gate.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n:\r\n0\r\n\r\n", 2*i+1, slow)
	}
	for _, piece := range []int{1, 7, 100, all.Len()} {
		t.Run(fmt.Sprint(piece), func(t *testing.T) {
			t.Parallel()
			c := dial(t, s.front)
			var wg sync.WaitGroup
			wg.Go(func() {
				for rest := all.String(); rest != ""; {
					n := min(piece, len(rest))
					if _, err := io.WriteString(c, rest[:n]); err != nil {
						t.Error(err)
						return
					}
					rest = rest[n:]
				}
			})
			defer wg.Wait()
			in := bufio.NewReader(c)
			for i := range 40 {
				want := fmt.Sprint("/", i)
				if i%2 == 1 {
					want += ":"
				}
				if got := answer(t, in); got != want {
					t.Fatalf("answer %d: got %q, want %q", i, got, want)
				}
			}
		})
	}
}

// TestTakenOver: whoever takes a connection over, at once or after a while, gets each byte, and
// its deadlines hold.
func TestTakenOver(t *testing.T) {
	for _, after := range []time.Duration{0, 70 * time.Millisecond} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			timedOut := make(chan error, 1)
			s := serve(t, door.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					return
				}
				time.Sleep(after)
				conn, buf, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
				early := make([]byte, buf.Reader.Buffered())
				_, _ = io.ReadFull(buf, early)
				_, _ = conn.Write(early)
				one := make([]byte, 1)
				for range len("hello") - len(early) {
					if _, err := io.ReadFull(conn, one); err != nil {
						t.Error(err)
						return
					}
					_, _ = conn.Write(one)
				}
				_ = conn.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
				_, err = conn.Read(one)
				timedOut <- err
			})})
			c := dial(t, s.front)
			in := bufio.NewReader(c)
			askOver(t, c, in, "/")
			_, _ = io.WriteString(c, "GET /echo HTTP/1.1\r\nHost: gate.example\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
			if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != 101 {
				t.Fatalf("got %v, %v, want 101", res, err)
			}
			for _, b := range "hello" {
				_, _ = c.Write([]byte{byte(b)})
				if got, err := in.ReadByte(); err != nil || got != byte(b) {
					t.Fatalf("got %q, %v, want %q", got, err, b)
				}
			}
			if err := <-timedOut; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("where nothing comes got %v, want its deadline", err)
			}
		})
	}
}

// TestDeadlines: a client that is silent is cut off, between requests and within a body; and a
// deadline that comes while somebody reads ends that.
func TestDeadlines(t *testing.T) {
	type cut struct {
		err  error
		took time.Duration
	}
	late := make(chan cut, 1)
	s := serve(t, door.Options{Limits: door.Limits{IdleTimeout: 2 * time.Second},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			control, began := http.NewResponseController(w), time.Now()
			switch r.URL.Path {
			case "/before":
				_ = control.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			case "/meanwhile":
				defer time.AfterFunc(100*time.Millisecond, func() { _ = control.SetReadDeadline(time.Unix(1, 0)) }).Stop()
			default:
				return
			}
			_, err := io.ReadAll(r.Body)
			late <- cut{err, time.Since(began)}
		})})
	for _, path := range []string{"/before", "/meanwhile"} {
		c := dial(t, s.front)
		askOver(t, c, bufio.NewReader(c), "/")
		_, _ = io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: gate.example\r\nContent-Length: 10\r\n\r\nhalf")
		got := <-late
		if !errors.Is(got.err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %v, want its deadline", path, got.err)
		}
		if got.took < 80*time.Millisecond || got.took > time.Second {
			t.Errorf("%s: it was cut off after %v, want 100 ms", path, got.took)
		}
	}
	c := dial(t, s.front)
	in := bufio.NewReader(c)
	for range 3 {
		askOver(t, c, in, "/")
		time.Sleep(time.Second) // no request is shortened by what stood before it
	}
	began := time.Now()
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("an idle connection: got %v, want it closed", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("an idle connection was closed after %v, want 1 s", took)
	}
}

// TestClosingEndsRequests that nobody is told to end otherwise.
func TestClosingEndsRequests(t *testing.T) {
	for _, after := range []time.Duration{0, 100 * time.Millisecond} {
		begun, ended := make(chan bool), make(chan bool)
		s := serve(t, door.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begun <- true
			<-r.Context().Done()
			close(ended)
		})})
		_, _ = io.WriteString(dial(t, s.front), "GET / HTTP/1.1\r\nHost: gate.example\r\n\r\n")
		<-begun
		time.Sleep(after)
		_ = s.Close()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("%v after it began a request does not end with its connection", after)
		}
	}
}
