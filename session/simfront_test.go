package session_test

import (
	"context"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
)

// isTurned reports whether the browser was sent round within the last minute. It knows by
// a cookie.
func (b *simBrowser) isTurned() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.turned)
}

// goRound fetches the cookie that is due, where a front proxy's answers carry none: the
// gateway answers by itself, so that nothing comes between the cookie and the header.
func (b *simBrowser) goRound() {
	w := b.w
	time.Sleep(w.random(60 * time.Millisecond))
	cookie, probe, crashes := b.jar()
	r := w.pick()
	login, err := r.m.Authenticate(simRequest(context.Background(), b.host, http.MethodGet, cookie, probe))
	header := http.Header{}
	if err == nil {
		login.Session.Deliver(auth.WithFetch(context.Background()), header)
	} else if detour, ok := err.(*auth.Detour); ok {
		b.apply(detour.Cookies, crashes)
		return
	}
	if !b.receive(header, crashes) {
		return
	}
	b.mu.Lock()
	b.turned = time.Now().Add(time.Minute)
	b.mu.Unlock()
	w.note("%s went round, for %d cookies", b.who, len(header))
}
