package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

func (p *program) keyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Make keys for the key ring that seals cookies",
		Args: func(cmd *cobra.Command, args []string) error { return p.unknown(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var out string
	fresh := &cobra.Command{
		Use: "new", Short: "Make a fresh key",
		Long: "Make a fresh key, on standard output or into a file of mode 0600.\n\n" +
			"The first file of keys.files seals, all of them open: to change keys, put the\n" +
			"new file first and leave the old one behind it until its cookies are over.",
		Example: "  evergate key new --out evergate.key\n  evergate key new > /run/secrets/evergate-key",
		Args:    exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			key := session.NewKey(time.Now())
			if out == "" {
				_, err := fmt.Fprintln(p.out, key.Reveal())
				return err
			}
			if err := writeKey(out, key); err != nil {
				return err
			}
			fmt.Fprintf(p.err, "Wrote %s. Name it in the config: keys: { files: [%s] }\n", out, out)
			return nil
		},
	}
	fresh.Flags().StringVarP(&out, "out", "o", "", "write to this new file, mode 0600")
	cmd.AddCommand(fresh)
	return cmd
}

// writeKey writes a key into a file that must not be there yet: an
// overwritten key would sign everybody out.
func writeKey(path string, key secret.Text) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return &hinted{fmt.Errorf("%s is there already, and overwriting a key signs everybody out", path),
			"name another file with --out"}
	}
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = fmt.Fprintln(f, key.Reveal())
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	return nil
}

// loadRing reads the key ring: the configured files, or one that is made in
// dataDir at the first start.
func loadRing(files []string, dataDir string) (*session.Ring, error) {
	if len(files) == 0 {
		path := filepath.Join(dataDir, "cookie.key")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := writeKey(path, session.NewKey(time.Now())); err != nil {
				return nil, err
			}
		}
		files = []string{path}
	}
	var keys []secret.Text
	for _, path := range files {
		if err := private(path); err != nil {
			return nil, err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, &hinted{fmt.Errorf("read a key of the ring: %w", err), "make one with: evergate key new --out " + path}
		}
		keys = append(keys, secret.New(string(b)))
	}
	ring, err := session.NewRing(keys...)
	if err != nil {
		return nil, fmt.Errorf("key ring %v: %w", files, err)
	}
	return ring, nil
}

// private refuses a secret file that others may read.
func private(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read a secret: %w", err)
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return &hinted{fmt.Errorf("%s may be read by others (mode %04o)", path, fi.Mode().Perm()), "chmod 600 " + path}
	}
	return nil
}
