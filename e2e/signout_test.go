package e2e

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSignOutIsKnownToAllReplicas: a sign-out through one gateway closes the streams
// through another within a second, and a third serves nobody from memory.
func TestSignOutIsKnownToAllReplicas(t *testing.T) {
	f := newFleet(t, 60)
	const tries = 50
	var streams, requests time.Duration // the slowest
	for range tries {
		who := f.signIn("alice")
		first, second, third := f.through(who, 0), f.through(who, 1), f.through(who, 2)
		closed := first.stream(f.url + "/stream")
		for range 2 { // the second time from memory
			if a := third.ask(f.url + "/"); a.kind != served {
				t.Fatalf("before the sign-out: %s %s", a.kind, a.cause)
			}
		}
		if at := second.signOut(f.url); at.status != http.StatusSeeOther {
			t.Fatalf("sign-out: got %d %s, want a way to the provider's", at.status, at.body)
		}
		out := time.Now()
		for {
			asked := time.Since(out)
			a := third.ask(f.url + "/")
			if a.kind == signedOut {
				break
			}
			if a.kind != served || asked > time.Second {
				t.Fatalf("%v after the sign-out: %s %s, want to be signed out", asked, a.kind, a.cause)
			}
			requests = max(requests, asked)
		}
		select {
		case at := <-closed:
			streams = max(streams, at.Sub(out))
		case <-time.After(3 * time.Second):
			t.Fatal("3 s after the sign-out the stream is still open")
		}
	}
	t.Logf("of %d sign-outs: another gateway closed the stream after %v at the latest; the last request that a third one served was sent %v after it",
		tries, streams, requests)
	if streams > time.Second {
		t.Errorf("a stream was closed after %v, want a second at the latest", streams)
	}
	if requests > 100*time.Millisecond {
		t.Errorf("a request was served %v after the sign-out, want 100 ms at the latest", requests)
	}
}

// signOut ends the session, up to the way to the provider's own sign-out.
func (p *person) signOut(gateway string) page {
	p.t.Helper()
	return p.submit(p.get(gateway+"/.evergate/logout"), nil)
}

// stream opens an event stream, and tells when it has ended.
func (p *person) stream(address string) <-chan time.Time {
	p.t.Helper()
	res, err := p.c.Get(address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { res.Body.Close() })
	r := bufio.NewReader(res.Body)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "data:") {
		p.t.Fatalf("the stream began with %q, %v", line, err)
	}
	closed := make(chan time.Time, 1)
	go func() {
		_, _ = io.Copy(io.Discard, r)
		closed <- time.Now()
	}()
	return closed
}
