package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// diffSent is what came of sending.
type diffSent struct {
	mu                    sync.Mutex // guards the rest
	conns, answers, loose int
	faults                []string
}

func (s *diffSent) count(conns, answers, loose int, faults ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns, s.answers, s.loose = s.conns+conns, s.answers+answers, s.loose+loose
	if len(s.faults) < 10 {
		s.faults = append(s.faults, faults...)
	}
}

const (
	// diffPipe is how many requests go out at once on one connection.
	diffPipe = 20
	// diffQuiet is how long a silence is an end, where it is open what is still to come.
	diffQuiet  = 150 * time.Millisecond
	diffAtOnce = 12
	// diffAnswer is how long the stand-in waits for the answer to one request: some never get any.
	diffAnswer = time.Second
)

// diffSend sends n requests from the first on. Those that end where they end are pipelined,
// and each has to get its own answer. Of the others each has a connection of its own, with a request
// behind it that is beyond doubt.
func diffSend(t *testing.T, dial func() (net.Conn, error), host string, seed uint64, first, n int) *diffSent {
	t.Helper()
	hosts := []string{"apache.test", "go.test", "nginx.test", "python.test"} // in order: a seed means the same every time
	work, sent := make(chan []diffWild), &diffSent{}
	var sending sync.WaitGroup
	for range diffAtOnce {
		sending.Go(func() {
			for batch := range work {
				if batch[0].loose {
					sent.alone(dial, host, batch[0])
				} else {
					sent.pipelined(dial, batch)
				}
			}
		})
	}
	var batch []diffWild
	for i := range n {
		w := diffMake(seed, first+i, host, hosts)
		if w.loose {
			work <- []diffWild{w}
			continue
		}
		if batch = append(batch, w); len(batch) == diffPipe {
			work <- batch
			batch = nil
		}
	}
	if len(batch) > 0 {
		work <- batch
	}
	close(work)
	sending.Wait()
	return sent
}

// pipelined sends a batch, and what is left of it over further connections where the gateway ends one.
func (s *diffSent) pipelined(dial func() (net.Conn, error), batch []diffWild) {
	for len(batch) > 0 {
		c, err := dial()
		if err != nil {
			s.count(0, 0, 0, err.Error())
			return
		}
		var b strings.Builder
		for _, w := range batch {
			b.WriteString(w.raw)
		}
		go func() { _, _ = io.WriteString(c, b.String()) }()
		got := s.answersTo(c, batch)
		c.Close()
		if got == 0 {
			s.count(1, 0, 0, fmt.Sprintf("no answer to %q", batch[0].raw))
			got = 1
		}
		batch = batch[got:]
	}
}

// answersTo reads the answers to a batch, as many as come.
func (s *diffSent) answersTo(c net.Conn, batch []diffWild) (got int) {
	in := bufio.NewReader(c)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	defer func() { s.count(1, got, 0) }()
	for _, w := range batch {
		res, err := http.ReadResponse(in, &http.Request{Method: w.method})
		if err != nil {
			return got
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return got
		}
		got++
		if want := fmt.Sprintf("n%d", w.n); res.StatusCode == 200 && diffOwn(string(body)) != want && w.method != "HEAD" {
			s.count(0, 0, 0, fmt.Sprintf("the answer to %s is somebody else's: %q; it was to %q", want, body, w.raw))
		}
		if res.Close {
			return got
		}
	}
	return got
}

// diffOwn is the nonce of an answer, without what a folded line has added to it.
func diffOwn(body string) string {
	nonce, _, _ := strings.Cut(body, " ")
	return nonce
}

