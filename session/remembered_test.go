package session_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

// TestRememberedIsTold: the page of a further sign-in asks whether they wanted to be kept
// signed in, of both kinds of sessions.
func TestRememberedIsTold(t *testing.T) {
	for _, remember := range []bool{true, false} {
		run(t, func(b *bed) {
			j, h := jar{}, http.Header{}
			login := &auth.Login{AccessToken: token("token-0"), AuthTime: time.Now(), Identity: auth.Identity{Provider: "local", Subject: "alice", User: "alice"}}
			if err := b.m.Begin(h, j.request("POST"), login, remember); err != nil {
				b.Fatal(err)
			}
			j.take(h)
			if got := b.mustServe(j).Session.Times().Remembered; got != remember {
				b.Errorf("in a store: got %t, want %t", got, remember)
			}
		})
		runCookie(t, func(b *cookieBed) {
			j, h := jar{}, http.Header{}
			if err := b.s.Begin(h, j.request("POST"), idpLogin("alice"), remember); err != nil {
				b.Fatal(err)
			}
			j.take(h)
			login, _, err := b.get(j)
			if err != nil || login.Session.Times().Remembered != remember {
				b.Errorf("in the cookie: got %v, %v, want %t", login, err, remember)
			}
		})
	}
}
