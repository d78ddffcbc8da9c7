package fetch

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// outcome is what became of a request.
type outcome struct {
	failed     bool // there was no answer
	broken     bool // its body broke off
	status     int
	header     http.Header
	body       string
	length     int64
	close      bool
	uncompress bool
	trailer    http.Header
}

func outcomeOf(res *http.Response, err error) outcome {
	if err != nil {
		return outcome{failed: true}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return outcome{broken: err != nil, status: res.StatusCode, header: res.Header, body: string(body), length: res.ContentLength, close: res.Close,
		uncompress: res.Uncompressed, trailer: res.Trailer}
}

// TestSameAsTransport: whatever a server answers, a Line makes of it what http.Transport does.
func TestSameAsTransport(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, answer := range []string{
		hello, ok + "\r\nto the end", ok + "Connection: close\r\n\r\nto the end", ok + "Content-Length: 0\r\n\r\n", ok + "Content-Length: 5\r\n\r\nhel",
		ok + "Content-Length: -1\r\n\r\n", ok + "Content-Length: 5, 5\r\n\r\nhello", ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", ok + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", ok + "Transfer-Encoding: gzip\r\n\r\nhello",
		ok + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", ok + "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", ok + "X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
		ok + "X\r\n\r\n", ok + "X Y: 1\r\n\r\n", ok + ": 1\r\n\r\n", ok + "X: \x00\r\nContent-Length: 0\r\n\r\n", ok + "X: ä\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
		"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.0 200 OK\r\n\r\nto the end", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/0.9 200 OK\r\n\r\n", "http/1.1 200 OK\r\n\r\n", "", "\r\n", "hello", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\n" + hello, "HTTP/1.1 100 Continue\r\n\r\n" + hello, "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" + hello, "HTTP/1.1 103 Early Hints\r\n\r\n",
		"HTTP/1.1 199 Early\r\n\r\n" + hello, ok + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 200) + "Content-Length: 0\r\n\r\n",
		ok + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 300) + "Content-Length: 0\r\n\r\n", "HTTP/1.1 407 Proxy\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n", ok + "Keep-Alive: timeout=5\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			_, line := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
				if readHead(in) {
					_, _ = io.WriteString(c, answer)
				}
			})
			res, _, err := line.Do(request(t, method), 5*time.Second)
			got := outcomeOf(res, err)
			transport := &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: 256 << 10, ResponseHeaderTimeout: 5 * time.Second,
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return line.Dial(ctx) }}
			want := outcomeOf(transport.RoundTrip(request(t, method)))
			transport.CloseIdleConnections()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, answered %.100q:\ngot  %+v\nwant %+v", method, answer, got, want)
			}
		}
	}
}
