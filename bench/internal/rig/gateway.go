package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
)

// Who can sign in, at the gateway itself and at Provider.
const (
	User     = "alice"
	Password = "a few words in a row"
)

// CookieName is that of the session cookie, the same on all replicas.
const CookieName = "evergate-bench"

// GatewayOptions say what a gateway is like. Otherwise it is as people run it: the access
// log goes to a file, metrics are on, and the key ring is a file.
type GatewayOptions struct {
	// Store is bolt, redis or cookie; "" is bolt. Redis is the address of the server.
	Store, Redis string
	// Upstream is where the only route leads, which asks for a sign-in. In its place
	// Routes is what stands under routes: in the config.
	Upstream, Routes string
	// Provider signs people in; nil has local users do.
	Provider *Provider
	// TTL is how long access tokens of local users live; zero is an hour, so that none is
	// renewed while something else is measured.
	TTL time.Duration
	// RenewBefore is access_token.renew_before; "" is the default.
	RenewBefore string
	// LogLevel is log.level; "" is info.
	LogLevel string
	// Like is a gateway of which this one is a replica: it has its public address, keys
	// and users.
	Like *Gateway
	// More is more of the config: whole keys.
	More string
	// Env is added to the environment.
	Env []string
}

// Gateway is `evergate serve` with a folder of its own. Between NewGateway and Start its
// store can be filled.
type Gateway struct {
	*Process // since Start
	// Dir has the config, evergate.yaml, and Data is its data_dir.
	Dir, Data string
	// Address is where it listens, and Admin its admin listener. Base is its public_url,
	// and Host the Host header of it.
	Address, Admin, Base, Host string

	rig     *Rig
	options GatewayOptions
	key     string
	users   string
}

// NewGateway writes the config of a gateway.
func (r *Rig) NewGateway(ctx context.Context, o GatewayOptions) (*Gateway, error) {
	if o.Store == "" {
		o.Store = "bolt"
	}
	dir, err := r.folder("gateway-" + o.Store)
	if err != nil {
		return nil, err
	}
	g := &Gateway{Dir: dir, Data: filepath.Join(dir, "data"), rig: r, options: o,
		key: filepath.Join(dir, "evergate.key"), users: filepath.Join(dir, "users.yaml")}
	if g.Address, err = freeAddress(); err != nil {
		return nil, err
	}
	if g.Admin, err = freeAddress(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(g.Data, 0o700); err != nil {
		return nil, err
	}
	if like := o.Like; like != nil {
		g.Host, g.key, g.users = like.Host, like.key, like.users
	} else {
		g.Host = g.Address
		if text, err := exec.CommandContext(ctx, r.Evergate, "key", "new", "--out", g.key).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("evergate key new: %w: %s", err, text)
		}
		hash, err := local.NewHasher(1).Hash(ctx, Password)
		if err != nil {
			return nil, err
		}
		if err := config.SaveUsers(g.users, []config.User{{Name: User, Password: hash, Email: "alice@example.com", Groups: []string{"staff"}}}); err != nil {
			return nil, err
		}
	}
	g.Base = "http://" + g.Host
	return g, os.WriteFile(g.file(), []byte(g.yaml()), 0o600)
}

func (g *Gateway) file() string { return filepath.Join(g.Dir, "evergate.yaml") }

func (g *Gateway) yaml() string {
	o := g.options
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("listen: %s", g.Address)
	p("public_url: %s", g.Base)
	p("data_dir: %s", g.Data)
	p("admin: { listen: %s }", g.Admin)
	p("log: { level: %s, format: json }", orText(o.LogLevel, "info"))
	p("keys: { files: [ %s ] }", g.key)
	p("limits: { connections_per_address: 0 }") // here all are from one
	p("access_token: { ttl: %s, renew_before: %s }", g.ttl(), orText(o.RenewBefore, "20%"))
	p("session:\n  store: %s\n  cookie: { name: %s }", o.Store, CookieName)
	if o.Redis != "" {
		p("  redis: { addresses: [ %q ] }", o.Redis)
	}
	if o.Provider == nil {
		p("identity: [ local: { users_file: %s } ]", g.users)
	} else {
		p("identity:\n  - oidc: { name: %s, issuer: %q, client_id: %s, client_secret: %s, scopes: [openid, profile, email, offline_access] }",
			providerName, o.Provider.Issuer, o.Provider.client, o.Provider.secret)
	}
	if o.More != "" {
		p("%s", o.More)
	}
	if o.Routes != "" {
		p("routes:\n%s", o.Routes)
	} else {
		p("routes: [ upstream: %q ]", o.Upstream)
	}
	return b.String()
}

func (g *Gateway) ttl() time.Duration {
	if g.options.TTL > 0 {
		return g.options.TTL
	}
	return time.Hour
}

func orText(s, or string) string {
	if s == "" {
		return or
	}
	return s
}

// Start starts the gateway, for the first time or again, and waits until it is ready.
func (g *Gateway) Start(ctx context.Context) error {
	if p := g.options.Provider; p != nil {
		if err := p.register(g.Base); err != nil {
			return err
		}
	}
	var err error
	if g.Process, err = g.rig.start(ctx, "evergate", g.Dir, g.options.Env, g.rig.Evergate, "serve", "--config", g.file()); err != nil {
		return err
	}
	if err := g.listens(ctx, g.Address); err != nil {
		return err
	}
	for end := time.Now().Add(startWithin); ; {
		code, text, err := g.admin(ctx, "/readyz")
		if err == nil && code == http.StatusOK {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("the gateway does not get ready: got %d %s, %w\n%s", code, text, err, g.Said()))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// admin asks the admin listener.
func (g *Gateway) admin(ctx context.Context, path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.Admin+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	return res.StatusCode, string(body), err
}

// Get asks the gateway for a path as a browser with these cookies, and reads the answer.
// Anything but 200 is an error.
func (g *Gateway) Get(ctx context.Context, client *http.Client, path, cookies string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.Address+path, nil)
	if err != nil {
		return nil, err
	}
	req.Host = g.Host
	req.Header.Set("Cookie", cookies)
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: got %d, want the app's 200:\n%s\n%s", path, res.StatusCode, body[:min(len(body), 500)], g.Said())
	}
	return body, nil
}
