package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

func (p *program) checkCmd() *cobra.Command {
	var production bool
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check a config file",
		Long: "Check a config file: every fault at once, with line and column, drawn, and with\n" +
			"what was probably meant. Exit code 1 if there is one; warnings leave it at 0.\n" +
			"With --production they do not, and what is well for trying things out only is\n" +
			"one of them.",
		Example: "  evergate check evergate.yaml\n  evergate check --production /etc/evergate/evergate.yaml",
		Args:    exactly(1, "one config file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(args[0])
			if err != nil {
				return err
			}
			if err := check(cfg); err != nil {
				return err
			}
			if err := runTests(cmd.Context(), cfg); err != nil {
				return err
			}
			if err := checkKeys(cfg); err != nil {
				return err
			}
			missing, err := checkUsers(cfg)
			if err != nil {
				return err
			}
			warnings := config.Faults(cfg.Warnings())
			if production {
				warnings = append(warnings, cfg.OnlyForTrying()...).Sorted()
			}
			if len(warnings) > 0 {
				warnings.Draw(p.err, p.color())
			}
			passed := ""
			if n := len(cfg.Tests); n > 0 {
				passed = ", " + count(n, "test") + " passed"
			}
			if production && len(warnings) > 0 {
				return fmt.Errorf("%s is sound and not ready for production: %s", args[0], count(len(warnings), "warning"))
			}
			fmt.Fprintf(p.err, "%s is sound: %s, %s%s.\n", args[0], count(len(cfg.Routes), "route"), count(len(warnings), "warning"), passed)
			for _, file := range missing {
				fmt.Fprintf(p.err, "%s is not there yet. Make it with: evergate user add --config %s NAME\n", file, args[0])
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&production, "production", false, "take warnings for faults, and what is for trying out only for one")
	return cmd
}

// checkUsers reads the users files, and names those that are not there.
func checkUsers(cfg *config.Config) (missing []string, err error) {
	for _, id := range cfg.Identity {
		if id.Local == nil {
			continue
		}
		file := id.Local.UsersFile
		users, err := local.NewDirectory(local.DirectoryOptions{Load: func() ([]local.User, error) { return loadUsers(file) }})
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, file)
			continue
		}
		if err != nil {
			return nil, err
		}
		_ = users.Close()
	}
	return missing, nil
}

// checkKeys reads the key ring, where its files are here and may be read; a warning tells of
// those that are not.
func checkKeys(cfg *config.Config) error {
	var faults config.Faults
	var all []secret.Text
	for i, file := range cfg.Keys.Files {
		if private(file) != nil {
			continue
		}
		keys, err := readKeys([]string{file})
		if err == nil {
			_, err = session.NewRing(keys...)
		}
		if err != nil {
			faults = append(faults, cfg.Fault(fmt.Sprintf("keys.files[%d]", i), err.Error()))
			continue
		}
		all = append(all, keys...)
	}
	if faults != nil {
		return faults.Sorted()
	}
	if len(all) > 0 {
		if _, err := session.NewRing(all...); err != nil {
			return append(faults, cfg.Fault("keys.files", err.Error()))
		}
	}
	return nil
}

// check builds what can be built without opening or making anything, for the
// faults that only the parts can see.
func check(cfg *config.Config) error {
	_, _, err := buildRouter(cfg, nil, nil)
	if err == nil {
		err = checkTracingHeaders(cfg)
	}
	_, bad := buildLook(cfg, true)
	if pages, ok := errors.AsType[config.Faults](bad); ok {
		if faults, ok := errors.AsType[config.Faults](err); ok || err == nil {
			return append(pages, faults...)
		}
	}
	return err
}
