package attacks

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// got is one request as the app received it.
type got struct {
	raw  []byte // all of its bytes
	conn int    // the connection that it came over
	*http.Request
	body []byte
}

// head is the header as it was on the wire.
func (g *got) head() string {
	head, _, _ := bytes.Cut(g.raw, []byte("\r\n\r\n"))
	return string(head) + "\r\n"
}

// recorder is the app behind the gateway: it keeps the bytes of each request, and answers as a
// case wants.
type recorder struct {
	net.Listener

	mu     sync.Mutex // guards what follows
	all    []*got
	broken []string // what came that is no request
	answer func(*got) string
	conns  map[net.Conn]bool
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Listener: l, conns: map[net.Conn]bool{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns[c] = true
			r.mu.Unlock()
			serving.Go(func() { r.serve(n, c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		serving.Wait()
	})
	return r
}

func (r *recorder) url() string { return "http://" + r.Addr().String() }

func (r *recorder) serve(n int, c net.Conn) {
	defer func() {
		c.Close()
		r.mu.Lock()
		delete(r.conns, c)
		r.mu.Unlock()
	}()
	var raw bytes.Buffer
	in := bufio.NewReader(c)
	for {
		raw.Reset()
		if _, err := in.Peek(1); err != nil {
			return
		}
		// Each byte is kept as it is taken, so that one request's do not pass for the next one's.
		req, err := http.ReadRequest(bufio.NewReaderSize(io.TeeReader(oneByOne{in}, &raw), 16))
		if err != nil {
			r.mu.Lock()
			r.broken = append(r.broken, fmt.Sprintf("%v: %q", err, raw.Bytes()))
			r.mu.Unlock()
			return
		}
		body, err := io.ReadAll(req.Body)
		g := &got{raw: bytes.Clone(raw.Bytes()), conn: n, Request: req, body: body}
		r.mu.Lock()
		r.all = append(r.all, g)
		answer := r.answer
		r.mu.Unlock()
		if err != nil {
			return
		}
		if answer == nil {
			answer = echo
		}
		said := answer(g)
		if _, err := io.WriteString(c, said); err != nil {
			return
		}
		if strings.HasPrefix(said, "HTTP/1.1 101 ") { // no requests follow: what comes goes back
			_, _ = io.Copy(c, in)
			return
		}
	}
}

// oneByOne hands on a byte at a time: whoever reads ahead would take what is the next request's.
type oneByOne struct{ r *bufio.Reader }

// Read implements io.Reader.
func (o oneByOne) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return o.r.Read(p[:1])
}

// echo answers with what the app makes of a request.
func echo(g *got) string {
	b, _ := json.Marshal(map[string]any{"method": g.Method, "uri": g.RequestURI, "host": g.Host, "header": g.Header, "body": string(g.body)})
	return answer(200, "Content-Type: application/json\r\n", string(b))
}

// answer is an answer on the wire; lines end in CRLF.
func answer(status int, lines, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s\r\n%s", status, http.StatusText(status), len(body), lines, body)
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}

// since are the requests after the first n. What else came, which is no request, fails the test.
func (r *recorder) since(t *testing.T, n int) []*got {
	t.Helper()
	time.Sleep(15 * time.Millisecond) // what would come beside the answer
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.broken {
		t.Errorf("the app got what is no request: %s", b)
	}
	r.broken = nil
	return slices.Clone(r.all[n:])
}

// answers has the app answer by f until the case is over.
func (r *recorder) answers(t *testing.T, f func(*got) string) {
	r.set(f)
	t.Cleanup(func() { r.set(nil) })
}

func (r *recorder) set(f func(*got) string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}
