package attacks

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// reply is an answer as the client got it.
type reply struct {
	*http.Response
	body string
}

// patience is how long an answer may take. Nothing here waits that long where all is well.
const patience = 15 * time.Second

// dial opens a connection to the gateway, as one of its hosts, that speaks HTTP/1.1.
func (l *lab) dial(name string) *tls.Conn {
	l.t.Helper()
	c, err := tls.Dial("tcp", l.address, l.tlsConfig(name, "http/1.1"))
	if err != nil {
		l.t.Fatalf("connect to the gateway: %v", err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	l.t.Cleanup(func() { c.Close() })
	return c
}

// send writes bytes to the gateway on a connection of its own, and reads what comes until the
// gateway closes or has said nothing more for a moment. Closed says which of the two it was.
// The answers are read as those to GET.
func (l *lab) send(bytes string) (all []*reply, closed bool) {
	l.t.Helper()
	return l.sendFor(250*time.Millisecond, bytes)
}

// sendFor is send for a moment of another length: a long one costs nothing where the gateway
// is to close, and does not take a busy machine for a connection that is kept.
func (l *lab) sendFor(moment time.Duration, bytes string) (all []*reply, closed bool) {
	l.t.Helper()
	c := l.dial(gatewayHost)
	defer c.Close()
	if _, err := io.WriteString(c, bytes); err != nil && !isReset(err) {
		l.t.Fatalf("send: %v", err)
	}
	in := bufio.NewReader(c)
	for {
		if len(all) > 0 {
			_ = c.SetReadDeadline(time.Now().Add(moment))
		}
		if _, err := in.Peek(1); err != nil {
			return all, !isTimeout(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			l.t.Fatalf("the gateway answers what is no answer: %v", err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			l.t.Fatalf("the gateway's answer breaks off: %v", err)
		}
		all = append(all, &reply{res, string(body)})
	}
}

// one is send for what gets a single answer.
func (l *lab) one(bytes string) *reply {
	l.t.Helper()
	all, _ := l.send(bytes)
	if len(all) != 1 {
		l.t.Fatalf("got %d answers, want 1, to %.300q", len(all), bytes)
	}
	return all[0]
}

// request is a request on the wire for gw.test, which ends its connection. Lines are more of its
// header, each without its end.
func (l *lab) request(method, target string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", method, target, l.host)
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

// get sends GET and returns the answer.
func (l *lab) get(target string, lines ...string) *reply {
	l.t.Helper()
	return l.one(l.request("GET", target, lines...))
}

// post sends a form.
func (l *lab) post(target, form string, lines ...string) *reply {
	l.t.Helper()
	lines = append(lines, "Content-Type: application/x-www-form-urlencoded", fmt.Sprintf("Content-Length: %d", len(form)))
	return l.one(l.request("POST", target, lines...) + form)
}

func isTimeout(err error) bool {
	var e interface{ Timeout() bool }
	return errors.As(err, &e) && e.Timeout()
}

func isReset(err error) bool {
	return strings.Contains(err.Error(), "reset by peer") || strings.Contains(err.Error(), "broken pipe")
}

// status fails the case unless the answer has one of the statuses.
func (r *reply) status(t *testing.T, want ...int) {
	t.Helper()
	for _, w := range want {
		if r.StatusCode == w {
			return
		}
	}
	t.Errorf("got %d %.200q, want %v", r.StatusCode, r.body, want)
}

// denied fails the case unless the answer turns away somebody who is not signed in: a navigation
// to the sign-in page of this host, anything else with 401.
func (l *lab) denied(r *reply) {
	l.t.Helper()
	r.status(l.t, http.StatusSeeOther, http.StatusFound, http.StatusUnauthorized)
	if to := r.Header.Get("Location"); to != "" && !strings.HasPrefix(to, "/.evergate/") && !strings.HasPrefix(to, "https://"+l.host+"/.evergate/") {
		l.t.Errorf("it is sent to %q, want the gateway's own sign-in", to)
	}
}
