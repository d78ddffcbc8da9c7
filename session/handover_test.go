package session_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/session"
)

const wiki = "wiki.test"

// at is a request of the browser to a host.
func (j jar) at(host string) *http.Request {
	r := j.request("GET")
	r.Host = host
	return r
}

// send gets a code for the session of j, for whoever has verifier on host.
func (b *bed) send(j jar, host, verifier string) string {
	b.Helper()
	sum := sha256.Sum256([]byte(verifier))
	code, err := b.m.Send(context.Background(), b.mustServe(j), host, sum[:])
	if err != nil {
		b.Fatalf("send: %v", err)
	}
	return code
}

// receive redeems a code with what the browser has for host, and keeps what it gets.
func (b *bed) receive(there jar, host, code, verifier string) error {
	h := http.Header{}
	_, err := b.m.Receive(h, there.at(host), code, verifier)
	there.take(h)
	return err
}

func (b *bed) mustRefuse(err error, reason string) {
	b.Helper()
	var refused *auth.Refused
	if !errors.As(err, &refused) || !strings.Contains(refused.Reason, reason) {
		b.Errorf("got %v, want a refusal: %s", err, reason)
	}
}

// serves reports whether the browser's cookie opens the session on host.
func (b *bed) serves(there jar, host string) error {
	_, err := b.m.Authenticate(there.at(host))
	return err
}

func TestHandOverOpensOneSessionOnAnotherHost(t *testing.T) {
	run(t, func(b *bed) {
		j, there := b.signIn(), jar{}
		code := b.send(j, wiki, "v")
		if err := b.receive(there, wiki, code, "v"); err != nil {
			b.Fatalf("receive: %v", err)
		}
		login, err := b.m.Authenticate(there.at(wiki))
		if err != nil || login.Identity.User != "alice" || login.Session.ID() != b.mustServe(j).Session.ID() {
			b.Errorf("got %v, %v, want alice's one session", login, err)
		}
		if err := b.serves(there, "gw.test"); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("the cookie of one host on another: got %v, want nobody", err)
		}
		if _, err := b.m.End(http.Header{}, there.at(wiki)); err != nil {
			b.Fatal(err)
		}
		b.mustBeAbsent(j, auth.Ended)
	})
}

func TestHandOverCodeIsForOneBrowserAndHostOnce(t *testing.T) {
	run(t, func(b *bed) {
		j, there := b.signIn(), jar{}
		for _, wrong := range [][2]string{{wiki, "another"}, {wiki, ""}, {"shop.test", "v"}} {
			code := b.send(j, wiki, "v")
			b.mustRefuse(b.receive(there, wrong[0], code, wrong[1]), "another browser or another host")
			b.mustRefuse(b.receive(there, wiki, code, "v"), "used") // and that was its one use
		}
		code := b.send(j, wiki, "v")
		b.mustRefuse(b.receive(there, wiki, "", "v"), "did not make")
		b.mustRefuse(b.receive(there, wiki, code+"A", "v"), "did not make")
		b.mustRefuse(b.receive(there, wiki, base64.RawURLEncoding.EncodeToString(make([]byte, 32)), "v"), "over, or none")
		if len(there) != 0 {
			b.Errorf("a refused code gave %v", there)
		}
		var mu sync.Mutex
		var wg sync.WaitGroup
		served := 0
		for range 100 {
			wg.Go(func() {
				mine := jar{}
				if err := b.receive(mine, wiki, code, "v"); err == nil {
					mu.Lock()
					served++
					mu.Unlock()
				} else if !errors.As(err, new(*auth.Refused)) {
					b.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		if served != 1 {
			b.Errorf("100 at once: the code served %d times, want once", served)
		}
		b.mustRefuse(b.receive(there, wiki, code, "v"), "used")
		b.mustServe(j)
	})
}

func TestHandOverCodeEnds(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		code, late := b.send(j, wiki, "v"), b.send(j, wiki, "v")
		time.Sleep(29 * time.Second)
		if err := b.receive(jar{}, wiki, code, "v"); err != nil {
			b.Errorf("after 29 s: %v", err)
		}
		time.Sleep(2 * time.Second)
		b.mustRefuse(b.receive(jar{}, wiki, late, "v"), "over")

		code = b.send(j, wiki, "v")
		if _, err := b.m.End(http.Header{}, j.request("POST")); err != nil {
			b.Fatal(err)
		}
		var absent *auth.Absent
		if err := b.receive(jar{}, wiki, code, "v"); !errors.As(err, &absent) {
			b.Errorf("after the sign-out: got %v, want nobody signed in", err)
		}
	})
}

// TestHandOverAgain: a browser that lost its cookie, or has two tabs that both get one,
// goes on with any of them, and none is taken for theft.
func TestHandOverAgain(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		jars := []jar{{}, {}, {}}
		for _, there := range jars {
			if err := b.receive(there, wiki, b.send(j, wiki, "v"), "v"); err != nil {
				b.Fatal(err)
			}
		}
		for i, there := range jars {
			if err := b.serves(there, wiki); err != nil {
				b.Errorf("cookie %d: %v", i, err)
			}
		}
		// The last one is in the jar. It settles, and the others are spent.
		for range 20 {
			time.Sleep(grace)
			b.mustServe(j)
			if err := b.serves(jars[2], wiki); errors.Is(err, auth.ErrAnonymous) {
				b.Fatal(err)
			}
		}
		var detour *auth.Detour
		if err := b.serves(jars[0], wiki); !errors.As(err, &detour) {
			b.Errorf("a spent one: got %v, want it probed", err)
		}
	})
}

