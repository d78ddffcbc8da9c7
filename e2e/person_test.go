package e2e

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
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
	return newGatewayAt(t, "127.0.0.1", port, config, files)
}

// newGatewayAt is newGateway under a name of this machine that browsers know.
func newGatewayAt(t *testing.T, host, port, config string, files map[string]string) *gateway {
	t.Helper()
	dir := t.TempDir()
	g := &gateway{t: t, dir: dir, url: "http://127.0.0.1:" + port, admin: "http://127.0.0.1:" + freePort(t), config: filepath.Join(dir, "evergate.yaml")}
	files["evergate.yaml"] = fmt.Sprintf("listen: 127.0.0.1:%s\npublic_url: %s\nadmin: { listen: %q }\nlog: { level: debug }\n%s",
		port, "http://"+host+":"+port, strings.TrimPrefix(g.admin, "http://"), config)
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
