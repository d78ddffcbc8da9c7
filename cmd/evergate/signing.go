package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/token"
)

// buildKeys returns the keys that sign access tokens: those of the store, which all
// gateways on it share; files in data_dir where the cookie is the store.
func buildKeys(cfg *config.Config, store session.Store, ring *session.Ring, log *slog.Logger, inMemory bool) (*token.Keys, error) {
	files := filepath.Join(cfg.DataDir, "signing-keys")
	switch {
	case inMemory:
		return token.NewKeys(cfg.AccessToken.Algorithm)
	case store == nil:
		return token.OpenKeys(files, cfg.AccessToken.Algorithm)
	}
	return token.ShareKeys(token.Sharing{
		Shelf: keyShelf{shelf{session.Vault{Store: store, Ring: ring}}}, Algorithm: cfg.AccessToken.Algorithm,
		Every: cfg.AccessToken.RotateKeys, Import: files, Log: log,
	})
}

// keyShelf is the token.Shelf in a session store.
type keyShelf struct{ shelf }

const signingKeys = "signing keys"

// Load implements token.Shelf. It seals the keys anew when the ring has another first
// key, once a minute, so that the old one can be taken away.
func (s keyShelf) Load(ctx context.Context, atLeast uint64) ([]byte, uint64, error) {
	value, version, err := s.shelf.Load(ctx, signingKeys, atLeast)
	if err == nil && version > 0 {
		_ = s.vault.Reseal(ctx, signingKeys) // the keys are known all the same, and there is a next time
	}
	return value, version, err
}

// Save implements token.Shelf.
func (s keyShelf) Save(ctx context.Context, prev uint64, value []byte) (bool, error) {
	return s.shelf.Save(ctx, signingKeys, prev, value, 0)
}
