package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/idp"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/redis/redistest"
)

// serve runs a gateway of the clinic's config, as a process.
func (c *clinic) serve() *process {
	c.Helper()
	p := &process{T: c.T, bin: evergateBinary(c.T), file: c.file, base: "http://127.0.0.1:" + c.port, adminAt: c.adminAt}
	p.start()
	c.Cleanup(p.kill)
	p.within("it is up", func() bool {
		res, err := http.Get("http://" + c.adminAt + "/livez")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return p
}

// says wants lines in what the doctor says, with single spaces.
func (c *clinic) says(code int, lines ...string) {
	c.Helper()
	got, out, talk := c.doctor()
	out = regexp.MustCompile(` {2,}`).ReplaceAllString(out, " ")
	if got != code {
		c.Errorf("got exit code %d, want %d\n%s%s", got, code, out, talk)
	}
	for _, line := range lines {
		if !strings.Contains(out, line) {
			c.Errorf("want %q in\n%s", line, out)
		}
	}
}

// TestDoctorWhileAGatewayRuns: it asks the gateway what only that can tell.
func TestDoctorWhileAGatewayRuns(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	p := c.serve()
	c.says(0, "ok gateway.admin "+c.adminAt+" the gateway runs, and is ready\n", "ok gateway.config what the file says is in force\n",
		"ok gateway.public_url "+c.public+" leads to the gateway\n", "ok gateway.listen 127.0.0.1:"+c.port+" the gateway listens here\n", "ok gateway.listen "+c.adminAt+" the gateway listens here\n",
		"ok store.round_trip bolt the gateway that runs has the file, and says that it reads and writes\n", "ok files.secrets 4 files are for their owner alone\n")

	// Another file, with the same addresses.
	text, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	first := c.file
	c.file = filepath.Join(c.dir, "other.yaml")
	c.write("other.yaml", string(text), 0o600)
	c.says(0, "warn gateway.config the gateway was started with another file, "+first+"\n mend: name that one")
	c.file = first

	// What cannot change while it runs: the file is refused, and the doctor sees it.
	c.edit("routes:", "session: { cookie: { name: other } }\nroutes:")
	p.within("the file is refused", func() bool { _, ready := p.admin("/readyz"); return strings.Contains(ready, "the config is bad") })
	c.says(1, "FAIL gateway.config the gateway keeps the config of before", "mend: mend the file",
		"warn gateway.admin "+c.adminAt+" the gateway runs, is ready, and complains: config:")
	c.edit("session: { cookie: { name: other } }\n", "")
	p.within("it is good again", func() bool { _, ready := p.admin("/readyz"); return !strings.Contains(ready, "the config is bad") })

	// Another address to listen on: a gateway that is asked where it is does not listen there.
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	c.edit("listen: 127.0.0.1:"+c.port, "listen: 127.0.0.1:"+port)
	c.says(1, "FAIL gateway.listen 127.0.0.1:"+port+" a gateway runs, and does not listen here\n mend: restart it")
	c.edit("listen: 127.0.0.1:"+port, "listen: 127.0.0.1:"+c.port)

	// Its token is kept from the doctor: what can be told is told.
	if err := os.Chmod(filepath.Join(c.dir, "evergate-data", "admin.token"), 0o640); err != nil {
		t.Fatal(err)
	}
	c.says(1, "FAIL files.secrets admin.token", "skip gateway.config it cannot be told:")
}

// TestDoctorComesInByTheFront: what stands before the gateway, and what it does to requests.
func TestDoctorComesInByTheFront(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	to, err := url.Parse("http://127.0.0.1:" + c.port)
	if err != nil {
		t.Fatal(err)
	}
	var mode atomic.Value
	mode.Store("host")
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		if mode.Load() == "other host" {
			r.Out.Host = "backend"
		}
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch mode.Load() {
		case "redirect":
			http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusMovedPermanently)
		case "some paths":
			http.NotFound(w, r)
		default:
			pass.ServeHTTP(w, r)
		}
	}))
	defer front.Close()
	c.edit("public_url: "+c.public, "public_url: "+front.URL)
	c.op.ChangeClient(func(i *idp.Client) { i.RedirectURIs = []string{front.URL + "/.evergate/callback/corp"} })
	c.edit("  - upstream:\n", "  - match: { host: 127.0.0.1 }\n    upstream:\n")
	c.serve()
	c.says(0, "ok gateway.public_url "+front.URL+" leads to the gateway\n")
	mode.Store("other host")
	c.says(1, "FAIL gateway.public_url "+front.URL+" leads to the gateway, under a Host that it does not know\n mend: have the front proxy pass the Host header on")
	mode.Store("redirect")
	c.says(1, "FAIL gateway.public_url "+front.URL+" answers /.evergate/ping with a redirect (301)\n mend: set public_url")
	mode.Store("some paths")
	c.says(1, "FAIL gateway.public_url something else than the gateway answers at "+front.URL+": 404 to /.evergate/ping\n mend: have the front proxy send all paths")
	front.Close()
	c.says(0, "warn gateway.public_url "+front.URL+" does not lead to the gateway from here:", "mend: try it from elsewhere")
}

