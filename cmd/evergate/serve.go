package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
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
	log := newLog(p.err, cfg.Log)
	for _, w := range cfg.Warnings() {
		log.Warn("config", "at", w.Error())
	}
	ignoreHangup(ctx, log)
	g, err := build(cfg, log, parts{})
	if err != nil {
		return err
	}
	defer func() { closeLogged(log, g) }()
	front, err := listen(cfg.Listen, "listen")
	if err != nil {
		return err
	}
	defer front.Close()
	back, err := listen(cfg.Admin.Listen, "admin.listen")
	if err != nil {
		return err
	}
	defer back.Close()
	p.announce(cfg, file)
	return runServers(ctx, g, cfg, log, front, back)
}

// announce says what is protected, how to sign in and what to type next.
func (p *program) announce(cfg *config.Config, file string) {
	fmt.Fprintf(p.err, "Evergate protects %s at %s (listening on %s).\n", upstreams(cfg), cfg.PublicURL, cfg.Listen)
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
		if u := r.Upstream.String(); !seen[u] {
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

// runServers serves until ctx ends, then lets requests finish.
func runServers(ctx context.Context, g *gateway, cfg *config.Config, log *slog.Logger, front, back net.Listener) error {
	var draining atomic.Bool
	g.Admin.Draining = draining.Load
	// Streams and upgraded connections have no end of their own; they are told
	// through the context of their requests.
	requests, endRequests := context.WithCancel(context.Background())
	defer endRequests()
	public := &http.Server{
		Handler: g.Public, MaxHeaderBytes: int(cfg.Limits.HeaderBytes), DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: cfg.Limits.HeaderTimeout, IdleTimeout: cfg.Limits.IdleTimeout,
		BaseContext: func(net.Listener) context.Context { return requests },
		ErrorLog:    slog.NewLogLogger(debugOnly{log.Handler()}, slog.LevelDebug),
	}
	private := &http.Server{Handler: g.Admin, ReadHeaderTimeout: 5 * time.Second, ErrorLog: public.ErrorLog}
	failed := make(chan error, 2)
	go func() { failed <- serveOn(public, front, cfg.TLS) }()
	go func() { failed <- serveOn(private, back, config.TLS{}) }()
	log.Info("evergate is up", "listen", front.Addr().String(), "admin", back.Addr().String(), "version", version)

	running := 2
	var first error
	select {
	case <-ctx.Done():
		log.Info("going down: requests may finish, a second signal ends at once", "within", cfg.Limits.ShutdownTimeout)
	case first = <-failed:
		running--
	}
	draining.Store(true)
	shut, cancel := context.WithTimeout(context.Background(), cfg.Limits.ShutdownTimeout)
	defer cancel()
	context.AfterFunc(shut, endRequests)
	// Half of the time is for requests that end by themselves, then streams are told.
	nudge := time.AfterFunc(cfg.Limits.ShutdownTimeout/2, endRequests)
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

func serveOn(s *http.Server, l net.Listener, tls config.TLS) error {
	var err error
	if tls.CertFile != "" {
		err = s.ServeTLS(l, tls.CertFile, tls.KeyFile)
	} else {
		err = s.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve %s: %w", l.Addr(), err)
}

func closeLogged(log *slog.Logger, c io.Closer) {
	if err := c.Close(); err != nil {
		log.Error("closing", "err", err)
	}
}

// ignoreHangup keeps a closed terminal or a habit from other servers from
// ending the gateway.
func ignoreHangup(ctx context.Context, log *slog.Logger) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	context.AfterFunc(ctx, func() {
		signal.Stop(hup)
		close(hup)
	})
	go func() {
		for range hup {
			log.Warn("SIGHUP: the config is not read again while the gateway runs; restart it to change settings. The users file is.")
		}
	}()
}
