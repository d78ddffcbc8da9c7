package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/cmd/evergate/internal/demo"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
)

func (p *program) demoCmd() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "demo", Short: "See all of it work, with nothing prepared and nothing left behind",
		Long: "Run gateway, users, keys and a small app without sign-in in this one process.\n" +
			"Nothing is written to disk. Access tokens live 30 seconds, so that renewal can be\n" +
			"watched.",
		Example: "  evergate demo\n  evergate demo --listen 127.0.0.1:9000",
		Args:    exactly(0, ""),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.demo(cmd.Context(), address) },
	}
	cmd.Flags().StringVar(&address, "listen", "", "address of the gateway (default: localhost:8080, or the next free port)")
	return cmd
}

func (p *program) demo(ctx context.Context, address string) error {
	appListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("a port for the demo app: %w", err)
	}
	app := demo.NewApp(demo.Options{})
	defer serveBeside(appListener, app)()
	defer app.Close()
	cfg := config.Default()
	cfg.AccessToken.TTL = 30 * time.Second
	cfg.Session.RotationGrace = 5 * time.Second
	return p.protect(ctx, &cfg, protection{
		address: address, user: "alice", groups: []string{"staff"}, email: "alice@example.com",
		upstream: &url.URL{Scheme: "http", Host: appListener.Addr().String()},
		provider: true,
		intro:    "Evergate demo: gateway, users, keys, sessions and an app without sign-in, all in this process; nothing is written to disk.",
		next: []string{
			"Open the url and sign in. The app behind it knows no sign-in; its page shows what it receives.",
			"Wait: the access token lives 30 s here and is renewed under the page, the stream and the socket.",
			"Post the form, sign out in another tab and post again: sign in, and it is still there.",
			"Then your own app, with no file:  evergate dev 3000",
		},
	})
}

// serveBeside serves on l until stop, which waits for its end.
func serveBeside(l net.Listener, h http.Handler) (stop func()) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	return func() {
		_ = server.Close()
		<-done
	}
}

func (p *program) devCmd() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "dev TARGET", Short: "Protect an app of your own, with no file at all",
		Long: "Put a sign-in in front of an app that runs on this machine. TARGET is a port, a\n" +
			"URL or unix:///path/to/socket. Users, keys and sessions live in this process and end with it.",
		Example: "  evergate dev 3000\n  evergate dev http://127.0.0.1:3000 --listen localhost:9000",
		Args:    exactly(1, "the app to protect: a port or a URL, or a unix socket"),
		RunE: func(cmd *cobra.Command, args []string) error {
			upstream, err := target(args[0])
			if err != nil {
				return err
			}
			cfg := config.Default()
			return p.protect(cmd.Context(), &cfg, protection{
				address: address, user: "dev", upstream: upstream,
				intro: "Evergate protects " + upstream.String() + "; nothing is written to disk.",
				next: []string{
					"Open the url and sign in. Your app gets Authorization: Bearer … and X-Forwarded-User with every request.",
					"Keep it:  evergate init --upstream " + upstream.String(),
				},
			})
		},
	}
	cmd.Flags().StringVar(&address, "listen", "", "address of the gateway (default: localhost:8080, or the next free port)")
	return cmd
}

// protection is what demo and dev differ in.
type protection struct {
	address     string
	user, email string
	groups      []string
	upstream    *url.URL
	intro       string
	next        []string
	provider    bool // a small OpenID provider is a second way in
}

// protect runs a gateway of one route and one user, kept in memory.
func (p *program) protect(ctx context.Context, cfg *config.Config, pr protection) error {
	front, err := firstFree(pr.address)
	if err != nil {
		return err
	}
	defer front.Close()
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("a port for the admin listener: %w", err)
	}
	defer back.Close()
	cfg.Listen, cfg.Admin.Listen = front.Addr().String(), back.Addr().String()
	cfg.PublicURL = publicURL(pr.address, front)
	cfg.Log.Level = slog.LevelWarn
	cfg.Routes = []config.Route{{Name: "app", Upstream: config.NewUpstream(pr.upstream), Timeouts: config.DefaultTimeouts}}
	password := newPassword()
	users, err := oneUser(context.WithoutCancel(ctx), pr, password) // whoever ends it now is told no fault of ours
	if err != nil {
		return err
	}
	if pr.provider {
		provider, o, err := startProvider(cfg.PublicURL, password, cfg.AccessToken.TTL)
		if err != nil {
			return err
		}
		defer provider.Close()
		cfg.Identity = []config.Identity{{OIDC: o}}
		pr.next = append(pr.next, "A second way in: the demo provider, as "+demoPerson+" with the same password. Its refresh tokens are good once.",
			"Break it (503, slow, new keys, revoked), and watch the app:  "+provider.control())
	}
	log, control := p.openLog(cfg.Log)
	defer p.lastWords()
	token := newPassword()
	g, err := build(cfg, log, parts{Users: users, AdminToken: token, Log: control})
	if err != nil {
		return err
	}
	defer func() { closeLogged(log, g) }()
	fmt.Fprintln(p.err, pr.intro)
	fmt.Fprintf(p.out, "url:      %s\nuser:     %s\npassword: %s\n", cfg.PublicURL, pr.user, password.Reveal())
	for _, line := range pr.next {
		fmt.Fprintln(p.err, "  - "+line)
	}
	fmt.Fprintf(p.err, "dashboard: http://%s/\ntoken:     %s\n", back.Addr(), token.Reveal())
	fmt.Fprintln(p.err, "Plain http on a loopback name: the cookie is not Secure, so that every browser keeps it. Ctrl-C ends it.")
	return startServers(g, log, &listeners{front: front, back: back}, &serviceManager{log: log}).run(ctx, nil, nil, nil)
}

func oneUser(ctx context.Context, pr protection, password secret.Text) ([]local.User, error) {
	hash, err := local.NewHasher(1).Hash(ctx, password.Reveal())
	if err != nil {
		return nil, err
	}
	return []local.User{{Name: pr.user, Password: hash, Groups: pr.groups, Email: pr.email}}, nil
}

// firstFree listens on address, or on localhost:8080 or the next free port.
func firstFree(address string) (net.Listener, error) {
	if address != "" {
		return listen(address, "--listen")
	}
	for port := 8080; port < 8180; port++ {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return l, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EACCES) {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	return nil, &hinted{errors.New("no port from 8080 to 8179 is free"), "--listen 127.0.0.1:0"}
}

// publicURL is how a browser on this machine reaches l. The host that was asked
// for is kept, since cookies belong to host names.
func publicURL(asked string, l net.Listener) *url.URL {
	host := "localhost"
	if h, _, err := net.SplitHostPort(asked); err == nil && h != "" {
		if ip := net.ParseIP(h); ip == nil || ip.IsLoopback() {
			host = h
		}
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
}
