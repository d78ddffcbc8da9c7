package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
)

func (p *program) userInviteCmd() *cobra.Command {
	var path, email, name string
	var groups []string
	cmd := &cobra.Command{
		Use: "invite NAME", Short: "Make a one-time link by which a user sets their password",
		Long: "Make a link by which a user sets their password, once and within 24 hours, and add the\n" +
			"user if there is none of that name. It is made by the gateway that runs. The one of before\n" +
			"is void. Whoever has the link is let in as that user: hand it on as you would a password.",
		Example: "  evergate user invite --config evergate.yaml --groups staff --email alice@example.com alice",
		Args:    exactly(1, "one user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, user := cmd.Context(), args[0]
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			client := adminOf(cfg)
			if !client.answers(ctx) {
				return &hinted{errors.New("no gateway runs with this config, and a running one has to make the link"), "evergate serve --config " + path}
			}
			file, err := usersFile(path)
			if err != nil {
				return err
			}
			users, err := config.LoadUsers(file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			if !slices.ContainsFunc(users, func(u config.User) bool { return u.Name == user }) {
				if err := mayAdd(path, user); err != nil {
					return err
				}
				nobodys, err := local.NewHasher(1).Hash(ctx, newPassword().Reveal())
				if err != nil {
					return err
				}
				if err := p.addUser(ctx, path, config.User{Name: user, Password: nobodys, Groups: groups, Email: email, DisplayName: name}); err != nil {
					return err
				}
			} else if groups != nil || email != "" || name != "" {
				return &hinted{fmt.Errorf("there is a user %q already, so that --groups, --email and --name are for nobody", user), "change them in " + file}
			}
			var made admin.Invitation
			if err := client.call(ctx, http.MethodPost, "/api/users/invite", admin.Named{User: user}, &made); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "user:  %s\nlink:  %s\ncode:  %s\nuntil: %s\n", made.User, made.Link, made.Code, made.Until.Local().Format("2006-01-02 15:04 MST"))
			fmt.Fprintln(p.err, "It is shown this once, and good once.")
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringSliceVar(&groups, "groups", nil, "the groups a new user is in, separated by commas")
	cmd.Flags().StringVar(&email, "email", "", "a new user's mail address")
	cmd.Flags().StringVar(&name, "name", "", "a new user's name as people write it")
	return cmd
}

func (p *program) userResetCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "reset-mfa NAME", Short: "Take a user's passkeys, authenticator and recovery codes away",
		Long: "Take away what a user proves who they are with besides the password, and end all of their\n" +
			"sessions on every gateway. The gateway that runs does it. The password stays: somebody who\n" +
			"has lost that too gets an invitation, and for a password that a stranger may know there is\n" +
			"`evergate user passwd`.",
		Example: "  evergate user reset-mfa --config evergate.yaml alice",
		Args:    exactly(1, "one user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			client := adminOf(cfg)
			if !client.answers(cmd.Context()) {
				return &hinted{errors.New("no gateway runs with this config, and a running one has to do it"), "evergate serve --config " + path}
			}
			var out admin.Revoked
			if err := client.call(cmd.Context(), http.MethodPost, "/api/users/reset-mfa", admin.Named{User: args[0]}, &out); err != nil {
				return err
			}
			fmt.Fprintf(p.err, "User %s has no passkeys, authenticator and recovery codes any more. Ended %s.\n", args[0], count(out.Revoked, "session"))
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// addUser writes a new user into the users file. What the gateway keeps of somebody who had the
// name before goes first: it must not be theirs.
func (p *program) addUser(ctx context.Context, path string, u config.User) error {
	if err := p.forget(ctx, path, u.Name); err != nil {
		return err
	}
	return p.editUsers(path, u.Name, func(users []config.User, i int) ([]config.User, string, error) {
		if i >= 0 {
			return nil, "", fmt.Errorf("there is a user %q by now", u.Name)
		}
		return append(users, u), "added", nil
	})
}

// forget has the gateway that runs forget what it keeps of a user. Where none runs that is said,
// unless none ever did here.
func (p *program) forget(ctx context.Context, path, user string) error {
	cfg, err := loadConfig(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, adminTokenFile)); errors.Is(err, fs.ErrNotExist) {
		if cfg.Session.Store == "redis" { // gateways elsewhere may keep something
			fmt.Fprintf(p.err, "No gateway has run here. If there was a user %s before, run this where one does: evergate user reset-mfa --config %s %s\n", user, path, user)
		}
		return nil
	}
	client := adminOf(cfg)
	if !client.answers(ctx) {
		fmt.Fprintf(p.err, "No gateway runs. If there was a user %s before, run this once one does: evergate user reset-mfa --config %s %s\n", user, path, user)
		return nil
	}
	err = client.call(ctx, http.MethodPost, "/api/users/forget", admin.Named{User: user}, new(admin.Named), http.StatusNotImplemented)
	if err != nil {
		return fmt.Errorf("take away what is kept of an earlier user %q: %w", user, err)
	}
	return nil
}
