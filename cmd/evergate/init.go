package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/auth/local"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session"
)

//go:embed init.yaml.tmpl
var initTemplate string

func (p *program) initCmd() *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use: "init", Short: "Write a commented evergate.yaml, a key and a first user",
		Long: "Write what protects one app: evergate.yaml with every line explained, the key\n" +
			"that seals cookies, and users.yaml with a first user whose password is printed\n" +
			"once. Nothing that is there already is overwritten.",
		Example: "  evergate init --upstream http://127.0.0.1:3000\n" +
			"  evergate init --upstream http://10.0.0.5:8080 --host wiki.example.com --user alice",
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.init(cmd.Context(), o) },
	}
	cmd.AddCommand(p.initOIDCCmd())
	cmd.Flags().StringVar(&o.upstream, "upstream", "http://127.0.0.1:3000", "the app: a port, an http(s) URL, or unix:///path")
	cmd.Flags().StringVar(&o.host, "host", "", "the host name browsers use (default: http://localhost:8080)")
	cmd.Flags().StringVar(&o.user, "user", "admin", "the first user's name")
	cmd.Flags().StringVar(&o.dir, "dir", ".", "the folder to write into")
	return cmd
}

type initOptions struct{ upstream, host, user, dir string }

func (p *program) init(ctx context.Context, o initOptions) error {
	upstream, err := target(o.upstream)
	if err != nil {
		return err
	}
	publicURL, err := publicURLOf(o.host)
	if err != nil {
		return err
	}
	files := []string{"evergate.yaml", "evergate.key", "users.yaml"}
	for _, name := range files {
		if _, err := os.Lstat(filepath.Join(o.dir, name)); err == nil {
			return &hinted{fmt.Errorf("%s is there already, and nothing is overwritten", filepath.Join(o.dir, name)),
				"name another folder with --dir, or remove it first"}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look for %s: %w", name, err)
		}
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	var yaml bytes.Buffer
	err = template.Must(template.New("init").Parse(initTemplate)).Execute(&yaml, map[string]string{
		"PublicURL": publicURL, "Upstream": upstream.String(),
	})
	if err != nil {
		return err
	}
	password := newPassword()
	hash, err := local.NewHasher(1).Hash(ctx, password.Reveal())
	if err != nil {
		return err
	}
	if err := writeKey(filepath.Join(o.dir, "evergate.key"), session.NewKey(time.Now())); err != nil {
		return err
	}
	if err := config.SaveUsers(filepath.Join(o.dir, "users.yaml"), []config.User{{Name: o.user, Password: hash}}); err != nil {
		return err
	}
	path := filepath.Join(o.dir, "evergate.yaml")
	if err := os.WriteFile(path, yaml.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write the config: %w", err)
	}
	fmt.Fprintf(p.err, "Wrote evergate.yaml, evergate.key and users.yaml in %s\n", o.dir)
	fmt.Fprintf(p.out, "url:      %s\nuser:     %s\npassword: %s\n", publicURL, o.user, password.Reveal())
	fmt.Fprintf(p.err, "The password is shown this once; change it with: evergate user passwd --config %s %s\n", path, o.user)
	fmt.Fprintf(p.err, "Next:  evergate check %s && evergate serve --config %s\n", path, path)
	if strings.HasPrefix(publicURL, "https:") {
		fmt.Fprintln(p.err, "It listens on 127.0.0.1:8080 for a TLS front proxy; set tls in the file to serve https itself.")
	}
	return nil
}

// target reads what an app is named by: a port, host:port, or a URL.
func target(s string) (*url.URL, error) {
	given := s
	if port := strings.TrimPrefix(s, ":"); isPort(port) {
		s = "http://127.0.0.1:" + port
	} else if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err == nil && u.Scheme == "unix" && u.Host == "" && len(u.Path) > 1:
		return u, nil
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || (u.Path != "" && u.Path != "/"):
		return nil, &misuse{fmt.Errorf("the app %q is neither a port nor a URL like http://127.0.0.1:3000 or unix:///run/app.sock", given), "evergate dev 3000"}
	}
	u.Path = ""
	return u, nil
}

func isPort(s string) bool {
	n, err := net.LookupPort("tcp", s)
	return err == nil && n > 0 && strings.Trim(s, "0123456789") == ""
}

// publicURLOf reads --host: a bare name means https, as on the open web, and none
// means this machine.
func publicURLOf(host string) (string, error) {
	if host == "" {
		return "http://localhost:8080", nil
	}
	if !strings.Contains(host, "://") {
		host = "https://" + host
	}
	u, err := url.Parse(host)
	if err != nil || u.Host == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" {
		return "", &misuse{fmt.Errorf("--host %q is not a host name", host), "evergate init --host wiki.example.com"}
	}
	u.Path = ""
	return u.String(), nil
}
