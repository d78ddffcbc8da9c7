package e2e

import (
	"encoding/json"
	"testing"
	"time"
)

// TestThousandRequestsAtEachOfThirtyExpiries: three gateways, any of which gets any
// request, and one grant for each expiry.
func TestThousandRequestsAtEachOfThirtyExpiries(t *testing.T) {
	t.Parallel()
	long.take(t)
	const parallel = 1000
	expiries := 30
	if testing.Short() {
		expiries = 4
	}
	f := newFleet(t, 6)
	who := f.signIn("alice")
	next := expiry(t, who.get(f.url + "/").told(t)["authorization"])
	all := newTally()
	var longest time.Duration
	for round := range expiries {
		// Half of the bursts meet a token that is due, the others one that is over.
		time.Sleep(time.Until(next.Add(100*time.Millisecond + time.Duration(round%2)*1100*time.Millisecond)))
		began := time.Now()
		count, answers := who.burst(f.url+"/burst", parallel)
		longest = max(longest, time.Since(began))
		for _, a := range answers {
			all.add(a)
			var told map[string]string
			if a.kind == served && json.Unmarshal([]byte(a.body), &told) == nil && told["user"] == "alice" {
				if at := expiry(t, told["authorization"]); at.After(next) {
					next = at
				}
			} else if a.kind == served {
				t.Errorf("the app was told %.200s, want that it is alice", a.body)
			}
		}
		if n := count.of(served); n != parallel {
			t.Fatalf("expiry %d: %d of %d requests were served: %v", round+1, n, parallel, count)
		}
		if now := who.ask(f.url + "/"); now.kind == served { // a burst that met a due token may have been served by it
			var told map[string]string
			if err := json.Unmarshal([]byte(now.body), &told); err != nil {
				t.Fatal(err)
			}
			next = expiry(t, told["authorization"])
		}
		if s := f.provider.stats(t); s.Grants["refresh_token"] < round+1 || s.Revoked != 0 || len(s.Errors) != 0 {
			t.Fatalf("expiry %d: the provider counted %+v, want %d grants and none refused", round+1, s, round+1)
		}
		f.provider.onceForEachExpiry(t, 0, 4*time.Second)
	}
	s := f.provider.stats(t)
	t.Logf("%d requests at %d expiries: %v; the longest burst took %v; the provider counted %+v; rotations %d, probes %d",
		all.total(), expiries, all, longest, s, len(f.logged("session.rotated")), len(f.logged("session.reuse_suspected")))
	if s.MostRefreshing > 1 || len(f.logged("session.reuse_detected")) != 0 {
		t.Errorf("the provider counted %+v, %d sessions were taken for stolen; want one grant at a time and none", s, len(f.logged("session.reuse_detected")))
	}
	// A burst can come every six seconds and a handle rotates every ten at most.
	if n, want := len(f.logged("session.rotated")), max(1, expiries/5); n < want {
		t.Errorf("the handle rotated %d times, want %d at least", n, want)
	}
}
