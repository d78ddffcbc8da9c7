package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/cmd/evergate/internal/doctor"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/proxy"
	"github.com/evergate/evergate/session/redis"
)

func (p *program) doctorCmd() *cobra.Command {
	var path, signIn string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong, and say what to do",
		Long: "Look at everything that the gateway depends on: the provider, the store, the apps,\n" +
			"names, certificates, files, and the gateway that runs. One line each, beginning with\n" +
			"ok, warn, FAIL or skip, and what to do on the next where something is wrong. Exit\n" +
			"code 1 if anything says FAIL. It takes 15 seconds at most and changes nothing: it\n" +
			"writes one record of its own into the store, and takes it away.\n\n" +
			"With --sign-in you sign in once at the provider, so that refresh tokens, their\n" +
			"rotation and their revocation are tried out; what was given is given back.",
		Example: "  evergate doctor --config evergate.yaml\n  evergate doctor --config evergate.yaml --sign-in\n  evergate doctor --config evergate.yaml --json",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.doctor(cmd.Context(), path, signIn, asJSON)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&signIn, "sign-in", "", "sign in at this provider, or at the only one, to try its tokens out")
	cmd.Flags().Lookup("sign-in").NoOptDefVal = theOnlyOne
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// theOnlyOne is the provider that --sign-in without a name means.
const theOnlyOne = "the only one"

func (p *program) doctor(ctx context.Context, path, signIn string, asJSON bool) error {
	file, err := configPath(path)
	if err != nil {
		return err
	}
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	if err := check(cfg); err != nil {
		return err
	}
	at, err := signInProvider(cfg, signIn)
	if err != nil {
		return err
	}
	patient := patientOf(cfg, file)
	found := doctor.Examine(ctx, patient)
	if at != nil {
		found = doctor.Merge(found, patient.SignIn(ctx, at, doctor.Person{Talk: p.err, Pasted: p.in}))
	}
	if asJSON {
		err = doctor.PrintJSON(p.out, found)
	} else {
		doctor.Print(p.out, found, p.colorOut())
	}
	if err == nil && doctor.Failed(found) {
		n := 0
		for _, f := range found {
			if f.Status == doctor.Fail {
				n++
			}
		}
		return fmt.Errorf("%s will keep people out", count(n, "thing"))
	}
	return err
}

// signInProvider is the provider that --sign-in names; nil is none.
func signInProvider(cfg *config.Config, name string) (*config.OIDC, error) {
	all := cfg.Providers()
	var names []string
	for _, o := range all {
		if o.Name == name {
			return o, nil
		}
		names = append(names, o.Name)
	}
	switch {
	case name == "":
		return nil, nil
	case len(all) == 0:
		return nil, errors.New("--sign-in is for a provider, and the config has none")
	case name == theOnlyOne && len(all) == 1:
		return all[0], nil
	case name == theOnlyOne:
		return nil, &misuse{fmt.Errorf("there are several providers: %v", names), "evergate doctor --sign-in=" + names[0]}
	}
	return nil, &misuse{fmt.Errorf("there is no provider %q, only %v", name, names), "evergate doctor --sign-in=" + names[0]}
}

// patientOf is a config with the ways in which the gateway makes its parts of it.
func patientOf(cfg *config.Config, file string) *doctor.Patient {
	client := adminOf(cfg)
	return &doctor.Patient{
		Config: cfg, File: file, Warnings: len(cfg.Warnings()), Cookie: cookieName(cfg),
		Provider: func(o *config.OIDC) (oidc.Config, error) {
			c, err := providerConfig(cfg, o)
			c.Log = slog.New(slog.DiscardHandler)
			return c, err
		},
		Upstream: func(r *config.Route) (proxy.UpstreamOptions, error) {
			return upstreamOptions(r, slog.New(slog.DiscardHandler))
		},
		Redis:  func() (redis.Options, error) { return redisOptions(&cfg.Session.Redis, nil) },
		Public: reachable(cfg.Listen), Admin: reachable(cfg.Admin.Listen),
		Running: func(ctx context.Context) (out admin.Running, err error) {
			err = client.call(ctx, http.MethodGet, "/api/config", nil, &out)
			return out, err
		},
	}
}

// colorOut reports whether stdout is a person's terminal that wants colour.
func (p *program) colorOut() bool {
	f, ok := p.out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}
