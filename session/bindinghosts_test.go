package session_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

// TestCopyOfABoundSessionTakenToAnotherHost: while the proof in a copied jar is good, its thief
// can have the session handed to a host that the owner never opens, and bind it there to a key of
// their own. A browser makes a key for each host, so that one cannot be told from the owner's. It
// is the thief's until the host has to be confirmed where the owner signed in, and no longer.
func TestCopyOfABoundSessionTakenToAnotherHost(t *testing.T) {
	run(t, func(b *bed) {
		k := b.keys()
		owner := k.boundBed()
		thief, there := owner.clone(), jar{}
		if err := b.receive(there, wiki, b.send(thief, wiki, "v"), "v"); err != nil {
			t.Fatal(err)
		}
		challenge, err := b.m.Challenge(there.at(wiki))
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		if _, err := b.m.Bind(h, there.at(wiki), "thief", challenge); err != nil {
			t.Fatal(err)
		}
		there.take(h)
		began, served := time.Now(), 0
		for {
			time.Sleep(5 * time.Minute)
			k.prove(owner)
			b.mustServe(owner)
			if challenge, err := b.m.Challenge(there.at(wiki)); err == nil {
				h := http.Header{}
				if err := b.m.Prove(h, there.at(wiki), challenge); err != nil {
					t.Fatal(err)
				}
				there.take(h)
			}
			login, err := b.m.Authenticate(there.at(wiki))
			if err != nil {
				var absent *auth.Absent
				if !errors.As(err, &absent) || absent.Reason != auth.Unconfirmed {
					t.Errorf("got %v, want that it has to be confirmed", err)
				}
				break
			}
			h := http.Header{}
			login.Session.Deliver(b.Context(), h)
			there.take(h)
			if served++; time.Since(began) > 12*time.Hour {
				t.Fatalf("the thief was served %d times in twelve hours, beside the owner", served)
			}
		}
		t.Logf("the thief was served %d times, for %v", served, time.Since(began))
		// Where that is confirmed the thief has no proof.
		b.mustBeAbsent(thief, auth.OtherDevice)
		k.prove(owner)
		b.mustServe(owner)
	})
}

// TestCopyOfAnUnboundSessionTakenToAnotherHost: what was not bound in the minute after its sign-in is
// bound nowhere else either, to no key of whoever has a copy of it.
func TestCopyOfAnUnboundSessionTakenToAnotherHost(t *testing.T) {
	run(t, func(b *bed) {
		owner := b.signIn()
		mine := jar{}
		b.visit(owner, mine, "shop.test")
		if challenge, err := b.m.Offer(mine.at("shop.test")); err != nil || challenge == "" {
			t.Errorf("right after the sign-in: got %q, %v, want a challenge", challenge, err)
		}
		time.Sleep(2 * time.Minute)
		b.mustServe(owner)
		thief, there := owner.clone(), jar{}
		b.visit(thief, there, wiki)
		if challenge, err := b.m.Offer(there.at(wiki)); err != nil || challenge != "" {
			t.Errorf("offered: got %q, %v, want nothing", challenge, err)
		}
		challenge, err := b.m.Challenge(there.at(wiki))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.m.Bind(http.Header{}, there.at(wiki), "thief", challenge); err == nil {
			t.Errorf("bound: got %+v", got)
		}
		if err := b.serves(there, wiki); err != nil { // as before, where nobody asks for more
			t.Errorf("got %v", err)
		}
	})
}

// TestBindingsAreBounded: with its host goes what a session was bound to there.
func TestBindingsAreBounded(t *testing.T) {
	run(t, func(b *bed) {
		k := b.keys()
		owner := k.boundBed()
		seen := b.record()
		size := map[int]int{}
		for i := range 300 {
			there, host := jar{}, fmt.Sprintf("h%d.test", i)
			k.prove(owner)
			b.visit(owner, there, host)
			challenge, err := b.m.Challenge(there.at(host))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.m.Bind(http.Header{}, there.at(host), strings.Repeat("k", 800), challenge); err != nil {
				t.Fatal(err)
			}
			put := seen.all()
			size[i] = len(put[len(put)-1].Data)
			time.Sleep(time.Second)
		}
		if size[299] > size[150]+1000 {
			t.Errorf("the record has %d bytes after 150 hosts, and %d after 300", size[150], size[299])
		}
	})
}
