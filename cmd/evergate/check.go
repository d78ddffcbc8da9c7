package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/config"
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
		_, err := config.LoadUsers(id.Local.UsersFile)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, id.Local.UsersFile)
		} else if err != nil {
			return nil, err
		}
	}
	return missing, nil
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
