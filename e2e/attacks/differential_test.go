package attacks

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func init() { sections = append(sections, differential) }

// diffServers are the upstreams of the section, by name.
var diffServers = map[string]*diffServer{}

// diffCount is how many generated requests each upstream gets.
func diffCount(t *testing.T) int {
	text := os.Getenv("EVERGATE_REQUESTS")
	if text == "" {
		return 2500
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 4 {
		t.Fatalf("EVERGATE_REQUESTS=%s: want how many requests to generate", text)
	}
	return n / 4
}

// diffSeed is the day's, or what EVERGATE_SEED says.
func diffSeed(t *testing.T) uint64 {
	text := os.Getenv("EVERGATE_SEED")
	if text == "" {
		text = time.Now().UTC().Format("20060102")
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("EVERGATE_SEED=%s: want a number", text)
	}
	return seed
}

func TestDifferential(t *testing.T) {
	t.Parallel()
	var routes strings.Builder
	for _, s := range []*diffServer{diffGo(t), diffNginx(t), diffApache(t), diffPython(t)} {
		diffServers[s.name] = s
		for _, zone := range append(diffZones, "root") {
			path, rule := "/"+zone+"/", "public: true"
			switch zone {
			case "admin":
				rule = "allow: [ groups: [admin] ]"
			case "odd":
				rule += ", path_chars: [encoded_slash, semicolon, double_slash]"
			case "root":
				path = "/"
			}
			fmt.Fprintf(&routes, "  - { name: %s, match: { host: %s, path: %s }, %s, upstream: %q }\n", s.name+"-"+zone, s.host(), path, rule, s.url)
		}
	}
	differential.try(t, newLab(t, setup{routes: routes.String()}))
}

// differential is one question asked of thousands of generated requests: what the gateway decided
// on, is that what the server behind it understood? Each server has a host with a public folder, one
// for admins, one whose paths may be odd, and the rest, as the gateway has.
//
// What a request is told by on both sides is the X-Request-Id that the gateway gives it. So a
// request that an upstream sees and the gateway did not is one that has none, or somebody else's.
var differential = &section{name: "Four servers that read requests by themselves", test: "TestDifferential", attacks: []attack{
	diffCase("V-01", "go", "net/http"),
	diffCase("V-02", "nginx", "nginx, with an SCGI app behind it"),
	diffCase("V-03", "apache", "Apache httpd, with an app in mod_lua"),
	diffCase("V-04", "python", "Python's http.server"),
	{"V-05", "critical", "the same requests through a stand-in that forwards bytes as they come, decides by the beginning of the path and goes by Content-Length: for the judge of V-01 to V-04, not for the gateway",
		"the judge finds paths, hosts, headers and requests that were understood in another way", diffLeak},
}}

func diffCase(id, name, program string) attack {
	return attack{id, "critical", "2,500 generated requests (`EVERGATE_SEED`, `EVERGATE_REQUESTS`) to " + program + ": dot segments in every encoding, `;`, `\\`, `#`, overlong UTF-8, absolute forms, two hosts, odd methods, identity headers in every spelling, folded lines, bare CR and LF, NUL, two framings",
		"what it understood is what the gateway decided on: place, method and host; no header of the client's making that only the gateway may send; one request stays one",
		func(t *testing.T, l *lab) {
			s, seed, n := diffServers[name], diffSeed(t), diffCount(t)
			var first int
			switch name { // other requests for each
			case "nginx":
				first = n
			case "apache":
				first = 2 * n
			case "python":
				first = 3 * n
			}
			sent := diffSend(t, func() (net.Conn, error) { return l.dial(gatewayHost), nil }, s.host(), seed, first, n)
			decided, told := map[string]*diffLine{}, []*diffReading(nil)
			for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(30 * time.Millisecond) { // both sides write beside
				// A request meant for one may name the host of another, so all of the log counts.
				decided, told = diffDecided(t, l.out.from(0)), s.told()
				if found := diffMeet(s, decided, told); len(found.missing)+len(found.faults[diffUnknown]) == 0 {
					break
				}
			}
			found := diffMeet(s, decided, told)
			own := diffDecided(t, l.out.from(l.before.log))
			carried := 0
			for _, d := range own {
				if d.Decision == "public" {
					carried++
				}
			}
			t.Logf("seed %d, requests %d to %d: %d sent over %d connections, %d of them so that it is open where they end; %d answers; the gateway told %d requests apart, refused %d, and carried %d; %s answered by itself %v",
				seed, first, first+n-1, n, sent.conns, sent.loose, sent.answers, len(own), len(own)-carried, carried, program, found.unserved)
			found.report(t)
			if carried < n/6 || len(own)-carried < n/6 {
				t.Errorf("%d of %d carried, %d refused: the generator tries too little", carried, n, len(own)-carried)
			}
			for _, fault := range sent.faults {
				t.Error(fault)
			}
			l.saw(traces{})
		}}
}

// diffLeak has the judge look at a proxy that does it all wrong.
func diffLeak(t *testing.T, l *lab) {
	const seed = 1 // whatever the day: what there is to be found is known
	gateways := diffDecided(t, l.out.from(0))
	stands, said := map[string]*diffStandIn{}, map[string]map[string]int{} // by server; how often the judge says what
	var all sync.WaitGroup
	for name, s := range diffServers {
		p := newDiffStandIn(t, s)
		stands[name] = p
		all.Go(func() { t.Logf("%s: %d answers", name, diffSend(t, p.dial, s.host(), seed, 0, 300).answers) })
	}
	all.Wait()
	hosts := 0
	sees := func(kinds map[string]int) bool {
		return kinds[diffUnknown] > 0 && kinds[diffPlace] > 0 && kinds[diffHeader] > 0
	}
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) { // servers write beside
		missed := false
		hosts = 0
		for name, p := range stands {
			told := slices.DeleteFunc(p.up.told(), func(r *diffReading) bool { return gateways[r.ID] != nil })
			said[name] = map[string]int{}
			for kind, all := range diffMeet(p.up, p.decided(), told).faults {
				said[name][kind] = len(all)
			}
			hosts += said[name][diffHost]
			missed = missed || !sees(said[name])
		}
		if !missed && hosts > 0 || time.Now().After(end) {
			break
		}
	}
	for name, kinds := range said {
		t.Logf("%s: the judge says %v", name, kinds)
		if !sees(kinds) {
			t.Errorf("%s behind a proxy that forwards bytes: the judge says %v, want it to see requests, places and headers", name, kinds)
		}
	}
	if hosts == 0 {
		t.Errorf("the judge does not see %q at any server", diffHost)
	}
	l.saw(traces{})
}