// TestDoctorMeetsAnotherProcess has the file held by one that does not answer.
func TestDoctorMeetsAnotherProcess(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.serve()
	c.edit(c.administrate, "1")
	c.says(1, "FAIL store.round_trip bolt bolt: the session file is in use by another process", "mend: it does not answer at admin.listen",
		"FAIL gateway.listen 127.0.0.1:"+c.port+" it cannot be had, and no gateway answers")
}

// TestDoctorAsksRedis: a real one, as it is after it was installed, set up well, and in
// trouble. Nothing is left in it.
func TestDoctorAsksRedis(t *testing.T) {
	c := newClinic(t)
	server := redistest.Start(t)
	c.write("ring.key", session.NewKey(time.Now()).Reveal()+"\n", 0o600)
	c.edit("routes:", fmt.Sprintf("keys: { files: [ring.key] }\nsession: { store: redis, redis: { addresses: [%q] } }\nroutes:", server.Address()))
	at := server.Address()
	c.says(0, "ok store.round_trip redis "+at+" a record of the doctor's own was written, read and removed; a round trip takes ",
		"warn store.settings "+at+" redis ", ": it appends to no file, so a restart loses the latest sign-ins and renewals\n mend: CONFIG SET appendonly yes\n",
		"ok store.clock redis its clock is that of this machine\n")
	server.CLI("config", "set", "appendonly", "yes")
	c.says(0, "ok store.settings "+at+" redis ", ", no eviction, appends to a file, client-side caching\n")
	server.CLI("config", "set", "maxmemory-policy", "allkeys-lru")
	c.says(0, "warn store.settings "+at, "mend: CONFIG SET maxmemory-policy noeviction\n")
	server.CLI("config", "set", "maxmemory", "100mb")
	c.says(1, "FAIL store.settings "+at, "it evicts sessions when it is full (allkeys-lru), which signs people out\n mend: CONFIG SET maxmemory-policy noeviction\n")
	if left := server.CLI("dbsize"); left != "0" {
		t.Errorf("%s keys are left: %s", left, server.CLI("keys", "*"))
	}
	server.CLI("config", "set", "requirepass", "a password of Redis")
	c.says(1, "FAIL store.round_trip redis "+at, "NOAUTH", "mend: look at session.redis.username and password_file\n")
	c.write("redis.secret", "a wrong one", 0o600)
	c.edit("redis: {", "redis: { password_file: redis.secret,")
	_, out, _ := c.doctor()
	if !strings.Contains(out, "WRONGPASS") || strings.Contains(out, "a wrong one") {
		t.Errorf("a wrong password: got\n%s", out)
	}
	server.Kill()
	c.says(1, "FAIL store.round_trip redis "+at, "refused", "mend: is it up,")
}

// TestDoctorMeetsAReplica that takes no writes.
func TestDoctorMeetsAReplica(t *testing.T) {
	c := newClinic(t)
	master := redistest.Start(t)
	replica := redistest.Start(t, "replicaof", fmt.Sprintf("127.0.0.1 %d", master.Port()))
	c.write("ring.key", session.NewKey(time.Now()).Reveal()+"\n", 0o600)
	c.edit("routes:", fmt.Sprintf("keys: { files: [ring.key] }\nsession: { store: redis, redis: { addresses: [%q] } }\nroutes:", replica.Address()))
	c.says(1, "FAIL store.round_trip redis "+replica.Address(), "READONLY", "mend: it is a replica", "FAIL store.settings "+replica.Address())
}

