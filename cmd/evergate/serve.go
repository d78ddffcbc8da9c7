package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/config"
)

func (p *program) serveCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the gateway",
		Long: "Run the gateway until SIGINT or SIGTERM. The first signal lets requests finish,\n" +
			"the second one ends at once.",
		Example: "  evergate serve --config evergate.yaml",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := configPath(path)
			if err != nil {
				return err
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			return p.serve(cmd.Context(), cfg, file)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (p *program) serve(ctx context.Context, cfg *config.Config, file string) error {
	log, level := newLog(p.err, cfg.Log)
	for _, w := range cfg.Warnings() {
		log.Warn("config", "at", w.Error())
	}
	g, err := build(cfg, log, parts{Level: level})
	if err != nil {
		return err
	}
	defer func() { closeLogged(log, g) }()
	told := &serviceManager{log: log}
	reloads := newReloader(g, file, log, told)
	ls, err := openListeners(cfg)
	if err != nil {
		return err
	}
	defer ls.Close()
	p.announce(cfg, file, ls.front.Addr())
	return runServers(ctx, g, log, ls, told, func() (stop func()) {
		files := reloads.follow()
		hangups := onHangup(func() { reloads.reload("SIGHUP") })
		return func() {
			hangups()
			_ = files.Close()
		}
	})
}

// announce says what is protected, how to sign in and what to type next.
func (p *program) announce(cfg *config.Config, file string, on net.Addr) {
	fmt.Fprintf(p.err, "Evergate protects %s at %s (listening on %s).\n", upstreams(cfg), cfg.PublicURL, on)
	for _, id := range cfg.Identity {
		switch {
		case id.Local != nil:
			fmt.Fprintf(p.err, "Sign in at %s/.evergate/login with a user of the users file; list them with: evergate user list --config %s\n", cfg.PublicURL, file)
		case id.OIDC != nil:
			fmt.Fprintf(p.err, "Sign in at %s/.evergate/login/%s with an account of %s; its redirect URI is %s/.evergate/callback/%s\n",
				cfg.PublicURL, id.OIDC.Name, id.OIDC.Issuer, cfg.PublicURL, id.OIDC.Name)
		}
	}
	fmt.Fprintf(p.err, "Is it well?  evergate healthcheck --config %s\n", file)
	if cfg.PublicURL.Scheme == "http" {
		fmt.Fprintln(p.err, "public_url is plain http on a loopback name: the session cookie is not Secure. For this machine only.")
	}
}

func upstreams(cfg *config.Config) string {
	var all []string
	seen := map[string]bool{}
	for _, r := range cfg.Routes {
		if u := r.String(); !seen[u] {
			seen[u] = true
			all = append(all, u)
		}
	}
	return strings.Join(all, ", ")
}

func listen(address, key string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &hinted{fmt.Errorf("%s: %w", key, err), "free the address, or set " + key + " to another one"}
	}
	return l, nil
}

// runServers serves until ctx ends, then lets requests finish. While it is up, beside
// runs, if set.
func runServers(ctx context.Context, g *gateway, log *slog.Logger, ls *listeners, told *serviceManager, beside func() (stop func())) error {
	var draining atomic.Bool
	g.Admin.Draining = draining.Load
	// Streams and upgraded connections have no end of their own; they are told
	// through the context of their requests.
	requests, endRequests := context.WithCancel(context.Background())
	defer endRequests()
	public := newDoor(requests, g, g.config(), log)
	g.Applied = func(cfg *config.Config) { public.Reconfigure(cfg.Limits.ConnectionsPerAddress, cfg.TrustedProxies) }
	private := &http.Server{Handler: g.Admin, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(debugOnly{log.Handler()}, slog.LevelDebug)}
	failed := make(chan error, 2)
	go func() { failed <- public.Serve(ls.front, ls.redirect) }()
	go func() { failed <- serveOn(private, ls.back) }()
	log.Info("evergate is up", "listen", ls.front.Addr().String(), "admin", ls.back.Addr().String(), "version", version)
	told.ready()
	if beside != nil {
		defer beside()()
	}

	running := 2
	var first error
	select {
	case <-ctx.Done():
		log.Info("going down: requests may finish, a second signal ends at once", "within", g.config().Limits.ShutdownTimeout)
	case first = <-failed:
		running--
	}
	draining.Store(true)
	told.stopping()
	most := g.config().Limits.ShutdownTimeout
	shut, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	context.AfterFunc(shut, endRequests)
	// Half of the time is for requests that end by themselves, then streams are told.
	nudge := time.AfterFunc(most/2, endRequests)
	defer nudge.Stop()
	err := public.Shutdown(shut)
	endRequests()
	err = errors.Join(first, ignoreDeadline(err), private.Shutdown(shut))
	_ = public.Close()
	_ = private.Close()
	for range running {
		err = errors.Join(err, <-failed)
	}
	return err
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func serveOn(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

func closeLogged(log *slog.Logger, c io.Closer) {
	if err := c.Close(); err != nil {
		log.Error("closing", "err", err)
	}
}
