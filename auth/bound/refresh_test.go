package bound_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/auth/bound"
)

// answerTo answers a request that is made already.
func (d *device) answerTo(r *http.Request) answer {
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r)
	return answer{w.Result(), w.Body.String()}
}

// serves reports whether an app would be reached: the session is there, with its proof.
func (d *device) serves() bool {
	_, err := d.h.sessions.Authenticate(d.request("GET", "/"))
	return err == nil
}

// TestRefresh: in the round trips of a browser that keeps a challenge, and of one that does not.
func TestRefresh(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		next := d.bind()
		time.Sleep(2 * time.Minute) // the next challenge is good still
		a := d.refresh(d.proof(next))
		a.proves(t, d.id)
		time.Sleep(10 * time.Minute) // and this one is over
		d.refresh(d.proof(a.next(t).challenge)).asks(t, d.id)
		for range 20 {
			time.Sleep(boundFor + handleFor)
			if d.serves() {
				t.Fatal("it is served without the proof")
			}
			d.refresh(d.proof(d.asked())).proves(t, d.id)
			if !d.serves() {
				t.Fatal("it is not served with the proof")
			}
		}
		early := d.refresh(d.proof(d.asked())) // DB-11: before its time
		early.proves(t, d.id)
	})
}

// TestSpellings is DB-09: strings as the draft has them, and bare as Chromium sends them.
func TestSpellings(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		path, challenge := d.offer()
		a := d.send("POST", path, "Secure-Session-Response", `"`+d.registration(challenge)+`"`)
		d.id = a.next(t).id
		for _, quote := range []string{"", `"`} {
			for _, quoteID := range []string{"", `"`} {
				id := []string{"Sec-Secure-Session-Id", quoteID + d.id + quoteID}
				ask := d.send("POST", bound.RefreshPath, id...)
				ask.asks(t, d.id)
				d.send("POST", bound.RefreshPath, append(id, "Secure-Session-Response", quote+d.proof(ask.next(t).challenge)+quote)...).proves(t, d.id)
			}
		}
	})
}

// TestChallengesAreUsedOnce: but for the proof that is sent again since its answer was lost.
func TestChallengesAreUsedOnce(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		d.bind()
		challenge := d.asked()
		proof := d.proof(challenge)
		d.refresh(proof).proves(t, d.id)
		time.Sleep(9 * time.Second)
		d.refresh(proof).proves(t, d.id)
		d.refresh(d.proof(challenge)).asks(t, d.id) // signed anew, it is another proof
		d.refresh(`"`+proof+`"`).proves(t, d.id)
		d.sendOnce("POST", bound.RegisterPath, "Secure-Session-Response", d.registration(challenge)).refuses(t, 403)
		time.Sleep(time.Second)
		d.refresh(proof).asks(t, d.id)
	})
}

// TestSeveralChallenges: each that was given is good, in any order, for requests cross on their way.
func TestSeveralChallenges(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		given := []string{d.bind(), d.asked(), d.asked(), d.asked()}
		for _, i := range []int{2, 0, 3, 1} {
			d.refresh(d.proof(given[i])).proves(t, d.id)
		}
	})
}

// TestRefreshRefused: no cookie comes of it, and the browser is asked once more, for all it takes
// for its own mistake.
func TestRefreshRefused(t *testing.T) {
	run(t, func(h *house) {
		d, other := h.signIn(), h.signIn()
		d.bind()
		theirs := other.bind()
		thief := d.copy()
		for name, proof := range map[string]string{
			"of another key (DB-02)":               thief.proof(d.asked()),
			"of another key, brought along":        thief.registration(d.asked()),
			"of another session's challenge":       d.proof(theirs),
			"of another session altogether":        other.proof(theirs),
			"of no challenge":                      d.proof("x"),
			"of no shape":                          "x",
			"that is long":                         string(make([]byte, 5000)),
			"over the bound cookie":                d.proof(d.cookies[boundSID]),
			"over the session's cookie, of course": d.proof(d.cookies[sid]),
		} {
			d.refresh(proof).asks(named{t, name}, d.id)
		}
		// DB-03: the proof is as it should be, and the binding that it is said to be for is another.
		crossed, mine := d.proof(d.asked()), d.asked()
		other.refresh(other.proof(mine)).asks(t, other.id) // which does not use it up
		d.refresh(d.proof(mine)).proves(t, d.id)
		d.sendOnce("POST", bound.RefreshPath, "Sec-Secure-Session-Id", other.id, "Secure-Session-Response", crossed).ends(t)
		other.sendOnce("POST", bound.RefreshPath, "Sec-Secure-Session-Id", d.id, "Secure-Session-Response", crossed).ends(t)
		other.sendOnce("POST", bound.RefreshPath, "Sec-Secure-Session-Id", other.id, "Secure-Session-Response", crossed).asks(t, other.id)
		for _, id := range [][]string{{}, {"Sec-Secure-Session-Id", ""}, {"Sec-Secure-Session-Id", d.id, "Sec-Secure-Session-Id", d.id}} {
			d.sendOnce("POST", bound.RefreshPath, append(id, "Secure-Session-Response", crossed)...).refuses(t, 403)
		}
		d.refresh(crossed).proves(t, d.id) // and it was not used up by any of that
	})
}

