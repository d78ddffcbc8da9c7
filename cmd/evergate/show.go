package main

import (
	"github.com/spf13/cobra"
)

func (p *program) configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Show the effective config",
		Args: func(cmd *cobra.Command, args []string) error { return p.unknown(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var path string
	show := &cobra.Command{
		Use: "show", Short: "Print the config in force, defaults filled in and secrets masked",
		Example: "  evergate config show --config evergate.yaml",
		Args:    exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			return cfg.WriteEffective(p.out)
		},
	}
	configFlag(show, &path)
	cmd.AddCommand(show)
	return cmd
}
