package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/evergate/evergate/session/redis/redistest"
)

// faultTime is for how long each fault lasts.
const faultTime = 10 * time.Second

// faults are what can be wrong between a gateway and Redis.
var faults = []struct {
	name   string
	toxics []string
	cut    bool // connections are asked to end when it begins
}{
	{"answers take 100 ms", []string{`{"type":"latency","attributes":{"latency":100}}`}, false},
	{"answers take 1 s", []string{`{"type":"latency","attributes":{"latency":1000}}`}, false},
	{"connections are reset", []string{`{"type":"reset_peer","attributes":{"timeout":0}}`}, false},
	{"connections stay, nothing comes through", []string{`{"type":"timeout","attributes":{"timeout":0}}`,
		`{"type":"timeout","stream":"upstream","attributes":{"timeout":0}}`}, false},
	{"connections end, and it shows 5 s later", []string{`{"type":"slow_close","attributes":{"delay":5000}}`}, true},
	{"10 KB/s", []string{`{"type":"bandwidth","attributes":{"rate":10}}`}, false},
}

// The people of a fault, by what the gateway has of them when it begins.
const (
	warm = "in memory"
	cold = "new to this gateway"
	due  = "due for renewal"
)

var groups = []string{warm, cold, due}

// TestRedisFaults shows what people see while Redis is hard to reach. With
// EVERGATE_WRITE_DOCS set it writes the figures into docs/redis.md.
func TestRedisFaults(t *testing.T) {
	t.Parallel()
	pressing.take(t)
	need(t, "redis-server", "redis-server")
	rows := make([]string, len(faults))
	t.Run("all", func(t *testing.T) {
		for i, fault := range faults {
			t.Run(fault.name, func(t *testing.T) {
				t.Parallel()
				f := newFaulty(t)
				rows[i] = fmt.Sprintf("| %s | %s |", fault.name, strings.Join(f.measure(fault.toxics, fault.cut), " | "))
			})
		}
	})
	table := fmt.Sprintf("| for %v | %s | all well again |\n|---|---|---|---|---|\n%s\n", faultTime, strings.Join(groups, " | "), strings.Join(rows, "\n"))
	t.Log("\n" + table)
	if os.Getenv("EVERGATE_WRITE_DOCS") != "" && !t.Failed() {
		writeBetween(t, "../docs/redis.md", "faults", table)
	}
}

// faulty is a gateway that reaches Redis through a proxy with faults, and a second
// one that reaches it straight.
type faulty struct {
	*fleet
	proxy *toxiproxy.Proxy
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	port := freePort(t)
	f := &faulty{fleet: &fleet{t: t, url: "http://127.0.0.1:" + port, app: newUpstream(t)}}
	f.redis = redistest.Start(t, "appendonly", "yes")
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	f.proxy = toxiproxy.NewProxy(server, "redis", "127.0.0.1:0", f.redis.Address())
	if err := f.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.proxy.Stop)
	f.provider = newPanva(t, f.url, tokenLife, nil)
	key := filepath.Join(t.TempDir(), "evergate.key")
	evergate(t, t.TempDir(), "", "key", "new", "--out", key)
	second := freePort(t)
	f.ports = []string{port, second}
	f.replicas = []*gateway{f.newReplica(port, key, f.proxy.Listen), f.newReplica(second, key, f.redis.Address())}
	return f
}

const (
	tokenLife  = 40 // seconds: of those who come last none ends within faultTime and what follows it
	eachFaulty = 3  // people in a group, and requests each has in flight
)