// TestHandOverReplacesAPlantedSession: what an attacker's browser left on the host is
// worth nothing once its owner is signed in there.
func TestHandOverReplacesAPlantedSession(t *testing.T) {
	run(t, func(b *bed) {
		mallory, alice, there := jar{}, b.signIn(), jar{}
		b.signInWith(mallory, "mallory")
		if err := b.receive(there, wiki, b.send(mallory, wiki, "m"), "m"); err != nil {
			b.Fatal(err)
		}
		planted := there.clone()
		if err := b.receive(there, wiki, b.send(alice, wiki, "v"), "v"); err != nil {
			b.Fatal(err)
		}
		if login, err := b.m.Authenticate(there.at(wiki)); err != nil || login.Identity.User != "alice" {
			b.Errorf("got %v, %v, want alice", login, err)
		}
		if err := b.serves(planted, wiki); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("the planted session: got %v, want it ended", err)
		}
	})
}

func TestHandOverWhileTheStoreIsAway(t *testing.T) {
	run(t, func(b *bed) {
		j, there := b.signIn(), jar{}
		code := b.send(j, wiki, "v")
		login := b.mustServe(j)
		b.store.write.Store(true)
		var away *auth.Unavailable
		sum := sha256.Sum256([]byte("v"))
		if _, err := b.m.Send(context.Background(), login, wiki, sum[:]); !errors.As(err, &away) {
			b.Errorf("send: got %v, want unavailable", err)
		}
		if err := b.receive(there, wiki, code, "v"); !errors.As(err, &away) || len(there) != 0 {
			b.Errorf("receive: got %v and %v, want unavailable", err, there)
		}
		b.store.write.Store(false)
		b.store.epoch.Add(1) // it was out of reach, and nobody writes for two seconds
		began := time.Now()
		if err := b.receive(there, wiki, code, "v"); err != nil {
			b.Errorf("once it is back: %v", err)
		}
		if waited := time.Since(began); waited != 2*time.Second {
			b.Errorf("it waited %v, want two seconds of calm", waited)
		}
	})
}

// TestHandOverLeavesNothingToSteal: a dump of the store opens no code, even with the key
// ring, and what is left of a used one is empty.
func TestHandOverLeavesNothingToSteal(t *testing.T) {
	run(t, func(b *bed) {
		j := b.signIn()
		seen := b.record()
		code := b.send(j, wiki, "v")
		raw, _ := base64.RawURLEncoding.DecodeString(code)
		if err := b.receive(jar{}, wiki, code, "v"); err != nil {
			b.Fatal(err)
		}
		put := seen.all()
		if len(put) < 3 {
			b.Fatalf("got %d writes, want the code, its use and the family", len(put))
		}
		for _, rec := range put {
			if bytes.Contains(rec.Data, []byte(wiki)) || bytes.Contains(rec.Data, raw) {
				b.Errorf("a record shows what it holds: %q", rec.Data)
			}
		}
		if used := put[1]; used.Version != 2 || len(used.Data) != 0 {
			b.Errorf("what is left of a used code: version %d, %d bytes", used.Version, len(used.Data))
		}
	})
}

