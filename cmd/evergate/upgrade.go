package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
)

func (p *program) upgradeCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "upgrade", Short: "Have a new process take over from the running gateway",
		Long: "Have the gateway that runs start its program anew, which may be another version by\n" +
			"now or have a config that needs a restart, and hand its sockets over: no connection\n" +
			"is refused. If the new process does not come up, the one of before goes on.",
		Example: "  evergate upgrade --config evergate.yaml",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			client := adminOf(cfg)
			return p.upgrade(cmd.Context(), client)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (p *program) upgrade(ctx context.Context, client *adminClient) error {
	var next admin.Process
	if err := client.call(ctx, http.MethodPost, "/api/upgrade", nil, &next); err != nil {
		return &hinted{err, "is the gateway running? Its log says more"}
	}
	fmt.Fprintf(p.err, "Process %d is ready to take over.\n", next.PID)
	ctx, cancel := context.WithTimeout(ctx, finishTime+upTime+gently+5*time.Second)
	defer cancel()
	// While the session file changes hands, asking waits in the kernel's queue.
	for {
		var now admin.Process
		err := client.call(ctx, http.MethodGet, "/api/process", nil, &now)
		if err == nil && now.PID == next.PID {
			fmt.Fprintf(p.err, "It serves now.\n")
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("process %d still serves", now.PID)
			}
			return &hinted{fmt.Errorf("process %d did not take over: %w", next.PID, err), "the gateway's log says why"}
		}
	}
}
