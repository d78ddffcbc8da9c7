package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/follow"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

func (p *program) sessionCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "session", Short: "List and end sessions",
		Long: "List and end sessions: through the admin listener of the gateway that runs, or in\n" +
			"the store itself when it is down.",
		Args: func(cmd *cobra.Command, args []string) error { return p.unknown(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.sessionListCmd(), p.sessionRevokeCmd())
	return cmd
}

func (p *program) sessionListCmd() *cobra.Command {
	var path, user string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the sessions, or those of one user",
		Example: "  evergate session list --config evergate.yaml\n  evergate session list --config evergate.yaml --user alice --json",
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sessions, done, err := p.sessions(cmd.Context(), path)
			if err != nil {
				return err
			}
			defer done()
			all, err := sessions.List(cmd.Context(), user)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(p.out)
				enc.SetIndent("", "  ")
				return enc.Encode(all)
			}
			if len(all) == 0 {
				fmt.Fprintln(p.err, "There is no session.")
				return nil
			}
			w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "SESSION\tUSER\tPROVIDER\tSIGNED IN\tLAST SEEN\tADDRESS\tBOUND\tBROWSER")
			for _, s := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, plain(s.User), plain(s.Provider),
					s.Created.Local().Format(time.DateTime), s.Seen.Local().Format(time.DateTime), s.Device.Address, yesNo(s.Bound), plain(s.Device.Agent))
			}
			return w.Flush()
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&user, "user", "", "only those of this user")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// plain shows what a browser or a provider said on one line of a terminal.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return s
}

func (p *program) sessionRevokeCmd() *cobra.Command {
	var path string
	var which session.Which
	cmd := &cobra.Command{
		Use: "revoke [SESSION]", Short: "End one session, or all of a user",
		Long: "End one session, or all of a user but one, at once and on every gateway. The\n" +
			"refresh token of a session that this gateway has not served lately dies unused:\n" +
			"only the session's cookie opens it, so it cannot be revoked at the provider.",
		Example: "  evergate session revoke --config evergate.yaml 9TGq1BTmPSBb\n  evergate session revoke --config evergate.yaml --user alice",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				which.Name = args[0]
			}
			if which.Name == "" && which.User == "" {
				return &hinted{errors.New("which sessions are to end?"), "name one, or --user NAME; list them with: evergate session list"}
			}
			sessions, done, err := p.sessions(cmd.Context(), path)
			if err != nil {
				return err
			}
			defer done()
			n, err := sessions.Revoke(cmd.Context(), which)
			if err != nil {
				return err
			}
			if n == 0 {
				return &hinted{errors.New("there is no such session"), "list them with: evergate session list"}
			}
			fmt.Fprintf(p.err, "Ended %s.\n", count(n, "session"))
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&which.User, "user", "", "those of this user")
	cmd.Flags().StringVar(&which.Except, "except", "", "but not this session")
	return cmd
}

// sessions reaches the sessions of a config: those of the gateway that runs, or the
// store.
func (p *program) sessions(ctx context.Context, path string) (admin.Sessions, func(), error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, nil, err
	}
	if cfg.Session.Store == "cookie" {
		return nil, nil, errors.New("with session.store: cookie sessions lie in the browsers, and nobody can list or end them from here")
	}
	client := adminOf(cfg)
	if client.answers(ctx) {
		return client, func() {}, nil
	}
	log := slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ring, err := loadRing(cfg.Keys.Files, cfg.DataDir, new(follow.Reading))
	if err != nil {
		return nil, nil, err
	}
	store, err := buildStore(cfg, log, false)
	if err != nil {
		return nil, nil, err
	}
	ready, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		if _, err = store.Now(ready); err == nil {
			return session.Ledger{Store: store, Ring: ring}, func() { _ = store.Close() }, nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ready.Done():
			return nil, nil, errors.Join(err, store.Close())
		}
	}
}

const adminTokenFile = "admin.token"

// makeAdminToken reads the token of the admin API, or makes it at the first start.
func makeAdminToken(dataDir string) (secret.Text, error) {
	path := filepath.Join(dataDir, adminTokenFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		if err := writeKey(path, secret.New(base64.RawURLEncoding.EncodeToString(b))); err != nil {
			return secret.Text{}, err
		}
	}
	if err := private(path); err != nil {
		return secret.Text{}, err
	}
	return config.ReadSecret(path)
}

// adminClient asks the gateway that runs.
type adminClient struct{ base, token string }

// adminOf asks the gateway that runs with a config.
func adminOf(cfg *config.Config) *adminClient {
	return &adminClient{base: "http://" + reachable(cfg.Admin.Listen), token: filepath.Join(cfg.DataDir, adminTokenFile)}
}

func (c *adminClient) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return c.call(ctx, http.MethodGet, "/livez", nil, nil) == nil
}

// List implements admin.Sessions.
func (c *adminClient) List(ctx context.Context, user string) (all []session.Info, err error) {
	err = c.call(ctx, http.MethodGet, "/api/sessions?user="+url.QueryEscape(user), nil, &all)
	return all, err
}

// Revoke implements admin.Sessions.
func (c *adminClient) Revoke(ctx context.Context, w session.Which) (int, error) {
	var out admin.Revoked
	err := c.call(ctx, http.MethodPost, "/api/sessions/revoke", w, &out)
	return out.Revoked, err
}

// call asks path. An answer that is not 200 is an error, but for the statuses in also.
func (c *adminClient) call(ctx context.Context, method, path string, in, out any, also ...int) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return err
	}
	if out != nil {
		if err := private(c.token); err != nil {
			return err
		}
		token, err := config.ReadSecret(c.token)
		if err != nil {
			return fmt.Errorf("read the token of the admin listener: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the admin listener: %w", err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<30))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer of %s: %w", c.base+path, err)
	case res.StatusCode == http.StatusUnauthorized:
		return &hinted{errors.New("the admin listener does not take the token of " + c.token), "is another gateway listening at " + c.base + "?"}
	case res.StatusCode != http.StatusOK && !slices.Contains(also, res.StatusCode):
		return fmt.Errorf("the admin listener answers %d: %s", res.StatusCode, bytes.TrimSpace(b))
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.base+path, err)
	}
	return nil
}
