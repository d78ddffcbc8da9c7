package session_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/evergate/evergate/auth"
)

// handOver gets the browser's session to an app's own host, by way of the public one.
func (b *simBrowser) handOver() {
	w := b.w
	const verifier = "v"
	challenge := sha256.Sum256([]byte(verifier))
	for range 12 {
		cookie, probe, crashes := b.from.jar()
		if cookie == "" {
			return
		}
		time.Sleep(w.random(60 * time.Millisecond))
		r := w.pick()
		login, err := r.m.Authenticate(simRequest(context.Background(), b.from.host, http.MethodGet, cookie, probe))
		if !b.from.goesOn(r, err, crashes) {
			if w.isRevoked() {
				return
			}
			continue
		}
		header := http.Header{}
		login.Session.Deliver(context.Background(), header)
		code, err := r.m.Send(context.Background(), login, b.host, challenge[:])
		b.from.apply((&http.Response{Header: header}).Cookies(), crashes)
		if !b.from.goesOn(r, err, crashes) {
			continue
		}
		time.Sleep(w.random(100 * time.Millisecond))
		_, _, crashes = b.jar()
		r, header = w.pick(), http.Header{}
		mine, _, _ := b.jar()
		_, err = r.m.Receive(header, simRequest(context.Background(), b.host, http.MethodGet, mine, ""), code, verifier)
		if errors.As(err, new(*auth.Refused)) && w.plan.loses {
			continue // the store has lost the code
		}
		if !b.goesOn(r, err, crashes) {
			if w.isRevoked() {
				return
			}
			continue
		}
		if w.plan.losesCookies && w.chance(4) {
			w.note("%s: the cookie of a hand-over is lost", b.who)
			return
		}
		delay := w.random(60 * time.Millisecond)
		if w.plan.losesCookies && w.chance(4) {
			delay = w.random(20 * time.Second)
		}
		time.Sleep(delay)
		b.apply((&http.Response{Header: header}).Cookies(), crashes)
		w.note("%s has the session handed over", b.who)
		return
	}
}

// goesOn reports whether an answer is a good one. It waits, or takes the probe along, or
// notes the end of the session, where it is not.
func (b *simBrowser) goesOn(r *simReplica, err error, crashes int) bool {
	var detour *auth.Detour
	switch {
	case r.method.wire(0): // its replica died, and the connection with it
		time.Sleep(b.w.random(time.Second))
	case errors.As(err, &detour):
		b.apply(detour.Cookies, crashes)
	case errors.As(err, new(*auth.Unavailable)):
		time.Sleep(time.Second + b.w.random(4*time.Second))
	case err != nil:
		b.w.signedOut(b.who, err)
	default:
		return true
	}
	return false
}
