package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/session/redis/redistest"
)

// fleet is three gateways on one Redis behind one HAProxy that knows no
// stickiness, with a provider whose refresh tokens are good once.
type fleet struct {
	t        *testing.T
	url      string // HAProxy's, and so everybody's
	app      *upstream
	provider *panva
	redis    *redistest.Server
	replicas []*gateway
	ports    []string   // of the replicas
	killed   []*process // what was a replica until it was killed
	signIns  int
	signOuts int // each revokes a grant at the provider
}

const gateways = 3

// newFleet starts one. Life is the access token's in seconds.
func newFleet(t *testing.T, life int) *fleet {
	t.Helper()
	haproxy := need(t, "haproxy", "haproxy")
	raiseFileLimit(t)
	port := freePort(t)
	f := &fleet{t: t, url: "http://127.0.0.1:" + port, app: newUpstream(t)}
	f.redis = redistest.Start(t, "appendonly", "yes", "appendfsync", "everysec", "maxmemory-policy", "noeviction")
	f.provider = newPanva(t, f.url, life, nil)
	key := filepath.Join(t.TempDir(), "evergate.key")
	evergate(t, t.TempDir(), "", "key", "new", "--out", key)
	for range gateways {
		p := freePort(t)
		f.ports = append(f.ports, p)
		f.replicas = append(f.replicas, f.newReplica(p, key, f.redis.Address()))
	}
	f.startFront(haproxy, port)
	return f
}

func (f *fleet) newReplica(port, key, redis string) *gateway {
	f.t.Helper()
	dir := f.t.TempDir()
	g := &gateway{t: f.t, dir: dir, url: "http://127.0.0.1:" + port, admin: "http://127.0.0.1:" + freePort(f.t), config: filepath.Join(dir, "evergate.yaml")}
	text := fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
admin: { listen: %q }
trusted_proxies: [127.0.0.1]
log: { level: debug }
keys: { files: [%q] }
session:
  store: redis
  rotation_grace: 5s
  redis: { addresses: [%q] }
access_token: { renew_before: 1s }
%s`, port, f.url, strings.TrimPrefix(g.admin, "http://"), key, redis, panvaConfig(f.provider.url, f.app.URL, "      timeout: 20s", ""))
	for name, content := range map[string]string{"evergate.yaml": text, "secret": "secret of evergate, with a space"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	g.serve()
	return g
}

// startFront has HAProxy send each request to the next gateway, and a GET that got
// no answer to another one.
func (f *fleet) startFront(haproxy, port string) {
	f.t.Helper()
	text := fmt.Sprintf(`global
  maxconn 3000
defaults
  mode http
  timeout connect 2s
  timeout client 90s
  timeout server 90s
  timeout http-keep-alive 90s
  timeout tunnel 1h
  retries 3
  option redispatch 1
  retry-on conn-failure empty-response
  option forwardfor
  timeout check 10s
frontend public
  bind 127.0.0.1:%s
  default_backend gateways
backend gateways
  balance roundrobin
  http-request disable-l7-retry unless METH_GET
  option httpchk
  http-check send meth GET uri /.evergate/ping ver HTTP/1.1 hdr Host %s
  default-server check inter 500ms fall 2 rise 1
`, port, strings.TrimPrefix(f.url, "http://"))
	for i, p := range f.ports {
		text += fmt.Sprintf("  server replica%d 127.0.0.1:%s\n", i+1, p)
	}
	dir := f.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "haproxy.cfg"), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	p := start(f.t, dir, haproxy, "-db", "-f", "haproxy.cfg")
	f.t.Cleanup(func() { // it has no exit code 0 for those who ask it to end
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	p.awaitHTTP(f.t, f.url+"/.evergate/ping")
}

func (f *fleet) address() *url.URL {
	f.t.Helper()
	u, err := url.Parse(f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	return u
}

// kill ends a replica at once.
func (f *fleet) kill(i int) {
	f.t.Helper()
	p := f.replicas[i].process
	_ = p.cmd.Process.Kill()
	<-p.ended
	f.killed = append(f.killed, p)
}

// signIn returns a person who has signed in as user.
func (f *fleet) signIn(user string) *person {
	f.t.Helper()
	p := newPerson(f.t)
	p.c.Transport.(*http.Transport).MaxIdleConnsPerHost = 1000
	told := p.signIn(f.url+"/", map[string]string{"login": user, "password": "x"}).told(f.t)
	if told["user"] != user {
		f.t.Fatalf("signed in as %q, want %q", told["user"], user)
	}
	f.signIns++
	return p
}

// through returns p, the same jar, with its connections going past HAProxy
// straight to one replica. It follows no redirects.
func (f *fleet) through(p *person, replica int) *person {
	address := "127.0.0.1:" + f.ports[replica]
	public := strings.TrimPrefix(f.url, "http://")
	transport := &http.Transport{DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
		if to == public {
			to = address
		}
		return new(net.Dialer).DialContext(ctx, network, to)
	}}
	f.t.Cleanup(transport.CloseIdleConnections)
	return &person{p.t, &http.Client{Jar: p.c.Jar, Timeout: p.c.Timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// logged returns the lines of all replicas, killed ones included, that tell of an
// event.
func (f *fleet) logged(event string) (lines []logLine) {
	f.t.Helper()
	all := slices.Clone(f.killed)
	for _, g := range f.replicas {
		all = append(all, g.process)
	}
	for _, p := range all {
		for text := range strings.Lines(p.stderr.String()) {
			var line logLine
			if strings.Contains(text, `"event":"`+event+`"`) && json.Unmarshal([]byte(text), &line) == nil {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

type logLine struct {
	Time    time.Time `json:"time"`
	Subject string    `json:"subject"`
}

// renewal is one that came to the provider.
type renewal struct {
	User   string `json:"user"`
	Began  int64  `json:"began"` // in ms since 1970
	Ended  int64  `json:"ended"`
	Status int    `json:"status"`
}

func (p *panva) renewals(t *testing.T) (all []renewal) {
	t.Helper()
	res, err := http.Get(p.url + "/test/renewals")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// onceForEachExpiry returns how many renewals there were since the first known ones, and fails the
// test where one came sooner after the one before it than a token is good for. However long it
// takes to ask, that tells of a second grant.
func (p *panva) onceForEachExpiry(t *testing.T, known int, good time.Duration) int {
	t.Helper()
	all := p.renewals(t)
	slices.SortFunc(all, func(a, b renewal) int { return cmp.Compare(a.Began, b.Began) })
	all = all[known:]
	for i := 1; i < len(all); i++ {
		if gap := time.Duration(all[i].Began-all[i-1].Began) * time.Millisecond; gap < good {
			t.Fatalf("the provider was asked for a token %v after the one of before, which was good for longer: %+v", gap, all)
		}
	}
	return len(all)
}

// raiseFileLimit lets this process, and those that it starts, have as many files
// open as they are allowed to.
func raiseFileLimit(t *testing.T) {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	if l.Max < 8000 {
		missing(t, fmt.Sprintf("a process may have %d files open, so a thousand requests at once do not fit", l.Max))
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
}

// expiry is that of the token the app was sent.
func expiry(t *testing.T, authorization string) time.Time {
	t.Helper()
	exp, ok := claimsOf(t, strings.TrimPrefix(authorization, "Bearer "))["exp"].(float64)
	if !ok {
		t.Fatalf("the token %q has no expiry", authorization)
	}
	return time.Unix(int64(exp), 0)
}
