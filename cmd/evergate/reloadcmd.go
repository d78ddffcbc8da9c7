package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
)

func (p *program) reloadCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "reload", Short: "Have the running gateway read its config again",
		Long: "Have the gateway that runs read its config again, through its admin listener. A\n" +
			"bad config changes nothing: what is wrong is shown, and the exit code is 1.",
		Example: "  evergate reload --config evergate.yaml",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path) // also says where the gateway listens
			if err != nil {
				return err
			}
			client := adminOf(cfg)
			return p.reload(cmd.Context(), client)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (p *program) reload(ctx context.Context, client *adminClient) error {
	var out admin.Reloaded
	if err := client.call(ctx, http.MethodPost, "/api/reload", nil, &out, http.StatusUnprocessableEntity); err != nil {
		return &hinted{err, "is the gateway running, and are admin.listen and data_dir as they were when it started?"}
	}
	if !out.OK {
		fmt.Fprint(p.err, out.Drawn)
		if out.Drawn == "" {
			return fmt.Errorf("the config of before stays in force: %s", out.Error)
		}
		return errors.New("the config of before stays in force")
	}
	if len(out.Changed) == 0 {
		fmt.Fprintln(p.err, "Nothing has changed.")
		return nil
	}
	fmt.Fprintln(p.err, "In force now, changed:")
	for _, what := range out.Changed {
		fmt.Fprintln(p.err, "  "+what)
	}
	return nil
}