// diffLine is what the gateway decided on, as its access line has it.
type diffLine struct {
	Msg       string
	RequestID string `json:"request_id"`
	Method    string
	Host      string
	Path      string
	Route     string
	Decision  string
	Status    int
}

func diffDecided(t *testing.T, log string) map[string]*diffLine {
	t.Helper()
	all := map[string]*diffLine{}
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"msg":"request"`) || !strings.HasSuffix(line, "\n") {
			continue
		}
		var d diffLine
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Fatalf("the access log has %q: %v", line, err)
		}
		all[d.RequestID] = &d
	}
	return all
}

// What the judge may find.
const (
	diffUnknown = "a request that the gateway knows nothing of"
	diffTwice   = "a request that came twice"
	diffPlace   = "another place than the one that was decided on"
	diffMethod  = "another method"
	diffHost    = "another host"
	diffHeader  = "a header of the client's making"
)

// diffFound is what comes of a comparison.
type diffFound struct {
	unserved map[string]int // by status: what the server answered without an app
	missing  []string       // carried, and the server has not told of it yet
	faults   map[string][]string
}

func (f *diffFound) fault(kind, format string, args ...any) {
	f.faults[kind] = append(f.faults[kind], fmt.Sprintf(format, args...))
}

func (f *diffFound) report(t *testing.T) {
	t.Helper()
	for _, kind := range slices.Sorted(maps.Keys(f.faults)) {
		for i, one := range f.faults[kind] {
			if i == 5 {
				t.Errorf("%s: %d more", kind, len(f.faults[kind])-i)
				break
			}
			t.Errorf("%s: %s", kind, one)
		}
	}
	for _, id := range f.missing {
		t.Errorf("the gateway answered %s with 200, and the server has not seen it", id)
	}
}

// diffMeet is the judge.
func diffMeet(s *diffServer, decided map[string]*diffLine, told []*diffReading) *diffFound {
	f := &diffFound{unserved: map[string]int{}, faults: map[string][]string{}}
	times := map[string]int{}
	for _, r := range told {
		d := decided[r.ID]
		if d == nil {
			f.fault(diffUnknown, "%s %s of %s, X-Request-Id %q, status %q", r.Method, r.URI, r.Host, r.ID, r.Status)
			continue
		}
		if times[r.ID]++; times[r.ID] == 2 {
			f.fault(diffTwice, "%s %s of %s", r.Method, r.URI, r.Host)
		}
		if r.Status != "" && r.Zone == "" && r.Header == nil {
			f.unserved[r.Status]++
			if r.Status == "400" {
			}
			continue
		}
		server, zone, _ := strings.Cut(d.Route, "-")
		if d.Decision != "public" || server != s.name {
			f.fault(diffPlace, "%s %s came with decision %q of route %s", r.Method, r.URI, d.Decision, d.Route)
		}
		if r.Zone != "" && r.Zone != zone || diffZone(r.Path) != zone {
			f.fault(diffPlace, "%s of route %s was understood as %q (%s)", r.URI, d.Route, r.Path, r.Zone)
		}
		if r.Method != d.Method {
			f.fault(diffMethod, "%s of %s, decided as %s", r.Method, r.URI, d.Method)
		}
		if name, _, _ := strings.Cut(strings.TrimSuffix(r.Host, "."), ":"); !strings.EqualFold(name, s.host()) {
			f.fault(diffHost, "%s %s with %q, decided as %q", r.Method, r.URI, r.Host, d.Host)
		}
		for _, h := range r.Header {
			if name := diffFold(h[0]); strings.Contains(h[1], diffEvil) && diffSpeaks[name] || name == "cookie" && strings.Contains(h[1], "evergate") {
				f.fault(diffHeader, "%s %s got %q: %q", r.Method, r.URI, h[0], h[1])
			}
		}
	}
	for id, d := range decided {
		if d.Status == 200 && times[id] == 0 && strings.HasPrefix(d.Route, s.name+"-") {
			f.missing = append(f.missing, id)
		}
	}
	return f
}

// diffSpeaks are diffNames, folded.
var diffSpeaks = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, name := range diffNames {
		all[diffFold(name)] = true
	}
	return all
})()
