package session_test

import (
	"testing"
	"time"
)

// TestLoginIsShared between the requests that come with one handle, and with nobody else: what
// a Session delivers, and to whom, is that of the handle that it was made for.
func TestLoginIsShared(t *testing.T) {
	run(t, func(b *bed) {
		j, there := b.signIn(), jar{}
		if err := b.receive(there, wiki, b.send(j, wiki, "v"), "v"); err != nil {
			b.Fatal(err)
		}
		get := func(j jar, host string) any {
			b.Helper()
			login, err := b.m.Authenticate(j.at(host))
			if err != nil {
				b.Fatal(err)
			}
			return login.Session
		}
		home := get(j, "gw.test")
		if get(j, "gw.test") != home {
			b.Error("the same handle got another session, want the one of the request before")
		}
		away := get(there, wiki)
		if away == home {
			b.Error("another host got the session of the first")
		}
		if got := get(j, "gw.test"); got == away {
			b.Error("the first host got the session of the other")
		}
		before := b.mustServe(j)
		b.rotate(j)
		after := b.mustServe(j)
		if after.Session == before.Session {
			b.Error("a new handle got the session of the old one")
		}
		time.Sleep(life)
		if renewed := b.mustServe(j); renewed.AccessToken.Value == after.AccessToken.Value {
			b.Error("got the old token, want the renewed one")
		}
	})
}