// TestDoctorIsNotKept: what hangs costs one line each, and no more time than was set.
func TestDoctorIsNotKept(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	c.write("ring.key", session.NewKey(time.Now()).Reveal()+"\n", 0o600)
	c.edit("routes:", fmt.Sprintf("keys: { files: [ring.key] }\nsession: { store: redis, redis: { addresses: [%q] } }\nroutes:", mute.Addr()))
	c.edit(c.op.Issuer, "http://"+mute.Addr().String())
	c.edit(c.app.URL, "http://"+mute.Addr().String())
	c.edit(c.adminAt, mute.Addr().String())
	began := time.Now()
	c.says(1, "FAIL provider.discovery corp", "FAIL store.round_trip redis", "FAIL upstream http://", "FAIL gateway.listen "+mute.Addr().String())
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("it took %s, want 15 s at most", took)
	}
}

// TestDoctorWithoutAConfig says what every command says.
func TestDoctorWithoutAConfig(t *testing.T) {
	var out lockedBuffer
	if code := run([]string{"doctor", "--config", filepath.Join(t.TempDir(), "none.yaml")}, nil, &out, &out); code != exitFailed || !strings.Contains(out.String(), "none.yaml") {
		t.Errorf("got exit code %d, %s", code, &out)
	}
	c := newClinic(t)
	c.write("evergate.yaml", strings.Replace(c.text, "routes:", "rotues:", 1), 0o600)
	if code, _, talk := c.doctor(); code != exitFailed || !strings.Contains(talk, "rotues") {
		t.Errorf("a bad config: got exit code %d, %s", code, talk)
	}
	if _, err := config.Load(c.file); err == nil {
		t.Error("the config was to be bad")
	}
}

// TestDoctorLooksWhetherTheFrontAsks: by the dialect that is set, from an address that is
// trusted, and at all.
func TestDoctorLooksWhetherTheFrontAsks(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	forward, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	to := &url.URL{Scheme: "http", Host: "127.0.0.1:" + c.port}
	var asks, everything atomic.Bool
	asks.Store(true)
	public := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.evergate/") || everything.Load() {
			public.ServeHTTP(w, r)
			return
		}
		if !asks.Load() {
			fmt.Fprint(w, "the app")
			return
		}
		ask := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL = &url.URL{Scheme: "http", Host: "127.0.0.1:" + forward, Path: "/.evergate/auth"}
			for name, value := range map[string]string{"Method": r.Method, "Proto": "http", "Host": r.Host, "Uri": r.URL.RequestURI(), "For": "192.0.2.1"} {
				p.Out.Header.Set("X-Forwarded-"+name, value)
			}
		}}
		ask.ServeHTTP(w, r)
	}))
	defer front.Close()
	c.edit("public_url: "+c.public, "trusted_proxies: [127.0.0.1]\nforward_auth: { listen: \"127.0.0.1:"+forward+"\", dialect: caddy }\npublic_url: "+front.URL)
	c.op.ChangeClient(func(i *idp.Client) { i.RedirectURIs = []string{front.URL + "/.evergate/callback/corp"} })
	c.says(0, "skip gateway.forward_auth caddy no gateway runs here", "ok gateway.listen 127.0.0.1:"+forward+" is free for forward_auth.listen")
	c.serve()
	c.says(0, "ok gateway.forward_auth caddy the proxy in front asks, and hands the answer on\n", "ok gateway.listen 127.0.0.1:"+forward+" the gateway listens here\n")
	asks.Store(false)
	c.says(1, "FAIL gateway.forward_auth caddy /evergate-doctor answered 200 to somebody who is not signed in: the proxy in front does not ask\n mend: give it what evergate snippet caddy prints\n")
	asks.Store(true)
	everything.Store(true)
	c.says(1, "FAIL gateway.forward_auth caddy the gateway itself answers at "+front.URL+", and was not asked before: everything is sent to 127.0.0.1:"+c.port)
	everything.Store(false)
	change := func(from, to string) {
		t.Helper()
		c.edit(from, to)
		var out lockedBuffer
		if code := run([]string{"reload", "--config", c.file}, nil, &out, &out); code != exitOK {
			t.Fatalf("reload: %s", out.String())
		}
	}
	change("dialect: caddy", "dialect: nginx")
	c.says(1, "FAIL gateway.forward_auth nginx the proxy in front asks in another dialect than nginx\n mend: give it what evergate snippet nginx prints, or set forward_auth.dialect")
	change("dialect: nginx", "dialect: caddy")
	change("trusted_proxies: [127.0.0.1]", "trusted_proxies: [192.0.2.1]")
	c.says(1, "FAIL gateway.forward_auth caddy the gateway does not answer the proxy in front\n mend: list its address in trusted_proxies\n")
}