// TestRefreshOfNobody is DB-13: signed out, or in anew, a browser is told to forget its key.
func TestRefreshOfNobody(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		proof := d.proof(d.bind())
		late := d.copy()
		if _, err := h.sessions.End(http.Header{}, d.request("POST", "/.evergate/logout")); err != nil {
			t.Fatal(err)
		}
		d.refresh("").ends(t)
		late.refresh(proof).ends(t)
		(&device{h: h, id: d.id}).refresh(proof).ends(t)
		d.signIn()
		d.refresh(proof).ends(t)
		old := d.id
		if d.bind(); d.id == old {
			t.Errorf("the binding of another session is called %q too", old)
		}
		d.refresh(d.proof(d.asked())).proves(t, d.id)
	})
}

// TestOutages: while it cannot be told, it is 503. At anything else a browser gives its binding up.
func TestOutages(t *testing.T) {
	run(t, func(h *house) {
		d, fresh := h.signIn(), h.signIn()
		d.bind()
		path, challenge := fresh.offer()
		proof, registration := d.proof(d.asked()), fresh.registration(challenge)
		h.store.away.Store(true)
		for range 2 {
			for _, a := range []answer{d.refresh(""), d.refresh(proof), fresh.send("POST", path, "Secure-Session-Response", registration)} {
				a.refuses(t, 503)
				if a.Header.Get("Retry-After") == "" {
					t.Error("503 does not say when to come again")
				}
			}
		}
		h.store.away.Store(false)
		d.refresh(proof).proves(t, d.id)
		if a := fresh.send("POST", path, "Secure-Session-Response", registration); a.StatusCode != 200 {
			t.Errorf("to register after the outage: got %d %s", a.StatusCode, a.body)
		}
	})
}

// TestRefreshStorm is DB-12: however many come at once, none is answered so that a browser
// would give its binding up.
func TestRefreshStorm(t *testing.T) {
	run(t, func(h *house) {
		d := h.signIn()
		proof := d.proof(d.bind())
		for _, fails := range []bool{false, true} {
			var proven, asked, away atomic.Int64
			var all sync.WaitGroup
			for i := range 500 {
				mine := ""
				if i%2 == 0 {
					mine = proof
				}
				all.Go(func() {
					if i == 250 {
						h.store.away.Store(fails)
					}
					switch a := d.copyOf().refresh(mine); {
					case a.StatusCode == 200 && len(a.Cookies()) == 1:
						proven.Add(1)
					case a.StatusCode == 403:
						a.asks(t, d.id)
						asked.Add(1)
					case a.StatusCode == 503 && fails:
						a.refuses(t, 503)
						away.Add(1)
					default:
						t.Errorf("got %d %.200s", a.StatusCode, a.body)
					}
				})
			}
			all.Wait()
			t.Logf("%d proven, %d asked, %d told to come again", proven.Load(), asked.Load(), away.Load())
			h.store.away.Store(false)
			proof = d.proof(d.asked())
		}
		d.refresh(proof).proves(t, d.id)
		if !d.serves() {
			t.Error("afterwards it is not served")
		}
	})
}

// copyOf is the same browser, in another of its tasks.
func (d *device) copyOf() *device {
	same := *d
	same.cookies = map[string]string{sid: d.cookies[sid], boundSID: d.cookies[boundSID]}
	return &same
}
