//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/evergate/evergate/config"
)

// process is `evergate serve`, as an operator runs it.
type process struct {
	*testing.T
	bin, file, base  string
	cmd              *exec.Cmd
	out              safeBuffer
	adminAt, dataDir string
}

func (p *process) start() {
	p.Helper()
	p.out.Reset()
	p.prepare()
	p.cmd.Stderr = &p.out
	if err := p.cmd.Start(); err != nil {
		p.Fatal(err)
	}
	p.serves()
}

func (p *process) serves() {
	p.Helper()
	p.within("that it starts", func() bool {
		res, err := http.Get(p.base + "/.evergate/ping")
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
}

func (p *process) prepare() { p.cmd = exec.Command(p.bin, "serve", "--config", p.file) }

func (p *process) kill() {
	p.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.Fatal(err)
	}
	_ = p.cmd.Wait()
}

// browser is a jar of cookies and what its owner knows of it.
type browser struct {
	client *http.Client
	in     bool
}

func (b *browser) get(ctx context.Context, base string) (int, error) {
	req, _ := http.NewRequestWithContext(ctx, "GET", base+"/", nil)
	res, err := b.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

func (b *browser) post(base, path string, form url.Values) (int, error) {
	res, err := b.client.PostForm(base+path, form)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// TestKillAnywhere kills the gateway with -9 fifty times while people use it,
// sign in and sign out. Nobody who was signed in is out afterwards, and nobody
// whose sign-out was answered is back. Each is at home somewhere else: a sign-in that
// was killed counts as a failure of its address, and fifty are too many for one.
func TestKillAnywhere(t *testing.T) {
	t.Parallel()
	kills := 50
	if testing.Short() {
		kills = 5
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") }))
	defer upstream.Close()
	p := newProcess(t, upstream.URL)
	p.start()
	defer func() { p.kill() }()

	in := make([]*browser, 6)
	for i := range in {
		in[i] = newBrowser(t)
		signInAgain(t, p, in[i])
	}
	var out []*browser
	for round := range kills {
		leaving, joining := newBrowser(t), newBrowser(t)
		signInAgain(t, p, leaving)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, b := range in {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = b.get(ctx, p.base)
				}
			})
		}
		wg.Go(func() {
			if code, err := leaving.post(p.base, "/.evergate/logout", nil); err == nil && code == 200 {
				leaving.in = false
			}
		})
		wg.Go(func() {
			code, err := joining.post(p.base, "/.evergate/login", url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/"}})
			joining.in = err == nil && code == 200
		})
		time.Sleep(time.Duration(20+7*(round%40)) * time.Millisecond)
		p.kill()
		cancel()
		wg.Wait()
		p.start()

		for i, b := range append(in[:len(in):len(in)], joining) {
			if code, err := b.get(t.Context(), p.base); b.in && (err != nil || code != 200) {
				t.Fatalf("kill %d: browser %d was signed in, got %d, %v\n%s", round, i, code, err, &p.out)
			}
		}
		if !leaving.in {
			out = append(out, leaving)
		}
		for i, b := range out {
			if code, err := b.get(t.Context(), p.base); err != nil || code != http.StatusUnauthorized {
				t.Fatalf("kill %d: browser %d had signed out, got %d, %v, want 401", round, i, code, err)
			}
		}
	}
	if len(out) == 0 {
		t.Error("no sign-out was answered before a kill; the test has shown half of its claim")
	}
	t.Logf("%d kills; %d sign-outs were answered, and stayed", kills, len(out))
}

func newProcess(t *testing.T, upstream string) *process {
	t.Helper()
	dir := t.TempDir()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	if err := config.SaveUsers(filepath.Join(dir, "users.yaml"), []config.User{{Name: "alice", Password: testHash}}); err != nil {
		t.Fatal(err)
	}
	p := &process{T: t, bin: evergateBinary(t), file: filepath.Join(dir, "evergate.yaml"), base: "http://127.0.0.1:" + port}
	yaml := fmt.Sprintf(`
listen: 127.0.0.1:%s
public_url: %s
trusted_proxies: [127.0.0.1]
admin: { listen: 127.0.0.1:%s }
access_token: { ttl: 30s }
session: { rotation_grace: 1s }
identity:
  - local: { users_file: users.yaml }
routes:
  - upstream: %s
`, port, p.base, admin, upstream)
	if err := os.WriteFile(p.file, []byte(strings.TrimSpace(yaml)), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

var homes atomic.Int32

// from says, as a front proxy does, where a request comes from.
type from struct {
	*http.Transport
	addr netip.Addr
}

func (f from) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", f.addr.String())
	return f.Transport.RoundTrip(r)
}

func newBrowser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrFrom4([4]byte{192, 0, 2, byte(homes.Add(1))})
	b := &browser{client: &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: from{&http.Transport{}, at}}}
	t.Cleanup(b.client.CloseIdleConnections)
	return b
}

func signInAgain(t *testing.T, p *process, b *browser) {
	t.Helper()
	code, err := b.post(p.base, "/.evergate/login", url.Values{"username": {"alice"}, "password": {testPassword}, "rd": {"/"}})
	if err != nil || code != 200 {
		t.Fatalf("sign in: got %d, %v\n%s", code, err, &p.out)
	}
	b.in = true
}
