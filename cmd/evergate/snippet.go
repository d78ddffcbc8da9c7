package main

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/cmd/evergate/internal/snippet"
	"github.com/evergate/evergate/config"
)

func (p *program) snippetCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "snippet", Short: "Print the configuration of a front proxy that asks this gateway",
		Long: "Print the configuration with which a front proxy asks this gateway about every request\n" +
			"(forward_auth in the config): whole, for the hosts, paths and upstreams of this very\n" +
			"config. Print it anew when those change.",
		Example: "  evergate snippet nginx --config evergate.yaml --cert /etc/ssl/apps.pem --key /etc/ssl/apps.key > evergate.conf\n" +
			"  evergate snippet haproxy --config evergate.yaml --app http://127.0.0.1:3000",
		Args: func(cmd *cobra.Command, args []string) error { return p.unknown(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.FParseErrWhitelist.UnknownFlags = true // it is the dialect that is wrong then
	for _, name := range snippet.Dialects() {
		cmd.AddCommand(p.snippetOf(name))
	}
	return cmd
}

// snippetFlags are what was typed.
type snippetFlags struct {
	config, gateway, listen, cert, key string
	apps                               []string
	parts                              map[string]*bool // further documents, by their flags
}

func (p *program) snippetOf(dialect string) *cobra.Command {
	f := snippetFlags{parts: map[string]*bool{}}
	cmd := &cobra.Command{
		Use: dialect, Short: "Print the configuration of " + snippet.Title(dialect),
		Example: "  evergate snippet " + dialect + " --config evergate.yaml --cert /etc/ssl/apps.pem --key /etc/ssl/apps.key",
		Args:    exactly(0, ""),
		RunE:    func(*cobra.Command, []string) error { return p.snippet(dialect, &f) },
	}
	configFlag(cmd, &f.config)
	cmd.Flags().StringVar(&f.gateway, "gateway", "", "host at which the front proxy reaches this gateway (default: the one it listens on)")
	cmd.Flags().StringVar(&f.listen, "listen", "", "address that the front proxy listens on (default: public_url's port)")
	cmd.Flags().StringVar(&f.cert, "cert", "", "the front proxy's certificate chain (PEM), where public_url is https")
	cmd.Flags().StringVar(&f.key, "key", "", "its key (PEM)")
	cmd.Flags().StringArrayVar(&f.apps, "app", nil, "upstream of routes that name none: URL, or HOST=URL for one host")
	for _, part := range snippet.Parts(dialect) {
		f.parts[part.Name] = cmd.Flags().Bool(part.Name, false, part.Says)
	}
	return cmd
}

func (p *program) snippet(dialect string, f *snippetFlags) error {
	cfg, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	if err := check(cfg); err != nil {
		return err
	}
	switch {
	case cfg.ForwardAuth == nil:
		return &hinted{errors.New("the config has no forward_auth, so there is nothing for a front proxy to ask"),
			fmt.Sprintf("add:  forward_auth: { listen: \"127.0.0.1:9091\", dialect: %s }", dialect)}
	case cfg.ForwardAuth.Dialect != dialect:
		return &hinted{fmt.Errorf("forward_auth.dialect is %s, and a gateway that expects it would not understand %s", cfg.ForwardAuth.Dialect, dialect),
			fmt.Sprintf("evergate snippet %s, or write dialect: %s in the config", cfg.ForwardAuth.Dialect, dialect)}
	}
	front, err := frontOf(cfg, f)
	if err != nil {
		return missing(err)
	}
	write := snippet.Write
	for name, wanted := range f.parts {
		if *wanted {
			write = snippet.PartWriter(name)
		}
	}
	if err := write(p.out, front); err != nil {
		return missing(err)
	}
	fmt.Fprintln(p.err, snippet.After(dialect))
	return nil
}

// missing turns what a front proxy has to know and nobody says into the next thing to type.
func missing(err error) error {
	if m, ok := errors.AsType[*snippet.Missing](err); ok {
		return &hinted{err, m.Add}
	}
	return err
}

// frontOf is what a front proxy has to know of cfg.
func frontOf(cfg *config.Config, f *snippetFlags) (*snippet.Front, error) {
	router, _, err := buildRouter(cfg, nil, nil)
	if err != nil {
		return nil, err
	}
	apps := map[string]*url.URL{}
	for _, given := range f.apps {
		host, at, ok := strings.Cut(given, "=")
		if !ok || strings.ContainsAny(host, ":/") {
			host, at = "", given
		}
		host = strings.ToLower(host)
		if host != "" && !slices.ContainsFunc(cfg.Routes, func(r config.Route) bool { return strings.EqualFold(r.Match.Host, host) }) {
			return nil, &misuse{fmt.Errorf("--app %s: no route is for the host %s", given, host), "--app HOST=URL with a match.host of the config, or --app URL"}
		}
		if apps[host], err = target(at); err != nil {
			return nil, err
		}
	}
	return snippet.New(cfg, snippet.Options{Dialect: cfg.ForwardAuth.Dialect, Cookies: ownCookies(cookieName(cfg)), Told: router.Told(), Gateway: f.gateway, Listen: f.listen,
		CertFile: f.cert, KeyFile: f.key, Apps: apps})
}
