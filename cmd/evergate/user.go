package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
)

func (p *program) userCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", Short: "Add, change and list the users of the users file",
		Long: "Change the users file that the config names. A running gateway notices within a\n" +
			"second: a disabled user or a changed password ends that user's sessions at once.",
		Args: func(cmd *cobra.Command, args []string) error { return p.unknown(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.userAddCmd(), p.userInviteCmd(), p.userPasswdCmd(), p.userResetCmd(), p.userDisableCmd(), p.userListCmd())
	return cmd
}

func (p *program) userAddCmd() *cobra.Command {
	var path, email, name string
	var groups []string
	var stdin bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a user",
		Example: "  evergate user add --config evergate.yaml --groups staff,admin --email alice@example.com alice\n" +
			"  pass show wiki/alice | evergate user add --config evergate.yaml --password-stdin alice",
		Args: exactly(1, "one user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			u := config.User{Name: args[0], Groups: groups, Email: email, DisplayName: name}
			if err := mayAdd(path, u.Name); err != nil {
				return err
			}
			var err error
			if u.Password, err = p.newHash(cmd.Context(), path, u, stdin); err != nil {
				return err
			}
			return p.addUser(cmd.Context(), path, u)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringSliceVar(&groups, "groups", nil, "the groups the user is in, separated by commas")
	cmd.Flags().StringVar(&email, "email", "", "the user's mail address")
	cmd.Flags().StringVar(&name, "name", "", "the user's name as people write it")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	return cmd
}

func (p *program) userPasswdCmd() *cobra.Command {
	var path string
	var stdin bool
	cmd := &cobra.Command{
		Use: "passwd NAME", Short: "Change a user's password, which ends their sessions",
		Example: "  evergate user passwd --config evergate.yaml alice",
		Args:    exactly(1, "one user name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.editUsers(path, args[0], func(users []config.User, i int) ([]config.User, string, error) {
				if i < 0 {
					return nil, "", noUser(users, args[0])
				}
				hash, err := p.newHash(cmd.Context(), path, users[i], stdin)
				if err != nil {
					return nil, "", err
				}
				file, err := usersFile(path)
				if err != nil {
					return nil, "", err
				}
				// In its place, where that can be: what else people wrote there stays.
				if config.SetPassword(file, args[0], users[i].Password, hash) == nil {
					return nil, "changed", nil
				}
				users[i].Password = hash
				return users, "changed", nil
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	return cmd
}

func (p *program) userDisableCmd() *cobra.Command {
	var path string
	var enable bool
	cmd := &cobra.Command{
		Use: "disable NAME", Short: "Disable a user, which ends their sessions at once",
		Example: "  evergate user disable --config evergate.yaml alice\n  evergate user disable --undo --config evergate.yaml alice",
		Args:    exactly(1, "one user name"),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.editUsers(path, args[0], func(users []config.User, i int) ([]config.User, string, error) {
				if i < 0 {
					return nil, "", noUser(users, args[0])
				}
				users[i].Disabled = !enable
				if enable {
					return users, "enabled", nil
				}
				return users, "disabled", nil
			})
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&enable, "undo", false, "enable the user again")
	return cmd
}

func (p *program) userListCmd() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the users, without their passwords",
		Example: "  evergate user list --config evergate.yaml\n  evergate user list --json",
		Args:    exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			file, err := usersFile(path)
			if err != nil {
				return err
			}
			users, err := config.LoadUsers(file)
			if err != nil {
				return err
			}
			return p.listUsers(users, asJSON)
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func (p *program) listUsers(users []config.User, asJSON bool) error {
	type row struct {
		Name     string   `json:"name"`
		Email    string   `json:"email,omitempty"`
		Groups   []string `json:"groups"`
		Disabled bool     `json:"disabled"`
	}
	rows := make([]row, 0, len(users))
	for _, u := range users {
		rows = append(rows, row{u.Name, u.Email, append([]string{}, u.Groups...), u.Disabled})
	}
	if asJSON {
		return json.NewEncoder(p.out).Encode(rows)
	}
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tEMAIL\tGROUPS\tSTATE")
	for _, r := range rows {
		state := "enabled"
		if r.Disabled {
			state = "disabled"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Name, r.Email, strings.Join(r.Groups, ","), state)
	}
	return w.Flush()
}

// editUsers reads the users file, lets edit change it, and writes it back in
// one step. I is where the named user stands, or -1. Where edit returns no users it has written
// them itself.
func (p *program) editUsers(path, name string, edit func(users []config.User, i int) ([]config.User, string, error)) error {
	file, err := usersFile(path)
	if err != nil {
		return err
	}
	users, err := config.LoadUsers(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	i := slices.IndexFunc(users, func(u config.User) bool { return u.Name == name })
	users, done, err := edit(users, i)
	if err != nil {
		return err
	}
	if users != nil {
		if err := config.SaveUsers(file, users); err != nil {
			return err
		}
	}
	fmt.Fprintf(p.err, "User %s %s in %s.\n", name, done, file)
	return nil
}

func usersFile(path string) (string, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return "", err
	}
	for _, id := range cfg.Identity {
		if id.Local != nil {
			return id.Local.UsersFile, nil
		}
	}
	return "", errors.New("this config has no local users: add an entry `- local: { users_file: users.yaml }` under identity")
}

func noUser(users []config.User, name string) error {
	for _, u := range users {
		if config.SameName(u.Name, name) {
			return &hinted{fmt.Errorf("there is no user %q", name), "did you mean " + u.Name + "?"}
		}
	}
	return &hinted{fmt.Errorf("there is no user %q", name), "evergate user list"}
}

// mayAdd reports why there can be no user of a name: there is one already.
func mayAdd(path, name string) error {
	file, err := usersFile(path)
	if err != nil {
		return err
	}
	users, err := config.LoadUsers(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, u := range users {
		switch {
		case u.Name == name:
			return &hinted{fmt.Errorf("there is a user %q already", name), "evergate user passwd " + name}
		case config.SameName(u.Name, name):
			return &hinted{fmt.Errorf("there is a user %q already, in letters of another size or another spelling of the same letters", u.Name), "evergate user passwd " + u.Name}
		}
	}
	return nil
}

// newHash is the hash of a new password of a user, which is asked for, and looked at as at the
// account page.
func (p *program) newHash(ctx context.Context, path string, u config.User, stdin bool) (string, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return "", err
	}
	password, err := p.readPassword(stdin)
	if err != nil {
		return "", err
	}
	rules := passwordRules(cfg)
	if why := rules.Wrong(local.User{Name: u.Name, DisplayName: u.DisplayName, Email: u.Email}, password.Reveal()); why != "" {
		return "", &hinted{wrongPassword(why, rules), "a few words in a row that have nothing to do with each other are long and easy to remember"}
	}
	return local.NewHasher(1).Hash(ctx, password.Reveal())
}
