package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/evergate/evergate/session"
)

// simPlan is what may happen in a history.
type simPlan struct {
	hours         int
	replicas      int
	skew          bool // the replicas' clocks are up to 60 s apart
	late          bool // requests arrive up to 10 minutes after their cookies were attached
	slowApps      bool // apps answer after minutes
	losesCookies  bool // answers lose or delay their Set-Cookie
	hangUps       bool // browsers go away while they wait
	crashes       bool // browsers come back with a jar up to 30 s old
	busy          bool // somebody comes every moment
	idle          bool // nobody comes for up to two hours
	kills         bool // replicas are killed at any step
	outages       bool // the store is away for up to 12 s
	loses         bool // and loses the last seconds when it comes back
	afterGrant    bool // just after a grant
	slowProvider  bool // it takes up to 15 s, and what follows a grant up to 25 s more
	providerFails bool
	thief         bool
	signOut       bool
	hosts         bool // an app on a host of its own is used beside
	front         bool // a front proxy gives the answers, and asks before
	forwardAuth   bool // never in Evergate: the cookie of then goes out with the answer of later
}

// planOf draws a plan. Each trouble is there in one history of two or three.
func planOf(rng *rand.Rand) simPlan {
	one := func(n int) bool { return rng.IntN(n) == 0 }
	p := simPlan{
		hours: 1, replicas: 1 + rng.IntN(3), skew: one(2), late: one(3), slowApps: one(3), losesCookies: one(2), hangUps: one(2),
		crashes: one(2), idle: one(4), kills: one(3), outages: one(3), slowProvider: one(3), providerFails: one(3), signOut: one(4),
	}
	switch {
	case one(4):
		// Both are active, all the time; what else may happen does.
		p.thief, p.idle, p.signOut, p.outages, p.kills = true, false, false, false, false
	case p.outages && !p.kills && one(2):
		p.loses, p.afterGrant = true, one(2)
	}
	p.hosts = one(3)
	if p.late && p.crashes && os.Getenv("EVERGATE_LATE_CRASHES") == "" {
		// The one class that is left: see the package's doc.
		p.crashes = false
	}
	return p
}

// simulate runs one history and returns what went wrong, and the account of it.
func simulate(t *testing.T, seed uint64, change func(*simPlan)) (faults, notes []string, w *simWorld) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 42))
		w = &simWorld{plan: planOf(rng), rng: rng, db: newSimDB(), ring: simRing, start: time.Now(), outages: make(chan struct{}, 1)}
		if change != nil {
			change(&w.plan)
		} else {
			w.plan.front = seed%4 == 3
		}
		for range w.plan.replicas {
			r := w.newReplica()
			w.replicas = append(w.replicas, r)
		}
		time.Sleep(time.Minute) // whoever starts waits a little before the first renewal
		w.run()
		w.wg.Wait()
		time.Sleep(2 * time.Minute) // what goes on beside ends by itself
		for _, r := range w.each() {
			_ = r.m.Close()
		}
	})
	return w.faults, w.notes, w
}

// simRing seals the cookies of all histories: making keys is slow.
var simRing = func() *session.Ring {
	r, err := session.NewRing(session.NewKey(time.Now()))
	if err != nil {
		panic(err)
	}
	return r
}()

func (w *simWorld) run() {
	b := &simBrowser{w: w, who: "the owner", host: "apps.example.com"}
	header := http.Header{}
	r := w.pick()
	if err := r.m.Begin(header, simRequest(context.Background(), b.host, http.MethodPost, "", ""), simLogin(0, time.Now().Add(r.skew)), false); err != nil {
		w.fault("sign-in: %v", err)
		return
	}
	b.apply((&http.Response{Header: header}).Cookies(), 0)
	end := w.start.Add(time.Duration(w.plan.hours) * time.Hour)
	var troubles sync.WaitGroup
	if w.plan.kills {
		troubles.Go(func() {
			for time.Sleep(w.random(10 * time.Minute)); time.Now().Before(end); time.Sleep(w.random(20 * time.Minute)) {
				w.kill()
			}
		})
	}
	if w.plan.loses && w.chance(3) {
		// The sign-in itself is lost.
		troubles.Go(func() {
			time.Sleep(w.random(2 * time.Second))
			w.outage(12*time.Second, 2*time.Second)
		})
	}
	if w.plan.outages {
		troubles.Go(func() {
			for time.Sleep(w.random(10 * time.Minute)); time.Now().Before(end); time.Sleep(w.random(20 * time.Minute)) {
				lose := time.Duration(0)
				if w.plan.afterGrant {
					w.awaitGrant(end)
				}
				if w.plan.loses && w.chance(2) {
					lose = w.random(5 * time.Second)
				}
				w.outage(12*time.Second, lose)
			}
		})
	}
	robbed, app := b, &simBrowser{w: w, who: "the owner at an app", host: "wiki.example.com", from: b}
	if w.plan.hosts && w.chance(2) {
		robbed = app
	}
	if w.plan.thief {
		w.wg.Go(func() { w.steal(robbed, end) })
	}
	if w.plan.signOut {
		end = w.start.Add(10*time.Minute + w.random(50*time.Minute))
	}
	if w.plan.hosts {
		w.wg.Go(func() {
			time.Sleep(w.random(5 * time.Minute))
			app.use(end)
		})
	}
	b.use(end)
	if w.plan.signOut {
		w.signOut(b)
	}
	troubles.Wait()
}

