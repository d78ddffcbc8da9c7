package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) healthcheckCmd() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask the running gateway whether it is ready",
		Long:    "Ask the gateway that runs with this config, through its admin listener, whether\nit is ready: for a container without a shell. Exit code 1 if it is not.",
		Example: "  evergate healthcheck --config /etc/evergate/evergate.yaml",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(path)
			if err != nil {
				return err
			}
			return p.healthcheck(cmd.Context(), cfg.Admin.Listen)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func (p *program) healthcheck(ctx context.Context, listen string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := "http://" + reachable(listen) + "/readyz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("admin.listen %q: %w", listen, err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return &hinted{fmt.Errorf("the gateway does not answer on its admin listener %s: %w", listen, err), "start it with: evergate serve"}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", url, err)
	}
	fmt.Fprint(p.out, string(body))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the gateway is not ready (%d)", res.StatusCode)
	}
	return nil
}

// reachable turns an address that means "all" into one that can be called.
func reachable(listen string) string {
	for _, all := range []string{"0.0.0.0:", "[::]:", ":"} {
		if port, ok := strings.CutPrefix(listen, all); ok {
			return "127.0.0.1:" + port
		}
	}
	return listen
}
