package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// upstream is an app that keeps what it was sent.
type upstream struct {
	*httptest.Server
	mu     sync.Mutex
	tokens map[string]int // requests by token
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{tokens: map[string]int{}}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.tokens[r.Header.Get("Authorization")]++
		u.mu.Unlock()
		if r.URL.Path == "/stream" {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: hello\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"path": r.URL.RequestURI(), "user": r.Header.Get("X-Forwarded-User"),
			"email": r.Header.Get("X-Forwarded-Email"), "groups": r.Header.Get("X-Forwarded-Groups"), "authorization": r.Header.Get("Authorization")})
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) distinct() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.tokens)
}

// gateway is an evergate that serves.
type gateway struct {
	*process
	t           *testing.T
	url, admin  string
	dir, config string
}

// newGateway starts evergate with a port of its own in its config.
func newGateway(t *testing.T, port, config string, files map[string]string) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{t: t, dir: dir, url: "http://127.0.0.1:" + port, admin: "http://127.0.0.1:" + freePort(t), config: filepath.Join(dir, "evergate.yaml")}
	files["evergate.yaml"] = fmt.Sprintf("listen: 127.0.0.1:%s\npublic_url: %s\nadmin: { listen: %q }\nlog: { level: debug }\n%s",
		port, g.url, strings.TrimPrefix(g.admin, "http://"), config)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.serve()
	return g
}

func (g *gateway) serve() {
	g.process = start(g.t, g.dir, binary, "serve", "--config", g.config)
	g.awaitHTTP(g.t, g.url+"/.evergate/ping")
}

// person is a browser without a screen: cookies, redirects, forms.
type person struct {
	t *testing.T
	c *http.Client
}

func newPerson(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t, &http.Client{Jar: jar, Timeout: 60 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 300}}}
}

type page struct {
	status int
	url    *url.URL
	body   string
	header http.Header
}

func (p *person) get(address string) page {
	p.t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(req)
}

