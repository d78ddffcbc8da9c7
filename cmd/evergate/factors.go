package main

import (
	"context"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/credential"
	"github.com/evergate/evergate/auth/passkey"
	"github.com/evergate/evergate/auth/totp"
	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/session"
)

// cabinet is the credential.Cabinet in a session store.
type cabinet struct{ shelf }

var _ credential.Cabinet = cabinet{}

// Reseal implements credential.Cabinet.
func (c cabinet) Reseal(ctx context.Context, name string) error { return c.vault.Reseal(ctx, name) }

// Forget implements credential.Cabinet.
func (c cabinet) Forget(ctx context.Context, name string) error { return c.vault.Forget(ctx, name) }

// buildBook returns what keeps the credentials of the users that are kept here; nil where there
// is no store, and so no such users either.
func buildBook(store session.Store, ring *session.Ring) *credential.Book {
	if store == nil {
		return nil
	}
	return credential.NewBook(cabinet{shelf{session.Vault{Store: store, Ring: ring}}})
}

// buildFactors is what the users that are kept here prove who they are with besides a password;
// nil where the config has none.
func (g *gateway) buildFactors(e *edition) (*auth.Factors, error) {
	rule := secondFactor(e.cfg)
	if e.people == nil || g.book == nil || rule == "off" {
		return nil, nil
	}
	f := &auth.Factors{Credentials: g.book, Users: e.people, Prefix: e.people.Prefix, Codes: &totp.Codes{Book: g.book}, Required: rule == "required"}
	if passkey.Possible(e.cfg.PublicURL) {
		keys, err := passkey.New(passkey.Config{PublicURL: e.cfg.PublicURL, Book: g.book, Provider: e.people.Name, Prefix: e.people.Prefix, Now: g.in.Now, Log: g.log, Heard: g.events.Hear})
		if err != nil {
			return nil, err
		}
		f.Passkeys = keys
	}
	return f, nil
}

// secondFactor is what the config says of it.
func secondFactor(cfg *config.Config) string {
	for _, id := range cfg.Identity {
		if id.Local != nil {
			return id.Local.SecondFactor
		}
	}
	return "off"
}
