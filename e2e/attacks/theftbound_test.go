package attacks

import (
	"testing"
	"time"
)

// theftBound is the drill of a session that is bound to the owner's device.
var theftBound = attack{"TD-7", "critical", "the whole cookie jar of a browser whose session is bound to its device, the bound cookie with it: while that is good, then beside the owner, and then while the owner is away",
	"the thief is the owner for `session.bound_for`, and nobody afterwards, whatever key they bring; the owner goes on and is asked for nothing, and `session.device_mismatch` is told at the first try. Tried again and again without the owner proving the key, the session ends for both",
	func(t *testing.T, l *lab) {
		owner := l.bound("alice")
		thief := owner.stolen()
		served, began := 0, time.Now()
		good := began // when the last one was sent that was served
		for sent := began; thief.get("/").StatusCode == 200; sent = time.Now() {
			good = sent
			served++
			if time.Since(began) > 2*boundLife {
				t.Fatal("the copy is served on and on")
			}
			time.Sleep(250 * time.Millisecond)
		}
		took := good.Sub(owner.held)
		t.Logf("the copy was served %d times, until %v after the proof", served, took.Round(100*time.Millisecond))
		if took > boundLife+boundGrace+2*time.Second {
			t.Errorf("the copy was good for %v, want bound_for and rotation_grace at most", took)
		}
		first := time.Now()
		l.hears("session.device_mismatch")
		for what, proof := range map[string]string{"the thief's key": thief.proof(thief.next), "brought along": thief.registration(thief.asked())} {
			if r := thief.refresh(proof); r.StatusCode != 403 || len(r.Cookies()) != 0 {
				t.Errorf("%s: got %d %.200q", what, r.StatusCode, r.body)
			}
		}
		thief.refuses("a key of the thief's own", thief.register(thief.registration(thief.asked())), 403)

		for range 3 { // beside the owner
			owner.prove()
			owner.get("/").status(t, 200)
			served++
			l.denied(thief.get("/"))
		}
		thief.get("/lax/x").status(t, 200) // where the operator has it so
		served++
		last := time.Now() // of the tries, and a proof came before it

		for tries := 1; owner.alive(); tries++ { // while the owner is away
			if tries > 8 {
				t.Fatalf("it was tried %d times without the proof, and the session lives", tries)
			}
			time.Sleep(time.Until(last.Add(boundLife + 100*time.Millisecond)))
			l.denied(thief.get("/"))
			last = time.Now()
		}
		t.Logf("%v after the first try the session is over", time.Since(first).Round(time.Second))
		if e := l.hears("session.revoked"); e["reason"] != "device" {
			t.Errorf("the audit log has %v, want that it ended since its device did not prove itself", e)
		}
		for _, g := range l.saw(traces{app: served, sessions: -1, any: true}) {
			if user := g.Header.Get("X-Forwarded-User"); user != "alice" {
				t.Errorf("the app was asked by %q", user)
			}
		}
		boundContinues(owner, owner.refresh(""), false)
		l.denied(owner.get("/"))
		l.denied(thief.get("/"))
		again := l.bound("alice")
		again.get("/").status(t, 200)
		l.denied(thief.get("/"))
		l.saw(traces{app: 1})
	}}

// alive reports whether the store has a session still that was there as the case began.
func (b *browser) alive() bool {
	b.l.t.Helper()
	return len(b.l.sessions()) >= len(b.l.before.sessions)
}
