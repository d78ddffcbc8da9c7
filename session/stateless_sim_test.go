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

// browser is one jar whose requests run side by side, arrive late, wait for slow
// upstreams, and whose responses overtake each other or are lost.
type browser struct {
	*cookieBed
	mu  sync.Mutex // guards jar
	jar jar
}

func (w *browser) request(arrives, upstream, returns time.Duration, lost bool) {
	w.mu.Lock()
	brought := w.jar.clone()
	w.mu.Unlock()
	time.Sleep(arrives)
	login, err := w.s.Authenticate(brought.request("GET"))
	if err != nil {
		w.Errorf("after %v on the way: got %v, want served", arrives, err)
		return
	}
	if _, err := login.Session.Token(w.Context(), auth.Wanted{}); err != nil {
		w.Errorf("token: got %v, want one", err)
	}
	time.Sleep(upstream)
	h := http.Header{}
	login.Session.Deliver(w.Context(), h)
	if lost {
		return
	}
	time.Sleep(returns)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jar.take(h)
}

// upTo is a time below most.
func upTo(random *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(most)))
}

// burst is a few requests of a browser at once, of which some are under way for up to late before
// they arrive, and then another mood of the provider, who takes less than slow for an answer.
func (b *cookieBed) burst(wg *sync.WaitGroup, random *rand.Rand, late, slow time.Duration, request func(arrives, upstream, returns time.Duration, lost bool)) {
	up := func(most time.Duration) time.Duration { return upTo(random, most) }
	for range 1 + random.IntN(6) {
		arrives, upstream := up(2*time.Second), up(5*time.Second)
		if random.IntN(10) == 0 {
			arrives = up(late)
		}
		if random.IntN(10) == 0 {
			upstream = up(30 * time.Minute)
		}
		returns, lost := up(30*time.Second), random.IntN(4) == 0
		wg.Go(func() { request(arrives, upstream, returns, lost) })
	}
	if random.IntN(3) == 0 {
		b.provider.answerWith(noise(100 + int(up(6000))))
	}
	b.provider.set(func(m *method) { m.slow = up(slow) })
}

// TestStatelessHonestBrowserIsNeverSignedOut plays six hours of a browser at random:
// every request is served, and no spent token is sent (strict looks at that).
func TestStatelessHonestBrowserIsNeverSignedOut(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			runCookie(t, func(b *cookieBed) {
				random := rand.New(rand.NewPCG(seed, 1))
				up := func(most time.Duration) time.Duration { return upTo(random, most) }
				w := &browser{cookieBed: b, jar: jar{}}
				b.begin(w.jar, large("alice", int(up(5000))))
				var wg sync.WaitGroup
				for start := time.Now(); time.Since(start) < 6*time.Hour; {
					b.burst(&wg, random, 9*time.Minute, 10*time.Second, w.request)
					pause := up(4 * time.Minute)
					if random.IntN(15) == 0 {
						pause = up(90 * time.Minute)
					}
					time.Sleep(pause)
				}
				wg.Wait()
			})
		})
	}
}
