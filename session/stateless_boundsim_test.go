package session_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
)

// boundBrowser is a browser that holds a key: requests wait until it has proven that, where
// its bound cookie is over.
type boundBrowser struct {
	browser
	proving chan struct{} // of one: whoever proves, or looks at proven
	proven  time.Time     // zero where it has no key
}

func newBoundBrowser(b *cookieBed) *boundBrowser {
	return &boundBrowser{browser: browser{cookieBed: b, jar: jar{}}, proving: make(chan struct{}, 1)}
}

func (w *boundBrowser) request(arrives, upstream, returns time.Duration, lost bool) {
	w.proving <- struct{}{}
	if !w.proven.IsZero() && time.Since(w.proven) >= boundFor {
		w.mu.Lock()
		brought := w.jar.clone()
		w.mu.Unlock()
		delete(brought, boundName)
		sent, h := time.Now(), http.Header{}
		time.Sleep(arrives % time.Second)
		challenge, err := w.s.Challenge(brought.request("POST"))
		if err == nil {
			err = w.s.Prove(h, brought.request("POST"), challenge)
		}
		if err != nil {
			w.Errorf("prove: got %v, want it proven", err)
		}
		w.mu.Lock()
		w.jar.take(h)
		w.mu.Unlock()
		w.proven = sent
	}
	<-w.proving
	w.browser.request(arrives, upstream, returns, lost)
}

// bind makes a key amid whatever else goes on.
func (w *boundBrowser) bind(arrives, returns time.Duration) {
	w.mu.Lock()
	brought := w.jar.clone()
	w.mu.Unlock()
	h := http.Header{}
	challenge, err := w.s.Challenge(brought.request("POST"))
	time.Sleep(arrives)
	made := time.Now()
	if err == nil {
		_, err = w.s.Bind(h, brought.request("POST"), "key", challenge)
	}
	if err != nil {
		w.Errorf("bind: got %v, want it bound", err)
		return
	}
	time.Sleep(returns)
	w.mu.Lock()
	w.jar.take(h)
	w.mu.Unlock()
	w.proving <- struct{}{}
	w.proven = made
	<-w.proving
}

// TestStatelessHonestBrowserWithAKeyIsNeverSignedOut plays three hours of a browser that makes
// a key amid its requests, which may be as late as it takes to be served without it.
func TestStatelessHonestBrowserWithAKeyIsNeverSignedOut(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			runCookie(t, func(b *cookieBed) {
				random := rand.New(rand.NewPCG(seed, 2))
				up := func(most time.Duration) time.Duration { return upTo(random, most) }
				w := newBoundBrowser(b)
				b.begin(w.jar, large("alice", int(up(5000))))
				begun := time.Now()
				var wg sync.WaitGroup
				makes, arrives, returns := up(50*time.Second), up(2*time.Second), up(5*time.Second)
				wg.Go(func() {
					time.Sleep(makes)
					w.bind(arrives, returns)
				})
				for time.Since(begun) < 3*time.Hour {
					b.burst(&wg, random, 50*time.Second, 5*time.Second, w.request)
					if time.Since(begun) < time.Minute {
						time.Sleep(up(10 * time.Second))
					} else {
						time.Sleep(up(4 * time.Minute))
					}
				}
				wg.Wait()
				if got, err := b.s.Binding(w.jar.request("POST")); err != nil || got.Key != "key" {
					t.Errorf("got the key %q, %v, want that of the browser", got.Key, err)
				}
			})
		})
	}
}

// TestStatelessThiefFromBeforeTheBinding plays a gateway that starts again and again, and a
// thief with a copy from before the binding who comes first whenever there is a chance, and
// may have bound it to another key: nobody is served with it after the browser was, and the browser always is.
func TestStatelessThiefFromBeforeTheBinding(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			runCookie(t, func(b *cookieBed) {
				random := rand.New(rand.NewPCG(seed, 3))
				up := func(most time.Duration) time.Duration { return upTo(random, most) }
				b.provider.set(func(m *method) { m.rotates = false })
				w := newBoundBrowser(b)
				b.begin(w.jar, idpLogin("alice"))
				thief := w.jar.clone()
				w.bind(0, 0)
				served, unknown := 0, false // whether this process may not have heard of the binding
				if random.IntN(2) == 0 {
					time.Sleep(up(50 * time.Second))
					b.restart() // in time to bind it once more
					unknown = true
					b.keys().bind(thief, "stolen")
				}
				time.Sleep(grace)
				for range 60 {
					if random.IntN(3) == 0 {
						b.restart()
						unknown = true
					}
					for range random.IntN(3) {
						r := thief.request("GET")
						r.Header.Set("Secure-Session-Skipped", "unreachable") // which is not counted
						switch login, err := b.s.Authenticate(r); {
						case err == nil && !unknown:
							t.Error("the thief was served after the browser")
						case err == nil:
							served++
							h := http.Header{}
							login.Session.Deliver(b.Context(), h)
							thief.take(h)
							if challenge, err := b.s.Challenge(thief.request("POST")); err == nil && random.IntN(2) == 0 {
								h = http.Header{}
								if b.s.Prove(h, thief.request("POST"), challenge) == nil {
									thief.take(h)
								}
							}
						}
					}
					var wg sync.WaitGroup
					for range random.IntN(3) {
						unknown = false
						arrives, returns, lost := up(2*time.Second), up(30*time.Second), random.IntN(4) == 0
						wg.Go(func() { w.request(arrives, arrives, returns, lost) })
					}
					wg.Wait()
					time.Sleep(up(4 * time.Minute))
				}
				if served == 0 {
					t.Error("the thief never came first, so that nothing was shown")
				}
				if _, err := b.s.Authenticate(w.jar.request("GET").WithContext(auth.WithoutBinding(b.Context()))); err != nil {
					t.Errorf("in the end: got %v, want the browser signed in", err)
				}
			})
		})
	}
}