// alone sends one request of which it is open where it ends, and one behind it.
func (s *diffSent) alone(dial func() (net.Conn, error), host string, w diffWild) {
	c, err := dial()
	if err != nil {
		s.count(0, 0, 0, err.Error())
		return
	}
	defer c.Close()
	last := fmt.Sprintf("s%d", w.n)
	go func() {
		_, _ = io.WriteString(c, w.raw+"GET /public/last HTTP/1.1\r\nHost: "+host+"\r\nX-Nonce: "+last+"\r\n\r\n")
	}()
	in, method, answers := bufio.NewReader(c), w.method, 0
	for {
		_ = c.SetReadDeadline(time.Now().Add(diffQuiet))
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			break
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			break
		}
		answers++
		nonce := diffOwn(string(body))
		if res.StatusCode == 200 && nonce != "" && nonce != last && nonce != fmt.Sprintf("n%d", w.n) && nonce != fmt.Sprintf("i%d", w.n) {
			s.count(0, 0, 0, fmt.Sprintf("an answer to n%d is somebody else's: %q; it was to %q", w.n, body, w.raw))
		}
		if res.Close || nonce == last {
			break
		}
		method = "GET"
	}
	s.count(1, answers, 1)
}

// diffStandIn is a proxy as it should not be: it decides by the beginning of the path as it
// came, believes Content-Length and the first Host line, and forwards the bytes.
type diffStandIn struct {
	net.Listener
	up *diffServer

	mu    sync.Mutex // guards lines
	lines map[string]*diffLine
}

func newDiffStandIn(t *testing.T, up *diffServer) *diffStandIn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &diffStandIn{Listener: l, up: up, lines: map[string]*diffLine{}}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
	return p
}

func (p *diffStandIn) dial() (net.Conn, error) { return net.Dial("tcp", p.Addr().String()) }

func (p *diffStandIn) decided() map[string]*diffLine {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]*diffLine{}
	for id, d := range p.lines {
		all[id] = d
	}
	return all
}

func (p *diffStandIn) serve(c net.Conn) {
	defer c.Close()
	up, err := net.Dial("tcp", strings.TrimPrefix(p.up.url, "http://"))
	if err != nil {
		return
	}
	defer up.Close()
	in, out := bufio.NewReader(c), bufio.NewReader(up)
	for {
		_ = c.SetDeadline(time.Now().Add(2 * diffQuiet)) // all that is to come was sent at once
		var head strings.Builder
		for !strings.HasSuffix(head.String(), "\r\n\r\n") && !strings.HasSuffix(head.String(), "\n\n") {
			b, err := in.ReadByte()
			if err != nil {
				return
			}
			head.WriteByte(b)
		}
		d, length := &diffLine{Decision: "public"}, 0
		d.Method, d.Path, _ = strings.Cut(head.String(), " ")
		d.Path, _, _ = strings.Cut(d.Path, " ")
		for line := range strings.SplitSeq(head.String(), "\n") {
			name, value, _ := strings.Cut(line, ":")
			switch strings.ToLower(name) {
			case "host":
				if d.Host == "" {
					d.Host = strings.TrimSpace(value)
				}
			case "content-length":
				length, _ = strconv.Atoi(strings.TrimSpace(value))
			}
		}
		d.Route = p.up.name + "-" + diffZone(d.Path)
		body := make([]byte, max(0, min(length, 1<<16)))
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		if diffZone(d.Path) == "admin" {
			_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		p.mu.Lock()
		id := fmt.Sprintf("stand-in-%s-%d", p.up.name, len(p.lines))
		p.lines[id] = d
		p.mu.Unlock()
		_ = c.SetDeadline(time.Now().Add(diffAnswer))
		_ = up.SetDeadline(time.Now().Add(diffAnswer))
		first, rest, _ := strings.Cut(head.String(), "\n")
		if _, err := io.WriteString(up, first+"\nX-Request-Id: "+id+"\r\n"+rest+string(body)); err != nil {
			return
		}
		res, err := http.ReadResponse(out, &http.Request{Method: d.Method})
		if err != nil {
			return
		}
		if err := res.Write(c); err != nil {
			return
		}
	}
}
