package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergate/evergate/internal/replace"
	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session"
)

func (p *program) keyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Make keys for the key ring that seals cookies",
		Args: func(cmd *cobra.Command, args []string) error { return p.unknown(cmd, args) },
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var out, add string
	fresh := &cobra.Command{
		Use: "new", Short: "Make a fresh key",
		Long: "Make a fresh key, on standard output, into a new file of mode 0600, or as the\n" +
			"first line of a key file that is there.\n\n" +
			"The first key of the ring seals, all of them open. A running gateway reads its\n" +
			"key files again within seconds; the new key opens at once and seals five minutes\n" +
			"after it was made, so that every gateway has it by then. Nobody is signed out.\n" +
			"Take an old key off when its cookies are over, session.max_lifetime later.",
		Example: "  evergate key new --out evergate.key\n  evergate key new --add evergate.key\n  evergate key new > /run/secrets/evergate-key",
		Args:    exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			key := session.NewKey(time.Now())
			if add != "" {
				if err := addKey(add, key); err != nil {
					return err
				}
				fmt.Fprintf(p.err, "Put a fresh key first in %s. A running gateway seals with it in five minutes.\n", add)
				return nil
			}
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
	fresh.Flags().StringVar(&add, "add", "", "put it first in this key file, and keep what is there")
	fresh.MarkFlagsMutuallyExclusive("out", "add")
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

// addKey puts a key first in a key file. The file is replaced in one step.
func addKey(path string, key secret.Text) (err error) {
	if err := private(path); err != nil {
		return err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("add a key: %w", err)
	}
	if err := replace.File(path, fmt.Appendf(nil, "%s\n%s", key.Reveal(), old)); err != nil {
		return fmt.Errorf("add a key: %w", err)
	}
	return nil
}

// private refuses a secret file that others may read; secret.Private says who they are.
func private(path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read a secret: %w", err)
	}
	if !secret.Private(fi) {
		return &hinted{fmt.Errorf("%s may be read by others (mode %04o)", path, fi.Mode().Perm()), "chmod 600 " + path}
	}
	return nil
}