func (p *person) do(req *http.Request) page {
	p.t.Helper()
	req.Header.Set("Accept", "text/html,*/*;q=0.8")
	res, err := p.c.Do(req)
	if err != nil {
		p.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return page{res.StatusCode, res.Request.URL, string(body), res.Header}
}

var (
	formTag  = regexp.MustCompile(`(?s)<form[^>]*\baction="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<(?:input|button)\b[^>]*>`)
	attr     = regexp.MustCompile(`\b(name|value|type)="([^"]*)"`)
)

// submit sends the first form of a page with the fields given.
func (p *person) submit(at page, fields map[string]string) page {
	p.t.Helper()
	m := formTag.FindStringSubmatch(at.body)
	if m == nil {
		p.t.Fatalf("there is no form at %s (%d):\n%s", at.url, at.status, at.body)
	}
	values := url.Values{}
	for _, tag := range inputTag.FindAllString(m[2], -1) {
		a := map[string]string{}
		for _, kv := range attr.FindAllStringSubmatch(tag, -1) {
			a[kv[1]] = html.UnescapeString(kv[2])
		}
		if a["name"] != "" && a["type"] != "checkbox" {
			values.Set(a["name"], a["value"])
		}
	}
	for name, value := range fields {
		values.Set(name, value)
	}
	action, err := at.url.Parse(html.UnescapeString(m[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, action.String(), strings.NewReader(values.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.do(req)
}

// signIn opens address and goes through the pages of the provider until the app
// is there.
func (p *person) signIn(address string, fields map[string]string) page {
	p.t.Helper()
	at := p.get(address)
	for range 4 {
		if !formTag.MatchString(at.body) {
			return at
		}
		at = p.submit(at, fields)
	}
	p.t.Fatalf("still at %s (%d):\n%s", at.url, at.status, at.body)
	return at
}

// told is what the app was told of a request.
func (at page) told(t *testing.T) map[string]string {
	t.Helper()
	var m map[string]string
	if at.status != http.StatusOK || json.Unmarshal([]byte(at.body), &m) != nil {
		t.Fatalf("got %d at %s, want the app:\n%.2000s", at.status, at.url, at.body)
	}
	return m
}

// panva is a provider of panva's that runs.
type panva struct {
	*process
	url  string
	args []string
}

// newPanva starts one for a gateway at gw. Change edits its clients.
func newPanva(t *testing.T, gw string, ttl int, change func(config, client map[string]any)) *panva {
	t.Helper()
	node := need(t, "node", "nodejs")
	if own, err := filepath.Glob("providers/panva/node_modules/node-linux-*/bin/node"); err == nil && len(own) == 1 {
		node = own[0] // Debian's was too old when the provider was installed
	}
	if _, err := os.Stat("providers/panva/node_modules/oidc-provider"); err != nil {
		missing(t, "panva's oidc-provider is not installed; run: make deps")
	}
	port := freePort(t)
	client := map[string]any{
		"client_id": "evergate", "client_secret": "secret of evergate, with a space", "token_endpoint_auth_method": "client_secret_basic",
		"redirect_uris": []string{gw + "/.evergate/callback/oidc"}, "post_logout_redirect_uris": []string{gw + "/.evergate/logout"},
		"backchannel_logout_uri": gw + "/.evergate/backchannel-logout/oidc", "backchannel_logout_session_required": true,
		"grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
	}
	config := map[string]any{"port": json.Number(port), "ttl": ttl, "clients": []any{client}}
	if change != nil {
		change(config, client)
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("providers/panva")
	if err != nil {
		t.Fatal(err)
	}
	p := &panva{url: "http://127.0.0.1:" + port, args: []string{dir + "/provider.mjs", string(text)}}
	p.process = start(t, t.TempDir(), node, p.args...)
	p.awaitHTTP(t, p.url+"/.well-known/openid-configuration")
	return p
}

// door is where a provider is reached. While it is closed, connections are refused.
type door struct {
	t        *testing.T
	port, to string
	mu       sync.Mutex // guards all below
	listener net.Listener
	through  map[net.Conn]bool
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{t: t, port: freePort(t), through: map[net.Conn]bool{}}
	t.Cleanup(d.close)
	return d
}

func (d *door) open() {
	d.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+d.port)
	if err != nil {
		d.t.Fatal(err)
	}
	d.mu.Lock()
	d.listener = l
	d.mu.Unlock()
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", d.to)
			if err != nil {
				in.Close()
				continue
			}
			d.mu.Lock()
			d.through[in], d.through[out] = true, true
			d.mu.Unlock()
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
}

// close refuses connections and cuts those that are open.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		d.listener.Close()
	}
	for c := range d.through {
		c.Close()
	}
	clear(d.through)
}

// panvaStats are what it counted.
type panvaStats struct {
	Grants         map[string]int `json:"grants"`
	Errors         map[string]int `json:"errors"`
	Revoked        int            `json:"revoked"`
	MostRefreshing int            `json:"mostRefreshing"`
	Logouts        int            `json:"logouts"`
}

func (p *panva) stats(t *testing.T) (s panvaStats) {
	t.Helper()
	res, err := http.Get(p.url + "/test/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func (p *panva) delay(t *testing.T, d time.Duration) {
	t.Helper()
	res, err := http.Get(fmt.Sprintf("%s/test/delay?ms=%d", p.url, d.Milliseconds()))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

var alice = map[string]string{"login": "alice", "password": "x"}

func panvaConfig(issuer, app, more, route string) string {
	return fmt.Sprintf(`identity:
  - oidc:
      issuer: %s
      client_id: evergate
      client_secret_file: secret
      scopes: [openid, profile, email, groups, offline_access]
      claims: { user: preferred_username }
%s
routes:
  - upstream: %s
%s`, issuer, more, app, route)
}

func TestPanvaSignsInRenewsAndSignsOut(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 5, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space\n"})
	who := newPerson(t)
	told := who.signIn(g.url+"/reports?q=1", alice).told(t)
	if told["path"] != "/reports?q=1" || told["user"] != "alice" || told["email"] != "alice@example.com" || told["groups"] != "staff" ||
		!strings.HasPrefix(told["authorization"], "Bearer ") {
		t.Errorf("the app was told %v", told)
	}
	for range 3 {
		time.Sleep(5 * time.Second)
		if next := who.get(g.url + "/").told(t); next["authorization"] == told["authorization"] {
			t.Error("a token life later the app got the same token")
		} else {
			told = next
		}
	}
	if s := p.stats(t); s.Grants["refresh_token"] < 3 || s.Revoked != 0 {
		t.Errorf("the provider counted %+v, want three renewals or more and nothing revoked", s)
	}
	at := who.submit(who.get(g.url+"/.evergate/logout?rd=/bye"), nil)
	if !strings.HasPrefix(at.url.String(), p.url+"/session/end") {
		t.Fatalf("after signing out: at %s (%d), want the provider's page", at.url, at.status)
	}
	at = who.submit(at, map[string]string{"logout": "yes"})
	if at = who.get(g.url + "/"); at.status != http.StatusOK || !strings.Contains(at.url.Path, "/interaction/") {
		t.Errorf("afterwards: at %s (%d), want to have to sign in", at.url, at.status)
	}
}

// storm has n requests in flight at once, again and again, until d has passed. It
// returns how many there were and the slowest.
func (p *person) storm(address string, n int, d time.Duration) (total int, slowest time.Duration) {
	p.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for range n {
		wg.Go(func() {
			for time.Now().Before(end) {
				began := time.Now()
				res, err := p.c.Get(address)
				if err != nil {
					p.t.Errorf("a request failed: %v", err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				mu.Lock()
				total++
				slowest = max(slowest, time.Since(began))
				mu.Unlock()
				if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Request.URL.String(), address) {
					p.t.Errorf("got %d at %s, want 200", res.StatusCode, res.Request.URL)
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return total, slowest
}

// TestPanvaStorm: 200 requests at once at every expiry, with refresh tokens that
// are good once and whose reuse ends the grant, and a provider that takes its time.
func TestPanvaStorm(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay time.Duration
		ttl   int
		last  time.Duration
	}{{"fast", 0, 5, 60 * time.Second}, {"3s", 3 * time.Second, 5, 40 * time.Second}, {"12s", 12 * time.Second, 5, 40 * time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			app, port := newUpstream(t), freePort(t)
			p := newPanva(t, "http://127.0.0.1:"+port, c.ttl, nil)
			g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
			who := newPerson(t)
			who.signIn(g.url+"/", alice).told(t)
			p.delay(t, c.delay)
			total, slowest := who.storm(g.url+"/storm", 200, c.last)
			s := p.stats(t)
			t.Logf("%d requests, the slowest took %v; the provider counted %+v; %d tokens went up", total, slowest, s, app.distinct())
			if s.Revoked != 0 || len(s.Errors) != 0 || s.MostRefreshing > 1 {
				t.Errorf("the provider counted %+v, want one grant at a time and none refused", s)
			}
			if most := int(c.last/(time.Duration(c.ttl)*time.Second*3/4)) + 2; s.Grants["refresh_token"] > most || s.Grants["refresh_token"] < 2 {
				t.Errorf("got %d grants in %v, want one for each expiry: at most %d", s.Grants["refresh_token"], c.last, most)
			}
			if slowest > 2*c.delay+5*time.Second {
				t.Errorf("the slowest request took %v with a provider that takes %v", slowest, c.delay)
			}
		})
	}
}

// TestPanvaOutage: nobody reaches the provider for three lives of an access token.
func TestPanvaOutage(t *testing.T) {
	t.Parallel()
	app, port, door := newUpstream(t), freePort(t), newDoor(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 5, func(config, _ map[string]any) { config["at"] = json.Number(door.port) })
	door.to = strings.TrimPrefix(p.url, "http://")
	door.open()
	p.url = "http://127.0.0.1:" + door.port
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	door.close()
	stopped := time.Now()
	answers := map[int]int{}
	for time.Since(stopped) < 15*time.Second {
		at := who.get(g.url + "/x")
		answers[at.status]++
		switch {
		case at.status == http.StatusServiceUnavailable:
			if at.header.Get("Retry-After") == "" {
				t.Error("a 503 without Retry-After")
			}
			if time.Since(stopped) < 3*time.Second {
				t.Errorf("503 after %v, while the token was good", time.Since(stopped))
			}
		case at.status != http.StatusOK:
			t.Fatalf("got %d at %s", at.status, at.url)
		}
		time.Sleep(200 * time.Millisecond)
	}
	ready := newPerson(t).get(g.admin + "/readyz")
	if ready.status != http.StatusOK || !strings.Contains(ready.body, `"provider oidc":{"ok":false`) {
		t.Errorf("ready during the outage: got %d %s, want the gateway ready and the provider's state", ready.status, ready.body)
	}
	door.open()
	back := time.Now()
	for {
		at := who.get(g.url + "/x")
		if at.status == http.StatusOK {
			at.told(t)
			break
		}
		if time.Since(back) > 45*time.Second {
			t.Fatalf("still %d, 45 s after the provider is back", at.status)
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("answers during the outage: %v; 200 again %v after it; the provider counted %+v", answers, time.Since(back), p.stats(t))
	if answers[503] == 0 {
		t.Error("the outage did not show; this test sees nothing")
	}
}

func TestPanvaPrivateKeyJWTAndPAR(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	gw := "http://127.0.0.1:" + port
	p := newPanva(t, gw, 5, func(config, client map[string]any) {
		config["par"] = true
		delete(client, "client_secret")
		client["token_endpoint_auth_method"] = "private_key_jwt"
		client["jwks_uri"] = gw + "/.evergate/client-jwks/oidc" // the gateway publishes it itself
	})
	config := strings.Replace(panvaConfig(p.url, app.URL, "", ""), "client_secret_file: secret", "client_auth: private_key_jwt\n      client_key_file: key.pem", 1)
	g := newGateway(t, port, config, map[string]string{"key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	time.Sleep(5 * time.Second)
	who.get(g.url + "/").told(t)
	if s := p.stats(t); s.Grants["refresh_token"] < 1 || len(s.Errors) != 0 {
		t.Errorf("the provider counted %+v", s)
	}
}

func TestPanvaTokenForAResource(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 5, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, `      bearer_audiences: ["https://api.example.com/"]`, `  - match: { path: /robots/ }
    upstream: `+app.URL+`
    bearer: true
  - match: { path: /api/ }
    upstream: `+app.URL+`
    token: { resource: "https://api.example.com/" }
  - match: { path: /own/ }
    upstream: `+app.URL+`
    token: { type: evergate, audience: reports }
  - match: { path: /id/ }
    upstream: `+app.URL+`
    token: { type: id }
  - match: { path: /none/ }
    upstream: `+app.URL+`
    token: { type: none }
`), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	for range 3 {
		for path, want := range map[string]map[string]any{
			"/api/x":  {"iss": p.url, "aud": "https://api.example.com/"},
			"/own/x":  {"iss": g.url + "/.evergate", "aud": "[reports]", "sub": "alice"},
			"/id/x":   {"iss": p.url, "aud": "evergate", "sub": "alice"},
			"/none/x": nil,
		} {
			told := who.get(g.url + path).told(t)
			raw, there := strings.CutPrefix(told["authorization"], "Bearer ")
			if want == nil {
				if there {
					t.Errorf("%s: the app got a token", path)
				}
				continue
			}
			claims := claimsOf(t, raw)
			for name, value := range want {
				if fmt.Sprint(claims[name]) != fmt.Sprint(value) {
					t.Errorf("%s: got %s %v, want %v", path, name, claims[name], value)
				}
			}
		}
		time.Sleep(4 * time.Second)
	}
	if s := p.stats(t); s.Revoked != 0 || len(s.Errors) != 0 || s.MostRefreshing > 1 {
		t.Errorf("the provider counted %+v, want no grant refused", s)
	}

	// The same token in an API client's own hands, without any cookie.
	robot, own := newPerson(t), who.get(g.url + "/api/x").told(t)["authorization"]
	for _, c := range []struct {
		path, token string
		status      int
	}{
		{"/robots/x", own, 200},
		{"/robots/x", own[:len(own)-4] + "AAAA", 401},
		{"/robots/x", "Bearer " + strings.TrimPrefix(who.get(g.url + "/id/x").told(t)["authorization"], "Bearer "), 401},
		{"/api/x", own, 401}, // a route that takes none
	} {
		req, err := http.NewRequest(http.MethodGet, g.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", c.token)
		req.Header.Set("Sec-Fetch-Mode", "cors")
		at := robot.do(req)
		if at.status != c.status || c.status == 200 && (at.told(t)["user"] != "alice" || at.told(t)["authorization"] != own) {
			t.Errorf("%s with %.30s…: got %d %.300s, want %d", c.path, c.token, at.status, at.body, c.status)
		}
		if c.status == 401 && !strings.Contains(at.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%s: got challenge %q", c.path, at.header.Get("WWW-Authenticate"))
		}
	}
}

func claimsOf(t *testing.T, raw string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("got %q, want a JWT", raw)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &claims) != nil {
		t.Fatalf("the claims of %q cannot be read", raw)
	}
	return claims
}

// TestPanvaBackchannelLogout: the person signs out at the provider, and the
// gateway's session ends with its streams.
func TestPanvaBackchannelLogout(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 60, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	res, err := who.c.Get(g.url + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	closed := make(chan time.Time, 1)
	go func() {
		_, _ = io.Copy(io.Discard, res.Body)
		closed <- time.Now()
	}()
	who.submit(who.get(p.url+"/session/end"), map[string]string{"logout": "yes"})
	out := time.Now()
	select {
	case at := <-closed:
		t.Logf("the stream closed %v after the sign-out", at.Sub(out))
	case <-time.After(3 * time.Second):
		t.Error("the stream is still open")
	}
	if s := p.stats(t); s.Logouts != 1 {
		t.Errorf("the provider counted %+v, want one back-channel logout answered with 200", s)
	}
	if at := who.get(g.url + "/"); !strings.Contains(at.url.Path, "/interaction/") && !strings.Contains(at.url.Path, "/.evergate/") {
		t.Errorf("afterwards: at %s (%d), want to have to sign in", at.url, at.status)
	}
}

// TestPanvaHangUps: a browser that goes away in the middle of a renewal does the
// session no harm.
func TestPanvaHangUps(t *testing.T) {
	t.Parallel()
	app, port := newUpstream(t), freePort(t)
	p := newPanva(t, "http://127.0.0.1:"+port, 1, nil)
	g := newGateway(t, port, panvaConfig(p.url, app.URL, "", ""), map[string]string{"secret": "secret of evergate, with a space"})
	who := newPerson(t)
	who.signIn(g.url+"/", alice).told(t)
	p.delay(t, 200*time.Millisecond)
	hung := 0
	for range 100 {
		time.Sleep(1300 * time.Millisecond) // the token is over
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := who.c.Do(req); err != nil {
			hung++
		} else {
			res.Body.Close()
		}
		cancel()
	}
	who.get(g.url + "/").told(t)
	s := p.stats(t)
	t.Logf("%d of 100 requests hung up in the middle; the provider counted %+v", hung, s)
	if hung < 90 || s.Revoked != 0 || len(s.Errors) != 0 || s.MostRefreshing > 1 {
		t.Errorf("%d hung up, the provider counted %+v; want nearly all to, and no grant refused", hung, s)
	}
}

func TestZitadelSignsInRenewsAndSignsOut(t *testing.T) {
	t.Parallel()
	app, port, at := newUpstream(t), freePort(t), freePort(t)
	gw := "http://localhost:" + port
	bin := filepath.Join(t.TempDir(), "zitadel")
	if out, err := exec.Command("go", "build", "-o", bin, "./providers/zitadel").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	p := start(t, t.TempDir(), bin, at, "5s", gw+"/.evergate/callback/z", gw+"/.evergate/logout")
	issuer := "http://localhost:" + at + "/"
	p.awaitHTTP(t, issuer+".well-known/openid-configuration")
	dir := t.TempDir()
	g := &gateway{t: t, dir: dir, url: gw, config: filepath.Join(dir, "evergate.yaml")}
	config := fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
admin: { listen: "127.0.0.1:%s" }
identity:
  - oidc: { name: z, issuer: %q, client_id: web, client_secret: secret, claims: { user: preferred_username }, userinfo: true }
routes:
  - upstream: %s
`, port, gw, freePort(t), issuer, app.URL)
	if err := os.WriteFile(g.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.serve()
	who := newPerson(t)
	told := who.signIn(gw+"/", map[string]string{"username": "test-user2", "password": "verysecure"}).told(t)
	if told["user"] != "test-user2" || told["email"] != "test-user2@zitadel.ch" {
		t.Errorf("the app was told %v", told)
	}
	total, _ := who.storm(gw+"/storm", 100, 20*time.Second)
	var stats map[string]int
	res, err := http.Get(issuer + "test/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&stats); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests, %d renewals", total, stats["refreshed"])
	if n := stats["refreshed"]; n < 3 || n > 7 {
		t.Errorf("got %d renewals in 20 s of 5 s tokens, want one for each expiry", n)
	}
	out := who.submit(who.get(gw+"/.evergate/logout"), nil)
	if out.url.Path != "/.evergate/logout" || !strings.Contains(out.body, "Signed out") {
		t.Errorf("signed out: at %s (%d)", out.url, out.status)
	}
}
