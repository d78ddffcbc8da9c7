package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRedisHangs: Redis answers nobody for ten seconds, longer than a token lives.
func TestRedisHangs(t *testing.T) {
	t.Parallel()
	pressing.take(t)
	f := newFleet(t, 6)
	f.survives(func() {
		f.redis.CLI("client", "pause", "10000", "all")
		time.Sleep(10 * time.Second)
	})
}

// TestRedisIsKilled: Redis is killed and comes back with its append-only file.
func TestRedisIsKilled(t *testing.T) {
	t.Parallel()
	pressing.take(t)
	f := newFleet(t, 6)
	f.survives(func() {
		f.redis.Kill()
		time.Sleep(8 * time.Second)
		ready := newPerson(t).get(f.replicas[0].admin + "/readyz")
		if ready.status != http.StatusServiceUnavailable || !strings.Contains(ready.body, "redis: ") {
			t.Errorf("without Redis /readyz says %d %s, want what is wrong", ready.status, ready.body)
		}
		f.redis.Run()
	})
}

// TestRedisLosesItsLastSecond: the machine of Redis loses power, and with it what
// was written to the append-only file since it was last synced.
func TestRedisLosesItsLastSecond(t *testing.T) {
	t.Parallel()
	pressing.take(t)
	f := newFleet(t, 6)
	bob := f.signIn("bob")
	cookies := bob.c.Jar.Cookies(f.address())
	f.survives(func() {
		file := f.appendOnlyFile()
		synced, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if at := f.through(bob, 0).signOut(f.url); at.status != http.StatusSeeOther {
			t.Fatalf("sign-out: got %d %s", at.status, at.body)
		}
		f.signOuts++
		stored := len(f.logged("session.renewed"))
		lost := 0
		for end := time.Now().Add(10 * time.Second); lost == 0 && time.Now().Before(end); {
			time.Sleep(100 * time.Millisecond)
			lost = len(f.logged("session.renewed")) - stored
		}
		f.redis.Kill()
		now, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, synced.Size()); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes and %d grants are lost", now.Size()-synced.Size(), lost)
		f.redis.Run()
	})
	if len(f.logged("session.restored")) == 0 {
		t.Error("nothing had to be put back: this test sees less than it should")
	}
	bob.c.Jar.SetCookies(f.address(), cookies)
	for range 2 * gateways {
		if a := bob.ask(f.url + "/"); a.kind != signedOut {
			t.Errorf("who signed out in that second: got %s %s, want to be signed out", a.kind, a.cause)
		}
	}
}

// TestRedisLosesEverything: Redis comes back empty, and the gateways do not.
func TestRedisLosesEverything(t *testing.T) {
	t.Parallel()
	pressing.take(t)
	f := newFleet(t, 6)
	f.survives(func() {
		file := f.appendOnlyFile()
		f.redis.Kill()
		if err := os.RemoveAll(filepath.Dir(file)); err != nil {
			t.Fatal(err)
		}
		f.redis.Run()
	})
	if n := len(f.logged("session.restored")); n < 5 {
		t.Errorf("got %d sessions put back, want 5", n)
	}
}

// appendOnlyFile is the one that Redis is writing to.
func (f *fleet) appendOnlyFile() string {
	f.t.Helper()
	dir := strings.Fields(f.redis.CLI("config", "get", "dir"))[1]
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		f.t.Fatalf("got append-only files %v, %v, want one", files, err)
	}
	return files[0]
}

// survives has people use the app before, during and after an outage: they get 200
// or 503 with Retry-After, and then go on with the sessions they had.
func (f *fleet) survives(outage func()) {
	f.t.Helper()
	t := f.t
	c := f.newCrowd(5, 20)
	time.Sleep(8 * time.Second) // everybody has renewed once
	before := c.all()
	if n := before.others(served); n != 0 {
		t.Fatalf("before the outage: %v", before)
	}
	outage()
	took := f.settle(c, nil, 40*time.Second)
	during := c.all()
	for name := range c.people { // one more life of a token, and all is as before
		c.counts[name] = newTally()
	}
	c.goOn(f, 20)
	time.Sleep(8 * time.Second)
	c.leave()
	after, s := c.all(), f.provider.stats(t)
	t.Logf("%d requests: %v; everybody was served %v after it; then %v; the provider counted %+v; put back %d times", during.total(), during, took, after,
		s, len(f.logged("session.restored")))
	if n := during.others(served, later); n != 0 {
		t.Errorf("%d requests came to something else than 200 and 503 with Retry-After: %v", n, during)
	}
	if n := after.others(served); n != 0 {
		t.Errorf("afterwards %d requests were not served: %v", n, after)
	}
	f.nobodySignedOut(c, nil)
	if s.Revoked != f.signOuts || len(s.Errors) != 0 {
		t.Errorf("the provider counted %+v, want no grant refused and %d revoked by who signed out", s, f.signOuts)
	}
}