// measure has the fault come when the tokens of some are about to be due, and
// returns a cell of the table for each group, and how long recovery took.
func (f *faulty) measure(toxics []string, cut bool) (cells []string) {
	f.t.Helper()
	t := f.t
	people := map[string][]*person{}
	for i := range eachFaulty {
		people[due] = append(people[due], f.signIn(fmt.Sprintf("due%d", i)))
	}
	began := time.Now()
	time.Sleep((tokenLife - 6) * time.Second)
	for i := range eachFaulty {
		people[warm] = append(people[warm], f.signIn(fmt.Sprintf("warm%d", i)))
		p := newPerson(t)
		p.c.Transport = f.through(p, 1).c.Transport
		p.signIn(f.url+"/", map[string]string{"login": fmt.Sprintf("cold%d", i), "password": "x"}).told(t)
		people[cold] = append(people[cold], f.through(p, 0))
	}
	for _, p := range slices.Concat(people[warm], people[due]) {
		p.get(f.url + "/").told(t)
	}
	time.Sleep(time.Until(began.Add((tokenLife - 2) * time.Second)))
	for _, toxic := range toxics {
		if _, err := f.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			t.Fatal(err)
		}
	}
	if cut {
		f.redis.CLI("client", "kill", "type", "normal", "skipme", "yes")
	}
	during := f.use(people, time.Now().Add(faultTime))
	f.proxy.Toxics.ResetToxics(t.Context())
	ended := time.Now()
	after := f.use(people, ended.Add(12*time.Second))
	var recovery time.Duration
	for _, g := range groups {
		count := during[g]
		t.Logf("%s: %v; after it: %v", g, count, after[g])
		cells = append(cells, count.cell())
		if n := count.others(served, later) + after[g].others(served, later); n != 0 {
			t.Errorf("%s: %d requests came to something else than 200 and 503 with Retry-After: %v; %v", g, n, count, after[g])
		}
		if last := after[g].lastNo; !last.IsZero() {
			recovery = max(recovery, last.Sub(ended))
		}
	}
	if n := during[warm].others(served) + after[warm].others(served); n != 0 {
		t.Errorf("%d requests of sessions in memory were not served: %v; %v", n, during[warm], after[warm])
	}
	if recovery > 10*time.Second {
		t.Errorf("%v after the fault not everybody was served", recovery)
	}
	if s := f.provider.stats(t); s.Revoked != 0 || len(s.Errors) != 0 || s.Grants["authorization_code"] != 3*eachFaulty || s.Grants["refresh_token"] != eachFaulty {
		t.Errorf("the provider counted %+v, want one grant for each who was due, and none refused", s)
	}
	if recovery < 50*time.Millisecond {
		return append(cells, "at once")
	}
	return append(cells, "after "+recovery.Round(100*time.Millisecond).String())
}

// use has everybody use the app until end.
func (f *faulty) use(people map[string][]*person, end time.Time) map[string]*tally {
	counts := map[string]*tally{}
	var wg sync.WaitGroup
	for _, g := range groups {
		count := newTally()
		counts[g] = count
		for _, p := range people[g] {
			for range eachFaulty {
				wg.Go(func() {
					for time.Now().Before(end) {
						count.add(p.ask(f.url + "/"))
						time.Sleep(100 * time.Millisecond)
					}
				})
			}
		}
	}
	wg.Wait()
	return counts
}

// cell is what the table says of a group.
func (c *tally) cell() string {
	total := float64(c.total())
	text := fmt.Sprintf("%.0f %% %d", 100*float64(c.of(served))/total, http.StatusOK)
	if n := c.of(later); n > 0 {
		text += fmt.Sprintf(", %.0f %% %d", 100*float64(n)/total, http.StatusServiceUnavailable)
	}
	if n := c.others(served, later); n > 0 {
		text += fmt.Sprintf(", %.0f %% other", 100*float64(n)/total)
	}
	return fmt.Sprintf("%s; %s, %s", text, short(c.quantile(.5)), short(c.quantile(.99)))
}

func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// writeBetween puts text between a file's two markers of a name.
func writeBetween(t *testing.T, file, name, text string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s: the markers %s are missing", file, name)
	}
	if err := os.WriteFile(file, []byte(before+begin+text+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
