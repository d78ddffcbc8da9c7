package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/event"
	"github.com/evergate/evergate/internal/heap"
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

// serve runs the gateway of a config. Where this process was started by one that hands
// over to it, it takes its place.
func (p *program) serve(ctx context.Context, cfg *config.Config, file string) error {
	log, control := p.openLog(cfg.Log)
	defer p.lastWords()
	defer heap.Tend()()
	signals, quiet := catchSignals()
	defer quiet()
	for _, w := range cfg.Warnings() {
		log.Warn("config", "at", w.Error())
	}
	for _, w := range surroundings() {
		log.Warn(w)
	}
	before, err := inherit()
	if err != nil {
		return err
	}
	defer before.Close()
	var sockets *listeners
	defer func() { sockets.Close() }()
	if before != nil {
		if err := rehearse(cfg, log); err != nil {
			return err
		}
		if sockets, err = openListeners(cfg, before); err != nil {
			return err
		}
		if err := before.await(ctx); err != nil {
			return err
		}
	}
	told := &serviceManager{log: log}
	var rest sync.WaitGroup // what a term left to finish
	defer rest.Wait()
	// There is one term, but where a process that was to take over did not.
	for first := true; ; first = false {
		files := look(cfg)
		g, err := build(cfg, log, parts{Log: control})
		if err != nil {
			return err
		}
		if sockets == nil {
			if sockets, err = openListeners(cfg, nil); err != nil {
				return errors.Join(err, g.Close())
			}
		}
		ls, err := sockets.again()
		if err != nil {
			return errors.Join(err, g.Close())
		}
		if first {
			p.announce(cfg, file, ls.front.Addr())
		}
		reloads := newReloader(g, file, files, log, told)
		next := newUpgrader(sockets, log, g.Admin.API)
		s := startServers(g, log, ls, told)
		if err := before.up(); err != nil {
			log.Warn("the process before was not told", "err", err)
		}
		stop := next.start(signals.upgrade)
		heap.Settle() // it serves already
		watch, hangups := reloads.follow(), onSignal(signals.hangup, func() { reloads.reload(event.BySignal) })
		err = s.run(ctx, next.moves, sockets, &rest)
		stop()
		hangups()
		_ = watch.Close()
		cfg = g.config() // the one in force, whatever the file says by now
		closeLogged(log, g)
		ls.Close()
		if !errors.Is(err, errTakenBack) {
			return err
		}
	}
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
	fmt.Fprintf(p.err, "Is it well?  evergate healthcheck --config %s, or the dashboard at http://%s/ with the token in %s\n",
		file, reachable(cfg.Admin.Listen), filepath.Join(cfg.DataDir, adminTokenFile))
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
