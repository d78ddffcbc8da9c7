package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
)

// gateway is `evergate serve` with a folder of its own, before an upstream that
// answers in a word.
type gateway struct {
	bin, file, data, key, users string
	base, port                  string
	upstream                    *httptest.Server
	cmd                         *exec.Cmd
	log                         string
}

func newGateway(ctx context.Context, dir, bin string) (*gateway, error) {
	g := &gateway{bin: bin, file: filepath.Join(dir, "evergate.yaml"), data: filepath.Join(dir, "data"),
		key: filepath.Join(dir, "evergate.key"), users: filepath.Join(dir, "users.yaml"), log: filepath.Join(dir, "log")}
	if err := os.MkdirAll(g.data, 0o700); err != nil {
		return nil, err
	}
	if text, err := exec.CommandContext(ctx, bin, "key", "new", "--out", g.key).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("evergate key new: %w: %s", err, text)
	}
	hash, err := local.NewHasher(1).Hash(ctx, password)
	if err != nil {
		return nil, err
	}
	if err := config.SaveUsers(g.users, []config.User{{Name: user, Password: hash, Email: "alice@example.com", Groups: []string{"staff"}}}); err != nil {
		return nil, err
	}
	var admin string
	if g.port, err = freePort(); err != nil {
		return nil, err
	}
	if admin, err = freePort(); err != nil {
		return nil, err
	}
	g.base = "http://127.0.0.1:" + g.port
	g.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app") }))
	yaml := fmt.Sprintf(`listen: 127.0.0.1:%s
public_url: %s
data_dir: data
admin: { listen: 127.0.0.1:%s }
log: { level: warn }
keys: { files: [evergate.key] }
access_token: { ttl: %s }
identity:
  - local: { users_file: users.yaml }
routes:
  - upstream: %s
`, g.port, g.base, admin, ttl, g.upstream.URL)
	if err := os.WriteFile(g.file, []byte(yaml), 0o600); err != nil {
		g.upstream.Close()
		return nil, err
	}
	return g, nil
}

// start starts the gateway and waits for the first answer to somebody who is
// signed in. It returns how long that took.
func (g *gateway) start(ctx context.Context, cookie *http.Cookie) (time.Duration, error) {
	log, err := os.Create(g.log)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	g.cmd = exec.Command(g.bin, "serve", "--config", g.file)
	g.cmd.Stderr = log
	began := time.Now()
	if err := g.cmd.Start(); err != nil {
		return 0, err
	}
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for time.Since(began) < 5*time.Minute && ctx.Err() == nil {
		if err := g.get(ctx, client, cookie); err == nil {
			return time.Since(began), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, errors.Join(ctx.Err(), fmt.Errorf("it does not answer:\n%s", g.said()), g.kill())
}

// get asks for the page of the app as a browser that is signed in.
func (g *gateway) get(ctx context.Context, client *http.Client, cookie *http.Cookie) error {
	req, err := http.NewRequestWithContext(ctx, "GET", g.base+"/", nil)
	if err != nil {
		return err
	}
	req.AddCookie(cookie)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || string(body) != "app" {
		return fmt.Errorf("got %d, want the app's page", res.StatusCode)
	}
	return nil
}

func (g *gateway) pid() int { return g.cmd.Process.Pid }

// stop ends the gateway in order.
func (g *gateway) stop() error { return g.end(os.Interrupt) }

// kill ends it as a crash does.
func (g *gateway) kill() error { return g.end(os.Kill) }

func (g *gateway) end(how os.Signal) error {
	if g.cmd == nil {
		return nil
	}
	if err := g.cmd.Process.Signal(how); err != nil {
		return err
	}
	err := g.cmd.Wait()
	g.cmd = nil
	if err != nil && how != os.Kill {
		return fmt.Errorf("the gateway ended with %w:\n%s", err, g.said())
	}
	return nil
}

// said is what the gateway has logged since its start.
func (g *gateway) said() string {
	b, err := os.ReadFile(g.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Close ends what runs.
func (g *gateway) Close() {
	_ = g.kill()
	g.upstream.Close()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
