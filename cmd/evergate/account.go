package main

import (
	"context"
	"errors"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/config"
)

// savePassword keeps the passwords that people choose in a users file.
func savePassword(file string) func(ctx context.Context, name, was, hash string) error {
	return func(_ context.Context, name, was, hash string) error {
		err := config.SetPassword(file, name, was, hash)
		if errors.Is(err, config.ErrUserChanged) {
			return auth.ErrChanged
		}
		return err
	}
}
