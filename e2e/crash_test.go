package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReplicasAreKilled: every five seconds one of three gateways is killed and
// started again, while people use the app.
func TestReplicasAreKilled(t *testing.T) {
	t.Parallel()
	pressing.take(t)
	f := newFleet(t, 6)
	c := f.newCrowd(5, 20)
	var kills []kill
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
		time.Sleep(4 * time.Second)
		i := len(kills) % gateways
		began := time.Now()
		f.kill(i)
		kills = append(kills, kill{began, time.Now()})
		time.Sleep(time.Second)
		f.replicas[i].serve()
	}
	unclear := f.midWire(kills)
	f.settle(c, unclear, 40*time.Second)
	s, all := f.provider.stats(t), c.all()
	t.Logf("%d kills, %d requests: %v; the provider counted %+v; grants that were on their way at a kill: %v", len(kills), all.total(), all, s, unclear)
	f.nobodySignedOut(c, unclear)
	if n := all.others(served, later, broken, signedOut); n != 0 {
		t.Errorf("%d requests came to something else: %v", n, all)
	}
	if n := all.of(broken); n > all.total()/100 {
		t.Errorf("%d of %d requests had no answer, want fewer than one in a hundred", n, all.total())
	}
	if len(unclear) == 0 && (s.Revoked != 0 || len(s.Errors) != 0) {
		t.Errorf("the provider counted %+v, want no grant refused", s)
	}
}

// kill is when a gateway was killed: at some time between the two.
type kill struct{ began, ended time.Time }

// midWire returns whose grants were on their way at one of the kills, and how many:
// the provider made these and no gateway has what came of them, so that it may take
// the next try for a theft.
func (f *fleet) midWire(kills []kill) (unclear map[string]int) {
	f.t.Helper()
	all := f.provider.renewals(f.t)
	var lost []renewal
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // the last may not be stored yet
		if unclear, lost = f.unstored(all, kills); len(lost) == 0 || time.Now().After(end) {
			break
		}
	}
	for _, r := range lost {
		f.t.Errorf("what came of the grant of %s at %v is lost, and nobody was killed then", r.User, time.UnixMilli(r.Began))
	}
	return unclear
}

// unstored returns whose grants of all no gateway has stored: how many by user that were on their
// way at a kill, and the others.
func (f *fleet) unstored(all []renewal, kills []kill) (unclear map[string]int, lost []renewal) {
	f.t.Helper()
	stored := map[string][]time.Time{}
	for _, line := range f.logged("session.renewed") {
		stored[line.Subject] = append(stored[line.Subject], line.Time)
	}
	unclear = map[string]int{}
	for _, r := range all {
		began, ended := time.UnixMilli(r.Began-1), time.UnixMilli(r.Ended+1)
		from := func(k kill) bool { return k.ended.After(began) && k.began.Before(ended.Add(time.Second)) }
		// A gateway that is busy writes later what it was given; the next renewal comes after five seconds.
		late := func(at time.Time) bool { return at.After(began) && at.Before(ended.Add(4*time.Second)) }
		switch {
		case r.Status != http.StatusOK || slices.ContainsFunc(stored[r.User], late):
		case slices.ContainsFunc(kills, from):
			unclear[r.User]++
		default:
			lost = append(lost, r)
		}
	}
	return unclear, lost
}

// settle waits until everybody, those who are unclear apart, gets 200 again and nobody
// has got anything else for a second, and ends their use. A gateway may notice only now
// that the store was away, and turn a few away while it connects again.
func (f *fleet) settle(c *crowd, unclear map[string]int, within time.Duration) (took time.Duration) {
	f.t.Helper()
	began := time.Now()
	well := map[string]time.Time{} // since when
	for {
		all := true
		for name, p := range c.people {
			if unclear[name] > 0 {
				continue
			}
			if a := p.ask(f.url + "/"); a.kind == served && strings.Contains(a.body, `"user":"`+name+`"`) {
				if _, ok := well[name]; !ok {
					well[name] = a.at
				}
				continue
			}
			delete(well, name)
			all = false
		}
		lastNo := c.all().lastNo
		if all && time.Since(began) > time.Second && (len(unclear) > 0 || time.Since(lastNo) > time.Second) {
			c.leave()
			took = max(took, lastNo.Sub(began))
			for _, at := range well {
				took = max(took, at.Sub(began))
			}
			return took
		}
		if time.Since(began) > within {
			f.t.Errorf("after %v not everybody is served again: %v", within, c.all())
			c.leave()
			return within
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// nobodySignedOut holds the gateways to it, those apart whose session's fate
// nobody can know.
func (f *fleet) nobodySignedOut(c *crowd, unclear map[string]int) {
	f.t.Helper()
	for name, count := range c.counts {
		if n := count.of(signedOut); n != 0 && unclear[name] == 0 {
			f.t.Errorf("%s was signed out: %v", name, count)
		}
	}
	if n := f.provider.stats(f.t).Grants["authorization_code"]; n != f.signIns {
		f.t.Errorf("the provider signed people in %d times, want %d", n, f.signIns)
	}
	if n := len(f.logged("session.reuse_detected")); n != 0 {
		f.t.Errorf("%d sessions were taken for stolen", n)
	}
}
