package session_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

// visit gets the session of j to a host, as a browser without a cookie for it does.
func (b *bed) visit(j, there jar, host string) {
	b.Helper()
	if err := b.receive(there, host, b.send(j, host, "v"), "v"); err != nil {
		b.Fatalf("%s: %v", host, err)
	}
}

// TestHostsAreBoundedWhereTheyAreSeenAgain: the cookies of hosts whose family was dropped
// come back, and the record stays as small.
func TestHostsAreBoundedWhereTheyAreSeenAgain(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		seen := b.record()
		jars := make([]jar, 300)
		for i := range jars {
			jars[i] = jar{}
			b.visit(j, jars[i], fmt.Sprintf("h%d.test", i))
		}
		for i, there := range jars {
			if err := b.serves(there, fmt.Sprintf("h%d.test", i)); err != nil && !errors.Is(err, auth.ErrAnonymous) {
				b.Errorf("h%d: %v", i, err)
			}
		}
		put := seen.all()
		if n := len(put[len(put)-1].Data); n > 32<<10 {
			b.Errorf("the record has %d bytes", n)
		}
		b.mustServe(j) // the host that hands over is never forgotten
	})
}

// TestSpentHandlesStaySpent: many hosts do not make the gateway forget that a handle was
// spent.
func TestSpentHandlesStaySpent(t *testing.T) {
	run(t, func(b *bed) {
		j, there := b.signIn(), jar{}
		b.visit(j, there, wiki)
		var stolen jar
		for range 40 { // the owner's own goes on, and the copy is spent
			if stolen == nil {
				stolen = there.clone()
			}
			time.Sleep(grace)
			b.mustServe(j)
			login, err := b.m.Authenticate(there.at(wiki))
			if detour := new(auth.Detour); errors.As(err, &detour) {
				continue
			}
			if err != nil {
				b.Fatal(err)
			}
			h := map[string][]string{}
			login.Session.Deliver(b.Context(), h)
			there.take(h)
		}
		if err := b.serves(stolen.clone(), wiki); !errors.As(err, new(*auth.Detour)) {
			b.Fatalf("the copy: got %v, want it probed", err)
		}
		time.Sleep(time.Second) // what comes now is later
		for i := range 150 {
			b.visit(j, jar{}, fmt.Sprintf("h%d.test", i))
		}
		if err := b.serves(stolen.clone(), wiki); err == nil {
			b.Error("after 150 further hosts the spent copy is served")
		}
	})
}

// TestSpentHandlesOfThePublicHostStaySpent: that host opens all others.
func TestSpentHandlesOfThePublicHostStaySpent(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		stolen := b.rotate(j)
		b.mustServe(j)
		time.Sleep(grace + time.Second)
		b.mustServe(j)
		for i := range 150 {
			b.visit(j, jar{}, fmt.Sprintf("h%d.test", i))
			if _, err := b.m.Authenticate(stolen.request("GET")); !errors.As(err, new(*auth.Detour)) {
				b.Fatalf("after %d further hosts: got %v, want it probed", i+1, err)
			}
			time.Sleep(time.Second)
		}
	})
}

// TestStolenCookieTakenToAnotherHost: whoever has a copy of the public host's cookie takes
// it to a host that its owner never opens. Both are active, and are to be told apart.
func TestStolenCookieTakenToAnotherHost(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		thief, there := j.clone(), jar{}
		b.visit(thief, there, "unused.test")
		served := 0
		for range 12 * 60 { // twelve hours
			time.Sleep(time.Minute)
			if _, err := b.get(j); err != nil {
				b.Logf("the owner, after the thief was served %d times: %v", served, err)
				return
			}
			login, err := b.m.Authenticate(there.at("unused.test"))
			if err != nil {
				b.Logf("the thief was served %d times, then %v", served, err)
				return
			}
			served++
			h := map[string][]string{}
			login.Session.Deliver(b.Context(), h)
			there.take(h)
		}
		b.Errorf("the thief was served %d times in twelve hours, beside the owner, and nothing shows", served)
	})
}
