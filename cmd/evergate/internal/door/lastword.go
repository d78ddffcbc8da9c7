package door

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// lastWord keeps what the authority last refused, for autocert drops what goes
// wrong in a renewal. It also ends requests with life: autocert gives them a
// context of its own.
type lastWord struct {
	next http.RoundTripper
	life context.Context

	mu   sync.Mutex // guards word
	word string
}

// maxProblem bounds what is read of a refusal.
const maxProblem = 64 << 10

// RoundTrip implements http.RoundTripper.
func (l *lastWord) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	stop := context.AfterFunc(l.life, cancel)
	res, err := l.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		stop()
		cancel()
		l.set("%v", err)
		return nil, err
	}
	res.Body = &lentBody{res.Body, func() { stop(); cancel() }}
	if res.StatusCode < 400 {
		hasten(res.Header)
		return res, nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxProblem))
	res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	if !bytes.Contains(body, []byte("badNonce")) { // which is asked again at once
		l.set("%d %s", res.StatusCode, body)
	}
	return res, nil
}

func (l *lastWord) set(format string, args ...any) {
	word := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.word = day(time.Now()) + " " + word[:min(len(word), 500)]
}

func (l *lastWord) get() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.word
}

// lentBody ends the request's context with the body.
type lentBody struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer.
func (b *lentBody) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