// awaitGrant waits until the provider has given one, and a moment longer.
func (w *simWorld) awaitGrant(end time.Time) {
	grants := func() int {
		w.op.mu.Lock()
		defer w.op.mu.Unlock()
		return w.op.grants
	}
	for before := grants(); grants() == before && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
	}
	time.Sleep(w.random(2 * time.Second))
}

// theftTime is how long a thief and an owner who are both active may stay unseen.
const theftTime = 3 * max(simLife*4/5, 2*simGrace)

// steal copies the jar at some moment and uses the copy, as the owner uses theirs.
func (w *simWorld) steal(b *simBrowser, end time.Time) {
	time.Sleep(w.random(30 * time.Minute))
	thief := &simBrowser{w: w, who: "the thief", host: b.host}
	for thief.cookie == "" && time.Now().Before(end) && !w.isRevoked() {
		time.Sleep(time.Second)
		thief.cookie, thief.probe, _ = b.jar() // an app's host may not have been visited yet
	}
	cookie, unseen := thief.cookie, theftTime
	if w.plan.hosts && b.from == nil && w.chance(2) {
		// They take it to a host that its owner never opens, and leave the copy alone.
		thief = &simBrowser{w: w, who: "the thief elsewhere", host: "unused.example.com", from: thief}
		cookie, unseen = "", theftTime+simConfirmBy
	}
	w.mu.Lock()
	w.theft = time.Now()
	w.mu.Unlock()
	// Some thieves take what they are handed, as browsers do; others keep what they have.
	stubborn := w.chance(2) && thief.from == nil
	w.note("the cookie is stolen, stubborn: %v", stubborn)
	seen := time.Now().Add(unseen)
	for time.Now().Before(end) && !w.isRevoked() && !thief.isOut() {
		w.wg.Go(func() {
			thief.send(simSend{method: http.MethodGet, page: w.plan.front && w.chance(2)})
			if stubborn {
				thief.restore(cookie)
			}
		})
		// Behind a front proxy who opens no page gets no cookie: active is who does.
		w.wg.Go(func() { b.send(simSend{method: http.MethodGet, page: w.plan.front && w.chance(2)}) })
		if time.Now().After(seen) && !w.isExcused() {
			w.fault("thief and owner have both been active for %v, and the session lives", unseen)
			return
		}
		time.Sleep(w.random(40 * time.Second))
	}
}

// signOut ends the session, and has late requests try.
func (w *simWorld) signOut(b *simBrowser) {
	cookie, probe, _ := b.jar()
	w.excuse("the owner signs out")
	for range 20 {
		if w.isRevoked() {
			return
		}
		r := w.pick()
		_, err := r.m.End(http.Header{}, simRequest(context.Background(), b.host, http.MethodPost, cookie, probe))
		if err == nil && !r.method.wire(0) {
			break
		}
		time.Sleep(2 * time.Second)
	}
	w.note("signed out")
	time.Sleep(simLag)
	if w.plan.loses && !w.plan.kills {
		// Whoever ended it remembers what the store has lost.
		w.outage(12*time.Second, w.random(5*time.Second))
	}
	w.mu.Lock()
	w.revoked = time.Now()
	w.mu.Unlock()
	for range 10 {
		b.mu.Lock()
		b.cookie = cookie
		b.mu.Unlock()
		b.send(simSend{method: http.MethodGet, late: w.random(time.Minute)})
	}
}

// histories is how many random histories a test run is worth: the environment says
// how many where it is worth more.
func histories(fewer int) int {
	if n, err := strconv.Atoi(os.Getenv("EVERGATE_HISTORIES")); err == nil {
		return n
	}
	return fewer
}

// enough is how many histories must go wrong before the rest is not looked at.
func enough() int {
	n, _ := strconv.Atoi(os.Getenv("EVERGATE_ENOUGH"))
	return max(n, 1)
}

func firstSeed() uint64 {
	n, _ := strconv.ParseUint(os.Getenv("EVERGATE_SEED"), 10, 64)
	return n
}

