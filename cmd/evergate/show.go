package main

import (
	"github.com/spf13/cobra"

	"github.com/evergate/evergate/config"
)

func (p *program) configCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Show the effective config, or its schema for editors",
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
	schema := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the config, for editors and checkers",
		Long: "Print the JSON Schema (draft 2020-12) of the config file: every key with what it\n" +
			"means, its default and what it may be. An editor with a YAML language server\n" +
			"completes and checks a file that begins with the line\n" +
			"# yaml-language-server: $schema=evergate.schema.json",
		Example: "  evergate config schema > evergate.schema.json",
		Args:    exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			_, err := p.out.Write(config.Schema())
			return err
		},
	}
	cmd.AddCommand(show, schema)
	return cmd
}
