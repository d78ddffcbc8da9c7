package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// checksums writes SHA256SUMS over all files of dir, as `sha256sum -c` reads it, and
// returns what is in there.
func checksums(dir string) (string, error) {
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return "", fmt.Errorf("list the release: %w", err)
	}
	var sums strings.Builder
	for _, e := range entries {
		sum, err := sha256File(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, e.Name())
	}
	err = writeFile(filepath.Join(dir, "SHA256SUMS"), func(f io.Writer) error {
		_, err := io.WriteString(f, sums.String())
		return err
	})
	return sums.String(), err
}

func sha256File(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("sum up a file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("sum up %s: %w", path, err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