// runHistories runs n histories and returns how many went wrong, or enough of them.
// The account of the first is logged.
//
// Histories with the same seed are the same: each worker is a process of its own with
// one thread, so that goroutines that wake at one moment always run in one order, and
// what would be random in the code is drawn from the seed too.
func runHistories(t *testing.T, n int, change string, enough int) (wrong int) {
	t.Helper()
	workers := min(runtime.NumCPU(), n)
	var sum simSum
	var account string
	var mu sync.Mutex // guards sum, account
	var wg sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context()) // where one has found enough, the others need not go on
	defer stop()
	for i := range workers {
		wg.Go(func() {
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSimulationWorker$", "-test.v=false", "-test.timeout=0")
			cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=800", fmt.Sprintf("EVERGATE_WORKER=%d/%d/%d/%d/%s", i, workers, n, enough, change))
			out, err := cmd.CombinedOutput()
			if ctx.Err() != nil && t.Context().Err() == nil {
				return
			}
			text, result, ok := strings.Cut(string(out), simResult)
			var mine simSum
			if !ok || json.Unmarshal([]byte(firstLine(result)), &mine) != nil {
				t.Errorf("worker %d: %v\n%s", i, err, out)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			sum.add(mine)
			if mine.Wrong > 0 && account == "" {
				account = text
			}
			if sum.Wrong >= enough {
				stop()
			}
		})
	}
	wg.Wait()
	if account != "" {
		t.Log(account)
	}
	t.Logf("%d histories, %d of them with a thief, %d with a sign-out, %d excused, %d grants: %d went wrong",
		sum.Histories, sum.Thefts, sum.SignOuts, sum.Excused, sum.Grants, sum.Wrong)
	return sum.Wrong
}

const simResult = "\nRESULT "

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// simSum is what came of many histories.
type simSum struct{ Histories, Thefts, SignOuts, Excused, Grants, Wrong int }

func (s *simSum) add(o simSum) {
	s.Histories += o.Histories
	s.Thefts += o.Thefts
	s.SignOuts += o.SignOuts
	s.Excused += o.Excused
	s.Grants += o.Grants
	s.Wrong += o.Wrong
}

// simChanges are plans for what a mutant breaks.
var simChanges = map[string]func(*simPlan){
	"": nil,
	"lossy": func(p *simPlan) {
		*p = simPlan{hours: 1, replicas: 3, outages: true, loses: true, afterGrant: true, busy: true}
	},
	"lossy and late": func(p *simPlan) {
		*p = simPlan{hours: 1, replicas: p.replicas, outages: true, loses: true, afterGrant: p.afterGrant, late: true, slowApps: true, losesCookies: true, hangUps: true}
	},
	"lossy sign-out": func(p *simPlan) {
		*p = simPlan{hours: 1, replicas: 3, outages: true, loses: true, idle: true, signOut: true}
	},
	"hosts": func(p *simPlan) {
		*p = simPlan{hours: 1, replicas: 3, hosts: true, losesCookies: true, crashes: true, thief: p.thief}
	},
	"front": func(p *simPlan) { p.front = true },
	// Never in Evergate: the cookie of then goes out with the answer of later.
	"forward-auth": func(p *simPlan) { p.forwardAuth, p.slowApps = true, true },
}

// TestSimulationWorker runs its share of histories for runHistories.
func TestSimulationWorker(t *testing.T) {
	job := strings.Split(os.Getenv("EVERGATE_WORKER"), "/")
	if len(job) != 5 {
		t.Skip("it works for TestSimulation")
	}
	number := func(i int) int {
		n, err := strconv.Atoi(job[i])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	me, workers, n, enough := number(0), number(1), number(2), number(3)
	var sum simSum
	for k := me; k < n && sum.Wrong < enough; k += workers {
		seed := firstSeed() + uint64(k)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, seed)
			faults, notes, w := simulate(t, seed, simChanges[job[4]])
			sum.add(w.sum(faults))
			if len(faults) > 0 && sum.Wrong == 1 {
				fmt.Printf("seed %d, %+v: %s\n%s\n", seed, w.plan, strings.Join(faults, "; "), strings.Join(notes, "\n"))
			}
		})
	}
	b, err := json.Marshal(sum)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("%s%s\n", simResult, b)
}

func (w *simWorld) sum(faults []string) (s simSum) {
	s = simSum{Histories: 1, Grants: w.op.grants}
	for n, yes := range map[*int]bool{&s.Thefts: w.plan.thief, &s.SignOuts: w.plan.signOut, &s.Excused: w.excused != "" && !w.plan.signOut, &s.Wrong: len(faults) > 0} {
		if yes {
			*n = 1
		}
	}
	return s
}

func TestSimulation(t *testing.T) {
	if wrong := runHistories(t, histories(300), os.Getenv("EVERGATE_PLAN"), enough()); wrong > 0 {
		t.Errorf("%d histories went wrong", wrong)
	}
}
