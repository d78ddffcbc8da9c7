package session_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestLatest: whoever looks sees those that were used last, and how many there are, with
// the same order as a list of all.
func TestLatest(t *testing.T) {
	run(t, func(b *bed) {
		for i := range 25 {
			b.signInWith(jar{}, fmt.Sprint("user", i%5))
			if i%3 == 0 { // several at one time
				time.Sleep(time.Minute)
			}
		}
		all, err := b.m.List(t.Context(), "")
		if err != nil || len(all) != 25 {
			t.Fatalf("list: got %d sessions, %v", len(all), err)
		}
		for _, n := range []int{0, 1, 7, 25, 100} {
			newest, total, err := b.m.Latest(t.Context(), "", n)
			if err != nil || total != 25 || len(newest) != min(n, 25) {
				t.Fatalf("the latest %d: got %d of %d, %v", n, len(newest), total, err)
			}
			for i := range newest {
				if newest[i].Name != all[i].Name {
					t.Errorf("the latest %d: got %s at %d, want %s", n, newest[i].Name, i, all[i].Name)
				}
			}
		}
		mine, total, err := b.m.Latest(t.Context(), "user3", 2)
		if err != nil || total != 5 || len(mine) != 2 || mine[0].User != "user3" || mine[0].Seen.Before(mine[1].Seen) {
			t.Errorf("of one user: got %v of %d, %v", mine, total, err)
		}
	})
}

// TestDue: renewals are told for the sessions that are in use here, at the time at which a
// request would cause them; what has ended is not among them.
func TestDue(t *testing.T) {
	run(t, func(b *bed) {
		j, gone := b.signIn(), b.signIn()
		b.mustServe(j)
		b.mustServe(gone)
		want := func(when string, inUse int, due string) {
			t.Helper()
			if n, d := b.m.Due(5*time.Minute, 4); n != inUse || fmt.Sprint(d) != due {
				t.Errorf("%s: got %d in use, due %v, want %d, %s", when, n, d, inUse, due)
			}
		}
		want("at the beginning", 2, "[0 2 0 0]") // tokens of 10 minutes, of which 2 are left then
		if _, err := b.m.End(http.Header{}, gone.request("POST")); err != nil {
			t.Fatal(err)
		}
		want("after signing out", 1, "[0 1 0 0]")
		time.Sleep(6 * time.Minute)
		want("six minutes later", 1, "[1 0 0 0]")
		time.Sleep(20 * time.Minute)
		b.m.Tidy()
		want("once nobody has used it for long", 0, "[0 0 0 0]")
	})
}
