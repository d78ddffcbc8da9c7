package token

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// readKeys reads the keys in dir; a folder that is not there has none.
func readKeys(dir string) (all []*key, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil {
		return nil, fmt.Errorf("token: list signing keys: %w", err)
	}
	for _, file := range files {
		one, err := readKey(file)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func readKey(file string) (*key, error) {
	fi, err := os.Lstat(file)
	if err != nil {
		return nil, fmt.Errorf("token: read a signing key: %w", err)
	}
	if !fi.Mode().IsRegular() || fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("token: signing key %s has mode %s, want a file that only its owner may read; try: chmod 600 %s", file, fi.Mode(), file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("token: read a signing key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("token: signing key %s is no PEM file with a PRIVATE KEY (PKCS #8)", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("token: signing key %s: %w", file, err)
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("token: signing key %s does not sign", file)
	}
	one, err := newKey(signer, fi.ModTime())
	if err != nil {
		return nil, fmt.Errorf("token: signing key %s: %w", file, err)
	}
	return one, nil
}

// writeKey puts the whole file in place in one step: a crash leaves it or
// nothing.
func writeKey(file string, signer crypto.Signer) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("token: keep a signing key: %w", err)
		}
	}()
	der, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, werr := tmp.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err := errors.Join(werr, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), file)
}
