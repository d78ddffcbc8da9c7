package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/cmd/evergate/internal/oauth2proxy"
	"github.com/evergate/evergate/config"
)

func (p *program) importCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import", Short: "Make a config of another gateway's configuration",
		Args: func(cmd *cobra.Command, args []string) error { return p.unknown(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.importOAuth2ProxyCmd())
	return cmd
}

func (p *program) importOAuth2ProxyCmd() *cobra.Command {
	var out, public string
	cmd := &cobra.Command{
		Use: "oauth2-proxy FILE...", Short: "Make a config of oauth2-proxy's configuration",
		Long: "Read a configuration of oauth2-proxy and write one of Evergate, with a comment at each\n" +
			"line that has no counterpart, saying why and what to do instead. A FILE is its config\n" +
			"file, its flags, its environment variables, a manifest with either (compose, Kubernetes),\n" +
			"or its alpha configuration; - is standard input. Several count together, flags before\n" +
			"variables before files. What comes out lets nobody pass who could not pass before, and\n" +
			"repeats no secret: it names files, and how to make them.",
		Example: "  evergate import oauth2-proxy /etc/oauth2-proxy.cfg --out evergate.yaml\n" +
			"  evergate import oauth2-proxy alpha.yaml oauth2-proxy.cfg > evergate.yaml\n" +
			"  kubectl get deployment oauth2-proxy -o yaml | evergate import oauth2-proxy -",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &misuse{fmt.Errorf("%s wants a configuration of oauth2-proxy", cmd.CommandPath()), cmd.UseLine()}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return p.importOAuth2Proxy(args, out, public) },
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "write to this new file, mode 0600 (default: standard output)")
	cmd.Flags().StringVar(&public, "public-url", "", "how browsers reach the gateway, in place of redirect_url")
	return cmd
}

func (p *program) importOAuth2Proxy(names []string, out, public string) error {
	if public != "" {
		address, err := publicURLOf(public)
		if err != nil {
			return &misuse{fmt.Errorf("--public-url %q is no address of a gateway", public), "--public-url https://apps.example.com"}
		}
		public = address
	}
	var sources []oauth2proxy.Source
	dir := "."
	for _, name := range names {
		data, err := p.readImport(name)
		if err != nil {
			return fmt.Errorf("read the configuration of oauth2-proxy: %w", err)
		}
		if name == "-" {
			name = "standard input"
		} else {
			dir = filepath.Dir(name)
		}
		sources = append(sources, oauth2proxy.Source{Name: name, Data: data})
	}
	made, err := oauth2proxy.Import(sources, oauth2proxy.Options{PublicURL: public, ReadFile: func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return readSome(os.Open(name))
	}})
	if err != nil {
		return err
	}
	// The parts see faults that the config alone does not.
	cfg, err := config.Parse("the config made of it", made.Config, os.LookupEnv)
	if err == nil {
		err = check(cfg)
	}
	if err != nil {
		return fmt.Errorf("what comes out would not serve; change this in the source, and import again: %w", err)
	}
	if err := p.writeImport(out, made.Config); err != nil {
		return err
	}
	fmt.Fprintf(p.err, "%s: %s carried over, %s.\n", strings.Join(made.Forms, ", "), count(made.Carried, "setting"), count(made.Noted, "note"))
	if len(made.Todo) > 0 {
		fmt.Fprintln(p.err, "Before it serves, read its comments, and:")
		for _, todo := range made.Todo {
			fmt.Fprintf(p.err, "  - %s\n", todo)
		}
	}
	if out != "" {
		fmt.Fprintf(p.err, "Next:  evergate check %s\n", out)
	}
	return nil
}

// readImport reads a file, or standard input for "-".
func (p *program) readImport(name string) ([]byte, error) {
	if name == "-" {
		return readSome(io.NopCloser(p.in), nil)
	}
	return readSome(os.Open(name))
}

// readSome reads no more than the importer takes.
func readSome(f io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 2<<20))
}

// writeImport writes a new file, or to standard output.
func (p *program) writeImport(out string, text []byte) error {
	if out == "" {
		_, err := p.out.Write(text)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return &hinted{fmt.Errorf("%s is there already, and nothing is overwritten", out), "name another file with --out, or remove it first"}
	} else if err != nil {
		return fmt.Errorf("write the config: %w", err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	return nil
}
