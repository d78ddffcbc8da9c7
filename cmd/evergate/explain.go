package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
)

// explainOptions are the flags of explain.
type explainOptions struct {
	config                             string
	user, email, provider, claims, acr string
	groups, amr, headers               []string
	unverified, asJSON                 bool
	authAge                            time.Duration
	address, at                        string
}

func (p *program) explainCmd() *cobra.Command {
	var o explainOptions
	var live liveOptions
	cmd := &cobra.Command{
		Use: "explain METHOD URL", Short: "Show what would become of a request, and why",
		Long: "Show what would become of a request: the route and why it won, each rule with true\n" +
			"or false and the line it stands on, what the browser would get and what the app. It\n" +
			"is the gate itself that is asked, with nobody at either end: nothing is connected to.\n" +
			"Of a user in the users file groups and e-mail are known; others are as the flags say.\n" +
			"With --live it tells what the gateway that runs decided lately, and why.",
		Example: "  evergate explain --config evergate.yaml GET https://wiki.example.com/w/\n" +
			"  evergate explain --config evergate.yaml --user alice --groups staff,wiki GET /w/\n" +
			"  evergate explain --config evergate.yaml --user alice --claims '{\"department\":\"it\"}' \\\n" +
			"      --address 10.1.2.3 --header 'Sec-Fetch-Mode: cors' POST /api/orders\n" +
			"  evergate explain --config evergate.yaml --live --user alice",
		Args: func(cmd *cobra.Command, args []string) error {
			if live.asks() {
				return exactly(0, "")(cmd, args)
			}
			return exactly(2, "a method and a URL")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if live.asks() {
				live.user, live.asJSON = o.user, o.asJSON
				return p.explainLive(cmd.Context(), o.config, live)
			}
			if live.session != "" {
				return &misuse{errors.New("--session goes with --live"), "evergate explain --help"}
			}
			cfg, err := loadConfig(o.config)
			if err != nil {
				return err
			}
			s, err := o.scene(cmd, cfg, args[0], args[1])
			if err != nil {
				return err
			}
			r, err := newRehearsal(cfg)
			if err != nil {
				return err
			}
			e := r.explain(s, r.play(cmd.Context(), s))
			if done, err := p.json(e, o.asJSON); done {
				return err
			}
			return e.write(p.out)
		},
	}
	configFlag(cmd, &o.config)
	liveFlags(cmd, &live)
	f := cmd.Flags()
	f.StringVar(&o.user, "user", "", "who asks (default: nobody)")
	f.StringSliceVar(&o.groups, "groups", nil, "their groups")
	f.StringVar(&o.email, "email", "", "their e-mail address, vouched for by the provider")
	f.BoolVar(&o.unverified, "email-unverified", false, "the provider does not vouch for it")
	f.StringVar(&o.provider, "provider", "", "where they signed in (default: the first way there is)")
	f.StringVar(&o.claims, "claims", "", "their claims, as a JSON object")
	f.StringVar(&o.acr, "acr", "", "the class of their sign-in")
	f.StringSliceVar(&o.amr, "amr", nil, "the methods they signed in by")
	f.DurationVar(&o.authAge, "auth-age", 0, "how long ago they signed in")
	f.StringVar(&o.address, "address", "192.0.2.1", "the address of the peer: the client, or a proxy in front")
	f.StringArrayVar(&o.headers, "header", nil, "a header of the request, 'Name: value'; may be repeated")
	f.StringVar(&o.at, "time", "", "when it comes, such as 2026-11-27T09:00:00Z (default: now)")
	f.BoolVar(&o.asJSON, "json", false, "write JSON")
	return cmd
}

// scene reads the flags.
func (o *explainOptions) scene(cmd *cobra.Command, cfg *config.Config, method, address string) (s scene, err error) {
	wrong := func(format string, args ...any) (scene, error) {
		return scene{}, &misuse{fmt.Errorf(format, args...), "evergate explain --help"}
	}
	s.Method, s.Time, s.Header = method, time.Now(), http.Header{}
	sent := address
	if i := strings.IndexByte(address, '#'); i >= 0 { // url.Parse would let an empty one fall
		sent, s.Fragment = address[:i], address[i:]
	}
	at, err := url.Parse(sent)
	if err != nil || at.Scheme == "" && (!strings.HasPrefix(address, "/") || strings.HasPrefix(address, "//")) || at.Scheme != "" && (at.Scheme != "http" && at.Scheme != "https" || at.Host == "") {
		return wrong("%q is no address: write https://wiki.example.com/w/, or /w/ on the host of public_url", address)
	}
	s.URL = cfg.Address(at)
	if s.Address, err = netip.ParseAddr(o.address); err != nil {
		return wrong("--address: want an address such as 10.1.2.3, got %q", o.address)
	}
	if o.at != "" {
		if s.Time, err = time.Parse(time.RFC3339, o.at); err != nil {
			return wrong("--time: want a time such as 2026-11-27T09:00:00Z, got %q", o.at)
		}
	}
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return wrong("--header: want 'Name: value', got %q", h)
		}
		s.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	named := false
	for _, flag := range []string{"groups", "email", "claims", "acr", "amr", "auth-age", "provider"} {
		named = named || cmd.Flags().Changed(flag)
	}
	if o.user == "" && !named {
		return s, nil
	}
	s.Who, err = o.login(cfg, s.Time)
	return s, err
}

// login is who the flags say.
func (o *explainOptions) login(cfg *config.Config, now time.Time) (*auth.Login, error) {
	id := &config.TestIdentity{User: o.user, Provider: o.provider, Email: o.email, Groups: o.groups, ACR: o.acr, AMR: o.amr}
	verified := !o.unverified
	id.EmailVerified, id.AuthAge = &verified, &o.authAge
	if id.User == "" {
		id.User = "somebody"
	}
	login := testLogin(cfg, id, now)
	if o.claims != "" {
		if err := json.Unmarshal([]byte(o.claims), &login.Identity.Claims); err != nil {
			return nil, &misuse{errors.New("--claims: want a JSON object, such as '{\"department\":\"it\"}'"), "evergate explain --help"}
		}
	}
	if login.Identity.Provider == "local" {
		o.fromUsersFile(cfg, login)
	}
	return login, nil
}

// fromUsersFile adds what the users file knows, where no flag says otherwise.
func (o *explainOptions) fromUsersFile(cfg *config.Config, login *auth.Login) {
	for _, id := range cfg.Identity {
		if id.Local == nil {
			continue
		}
		users, err := config.LoadUsers(id.Local.UsersFile)
		if err != nil {
			return // whoever is asked about need not be there
		}
		for _, u := range users {
			if cfg.Prefix("local")+u.Name != o.user && u.Name != o.user {
				continue
			}
			i := &login.Identity
			i.User, i.Subject, i.PreferredUsername, i.Name = cfg.Prefix("local")+u.Name, u.Name, u.Name, u.DisplayName
			if o.groups == nil {
				i.Groups = u.Groups
			}
			if o.email == "" {
				i.Email, i.EmailVerified = u.Email, u.Email != ""
			}
		}
	}
}
