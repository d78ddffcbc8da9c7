package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The ends that a request can come to, as its person sees them.
const (
	served    = "200"
	later     = "503 with Retry-After"
	signedOut = "signed out" // a redirect to a sign-in page, 401 or 403
	broken    = "no answer"  // the connection broke, or HAProxy says 502 or 503
)

// ending is what one request came to.
type ending struct {
	kind  string
	body  string
	at    time.Time // when it was there
	took  time.Duration
	cause string
}

// ask sends one GET as a script of the app's page would. A 307 to the same address
// is followed, as browsers do.
func (p *person) ask(address string) ending {
	c := *p.c
	c.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.String() != address {
			return http.ErrUseLastResponse
		}
		return nil
	}
	began := time.Now()
	res, err := c.Get(address)
	if err != nil {
		return ending{kind: broken, at: time.Now(), took: time.Since(began), cause: err.Error()}
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	a := ending{body: string(body), at: time.Now(), took: time.Since(began), cause: res.Status}
	switch {
	case err != nil:
		a.kind, a.cause = broken, err.Error()
	case res.StatusCode == http.StatusOK:
		a.kind = served
	case res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "":
		a.kind = later
	case res.StatusCode == http.StatusBadGateway, res.StatusCode == http.StatusServiceUnavailable:
		a.kind = broken
	case res.StatusCode/100 == 3, res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		a.kind = signedOut
		a.cause += " " + res.Header.Get("Location")
	default:
		a.kind = fmt.Sprint(res.StatusCode)
	}
	return a
}

// tally collects answers.
type tally struct {
	mu     sync.Mutex // guards the rest
	kinds  map[string]int
	took   []time.Duration
	lastNo time.Time         // when the last answer came that was not 200
	causes map[string]string // by kind, the latest
}

func newTally() *tally { return &tally{kinds: map[string]int{}, causes: map[string]string{}} }

func (c *tally) add(a ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds[a.kind]++
	c.took = append(c.took, a.took)
	if a.kind != served {
		c.causes[a.kind] = a.cause
		c.lastNo = a.at
	}
}

// of returns how many answers were of a kind.
func (c *tally) of(kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kinds[kind]
}

// total returns how many answers there were.
func (c *tally) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.took)
}

// others returns how many answers were of none of the kinds.
func (c *tally) others(kinds ...string) int {
	n := c.total()
	for _, k := range kinds {
		n -= c.of(k)
	}
	return n
}

// quantile returns how long a part of the answers took at most.
func (c *tally) quantile(part float64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(c.took))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)].Round(time.Millisecond)
}

func (c *tally) String() string {
	c.mu.Lock()
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		part := fmt.Sprintf("%d × %s", c.kinds[kind], kind)
		if cause := c.causes[kind]; cause != "" && kind != later {
			part += " (" + cause + ")"
		}
		parts = append(parts, part)
	}
	c.mu.Unlock()
	return fmt.Sprintf("%s; p50 %v, p99 %v, slowest %v", strings.Join(parts, ", "), c.quantile(.5), c.quantile(.99), c.quantile(1))
}

// burst sends n requests at the same moment.
func (p *person) burst(address string, n int) (*tally, []ending) {
	c, all := newTally(), make([]ending, n)
	ready := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-ready
			all[i] = p.ask(address)
			c.add(all[i])
		})
	}
	close(ready)
	wg.Wait()
	return c, all
}

// crowd is people who use the app, each with several requests in flight.
type crowd struct {
	people map[string]*person
	counts map[string]*tally // of each
	stop   chan struct{}     // nil while nobody uses it
	wg     sync.WaitGroup
}

// newCrowd signs n people in and has each keep so many requests in flight.
func (f *fleet) newCrowd(n, each int) *crowd {
	f.t.Helper()
	c := &crowd{people: map[string]*person{}, counts: map[string]*tally{}}
	for i := range n {
		name := fmt.Sprintf("user%d", i+1)
		c.people[name], c.counts[name] = f.signIn(name), newTally()
	}
	f.t.Cleanup(c.leave)
	c.goOn(f, each)
	return c
}

// goOn begins the use, or begins it again after leave.
func (c *crowd) goOn(f *fleet, each int) {
	stop := make(chan struct{})
	c.stop = stop
	for name, p := range c.people {
		count := c.counts[name]
		for range each {
			c.wg.Go(func() { c.use(p, f.url+"/"+name, count, stop) })
		}
	}
}

func (c *crowd) use(p *person, address string, count *tally, stop <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		count.add(p.ask(address))
	}
}

// leave ends the use.
func (c *crowd) leave() {
	if c.stop != nil {
		close(c.stop)
		c.stop = nil
	}
	c.wg.Wait()
}

// all is what everybody's requests came to.
func (c *crowd) all() *tally {
	sum := newTally()
	for _, t := range c.counts {
		t.mu.Lock()
		for kind, n := range t.kinds {
			sum.kinds[kind] += n
		}
		maps.Copy(sum.causes, t.causes)
		sum.took = append(sum.took, t.took...)
		if t.lastNo.After(sum.lastNo) {
			sum.lastNo = t.lastNo
		}
		t.mu.Unlock()
	}
	return sum
}
