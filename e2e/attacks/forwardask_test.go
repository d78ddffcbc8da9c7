package attacks

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evergate/evergate/proxy"
)

// forwardAsk is a question of the lab's proxy on the wire, about a request of somebody's.
func (l *lab) forwardAsk(method, uri string, lines ...string) string {
	return l.forwardAskFor(l.host, method, uri, lines...)
}

func (l *lab) forwardAskFor(host, method, uri string, lines ...string) string {
	told := []string{"X-Forwarded-Method: " + method, "X-Forwarded-Proto: https", "X-Forwarded-Host: " + host, "X-Forwarded-Uri: " + uri}
	if l.dialect == "nginx" {
		told = []string{"X-Original-Method: " + method, "X-Original-URL: https://" + host + uri}
	}
	told = append(append(told, "X-Forwarded-For: 192.0.2.7"), lines...)
	return "GET /.evergate/auth HTTP/1.1\r\nHost: evergate\r\n" + strings.Join(told, "\r\n") + "\r\n\r\n"
}

// forwardTold sends so many questions on one connection, and returns the answers to them, and what
// else comes at once.
func (l *lab) forwardTold(questions string, n int) (all []*reply) {
	l.t.Helper()
	return l.forwardToldFrom("127.0.0.1", questions, n)
}

func (l *lab) forwardToldFrom(ip, questions string, n int) (all []*reply) {
	l.t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}).Dial("tcp", l.forward)
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, questions); err != nil {
		l.t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for {
		if len(all) >= n {
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		}
		if _, err := in.Peek(1); err != nil {
			return all
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			l.t.Fatalf("what is no answer, to %.300q: %v", questions, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			l.t.Fatalf("the answer to %.300q breaks off: %v", questions, err)
		}
		all = append(all, &reply{res, string(body)})
	}
}

// forwardAnswered asks one question, and fails the case unless the answer has one of the statuses.
// No answer but a yes tells of anybody.
func (l *lab) forwardAnswered(question string, statuses ...int) *reply {
	l.t.Helper()
	all := l.forwardTold(question, 1)
	if len(all) != 1 {
		l.t.Fatalf("got %d answers, want 1, to %.500q", len(all), question)
	}
	r := all[0]
	if !slices.Contains(statuses, r.StatusCode) {
		l.t.Errorf("got %d %.200q, want %v, to %.300q", r.StatusCode, r.body, statuses, question)
	}
	for _, name := range proxy.IdentityHeaders[:5] {
		if got := r.Header[name]; r.StatusCode >= 300 && got != nil || r.StatusCode < 300 && len(got) != 1 {
			l.t.Errorf("%d comes with %s: %q, for %.500q", r.StatusCode, name, got, question)
		}
	}
	if got := r.Header["Cache-Control"]; len(got) != 1 || !strings.Contains(got[0], "no-store") || !strings.Contains(strings.Join(r.Header["Vary"], ","), "Cookie") {
		l.t.Errorf("%d comes with Cache-Control: %q, Vary: %q", r.StatusCode, got, r.Header["Vary"])
	}
	return r
}