// putRecorder keeps what is written to a store.
type putRecorder struct {
	session.Store
	mu  sync.Mutex // guards put
	put []session.Record
}

// record restarts the Manager over a store that keeps what is written to it.
func (b *bed) record() *putRecorder {
	b.Helper()
	if err := b.m.Close(); err != nil {
		b.Fatal(err)
	}
	p := &putRecorder{Store: b.store.Store}
	b.store.Store = p
	b.start()
	return p
}

func (p *putRecorder) Put(ctx context.Context, k session.Key, prev uint64, r session.Record) error {
	p.mu.Lock()
	p.put = append(p.put, r)
	p.mu.Unlock()
	return p.Store.Put(ctx, k, prev, r)
}

func (p *putRecorder) all() []session.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.put
}

// TestHostsAreBounded: somebody who visits a thousand names under a wildcard does not
// make their record grow for ever, and every host goes on.
func TestHostsAreBounded(t *testing.T) {
	run(t, func(b *bed) {
		j, first := b.signIn(), jar{}
		seen := b.record()
		for i := range 300 {
			there := jar{}
			if i == 0 {
				there = first
			}
			host := fmt.Sprintf("h%d.test", i)
			if err := b.receive(there, host, b.send(j, host, "v"), "v"); err != nil {
				b.Fatal(err)
			}
			if err := b.serves(there, host); err != nil {
				b.Errorf("%s: %v", host, err)
			}
			time.Sleep(time.Second)
		}
		put := seen.all()
		if n := len(put[len(put)-1].Data); n > 32<<10 {
			b.Errorf("the record has %d bytes", n)
		}
		// The first of them has to be handed the session again, and is.
		if err := b.serves(first, "h0.test"); !errors.Is(err, auth.ErrAnonymous) {
			b.Errorf("the first host: got %v, want nobody", err)
		}
		b.visit(j, first, "h0.test")
		if err := b.serves(first, "h0.test"); err != nil {
			b.Errorf("the first host, handed the session again: %v", err)
		}
		b.mustServe(j)
	})
}

// TestHostsAreConfirmed: after a while a host has to be handed the session again. Who
// opens a page is sent for it early, and keeps the cookie that they have.
func TestHostsAreConfirmed(t *testing.T) {
	run(t, func(b *bed) {
		j, there := b.signIn(), jar{}
		b.visit(j, there, wiki)
		unconfirmed := func() bool {
			b.Helper()
			login, err := b.m.Authenticate(there.at(wiki))
			if err != nil {
				b.Fatal(err)
			}
			return login.Session.Unconfirmed()
		}
		use := func(d time.Duration) { // both hosts
			for range d / (10 * time.Minute) {
				time.Sleep(10 * time.Minute)
				b.mustServe(j)
				h := http.Header{}
				if login, err := b.m.Authenticate(there.at(wiki)); err == nil {
					login.Session.Deliver(b.Context(), h)
				}
				there.take(h)
			}
		}
		if use(50 * time.Minute); unconfirmed() {
			b.Error("after 50 minutes it is to be confirmed")
		}
		if use(20 * time.Minute); !unconfirmed() {
			b.Error("after 70 minutes it is not to be confirmed")
		}
		before := there[`__Host-Http-evergate`]
		if b.visit(j, there, wiki); unconfirmed() || there[`__Host-Http-evergate`] != before {
			b.Error("handed over again: it is still to be confirmed, or has another cookie")
		}
		use(12 * time.Hour)
		var absent *auth.Absent
		if _, err := b.m.Authenticate(there.at(wiki)); !errors.As(err, &absent) || absent.Reason != auth.Unconfirmed || absent.Clear != nil {
			b.Errorf("twelve hours later: got %v, want it to have to be confirmed, and the cookie kept", err)
		}
		if b.visit(j, there, wiki); unconfirmed() {
			b.Error("handed over at last: it is still to be confirmed")
		}
		if b.mustServe(j).Session.Unconfirmed() {
			b.Error("the host of the sign-in is to be confirmed")
		}
	})
}
