package main

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/evergate/evergate/auth"
	"github.com/evergate/evergate/auth/oidc"
	"github.com/evergate/evergate/cmd/evergate/internal/admin"
	"github.com/evergate/evergate/config"
)

// provider is an OpenID Connect provider that the config names.
type provider struct {
	*config.OIDC
	*oidc.Method
	made oidc.Config // what it was made of
	part *part
}

// buildProviders makes the OpenID Connect providers. It asks them nothing. One that is
// as it was before is taken over: what is known of it stays, its keys and how it does.
func buildProviders(cfg *config.Config, log *slog.Logger, now func() time.Time,
	once func(context.Context, string, time.Time) (bool, error), before []*provider) (all []*provider, err error) {
	for _, o := range cfg.Providers() {
		c, err := providerConfig(cfg, o)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(before, func(p *provider) bool { return sameProvider(p.made, c) }); i >= 0 {
			p := before[i]
			if !reflect.DeepEqual(p.OIDC, o) { // its label, say
				p = &provider{OIDC: o, Method: p.Method, made: p.made, part: p.part}
			}
			all = append(all, p)
			continue
		}
		made := c
		c.Log, c.Now, c.Once = log, now, once
		m, err := oidc.New(c)
		if err != nil {
			return nil, fmt.Errorf("provider %s: %w", o.Name, err)
		}
		all = append(all, &provider{OIDC: o, Method: m, made: made, part: &part{close: m.Close}})
	}
	return all, nil
}

// sameProvider compares what providers are made of.
func sameProvider(a, b oidc.Config) bool {
	sameRoots := a.RootCAs == b.RootCAs || a.RootCAs != nil && b.RootCAs != nil && a.RootCAs.Equal(b.RootCAs)
	a.RootCAs, b.RootCAs = nil, nil
	return sameRoots && reflect.DeepEqual(a, b)
}

func methodsOf(all []*provider) (methods []*oidc.Method) {
	for _, p := range all {
		methods = append(methods, p.Method)
	}
	return methods
}

var clientAuths = map[string]oidc.ClientAuth{"client_secret_basic": oidc.ClientSecretBasic,
	"client_secret_post": oidc.ClientSecretPost, "private_key_jwt": oidc.PrivateKeyJWT}

// providerConfig reads what the config names.
func providerConfig(cfg *config.Config, o *config.OIDC) (oidc.Config, error) {
	c := oidc.Config{
		Name: o.Name, Prefix: cfg.Prefix(o.Name), Issuer: o.Issuer, ClientID: o.ClientID, ClientAuth: clientAuths[o.ClientAuth],
		Kind: o.Kind, Scopes: o.Scopes, Userinfo: o.Userinfo, TrustEmail: o.TrustEmail,
		Claims: oidc.ClaimMap{User: o.Claims.User, Name: o.Claims.Name, Email: o.Claims.Email, Groups: o.Claims.Groups},
		Prompt: o.Prompt, LoginHint: o.LoginHint, ACRValues: o.ACRValues, UILocales: o.UILocales, MaxAge: o.MaxAge, Extra: o.ExtraParams,
		Resources: resources(cfg), DPoP: o.DPoP, BearerAudiences: o.BearerAudiences, Introspection: o.Introspection, Timeout: o.Timeout,
	}
	if o.Allow != nil {
		for i, id := range cfg.Identity {
			if id.OIDC == o {
				all := config.Placed(o.Allow, fmt.Sprintf("identity[%d].oidc.allow", i))
				c.Allow = &auth.Policy{Allow: make([]*auth.Rule, len(all))}
				for j := range all {
					c.Allow.Allow[j] = rule(&all[j])
				}
			}
		}
	}
	if o.WithoutRefreshToken == "id_token" {
		c.WithoutRefresh = oidc.EndWithIDToken
	}
	var err error
	if c.ClientAuth == oidc.PrivateKeyJWT {
		if c.ClientKey, err = readPrivateKey(o.ClientKeyFile); err != nil {
			return c, fmt.Errorf("provider %s: client_key_file: %w", o.Name, err)
		}
	} else if c.ClientSecret, err = o.Secret(); err != nil {
		return c, err
	}
	if o.CAFile != "" {
		if c.RootCAs, err = readRoots(o.CAFile); err != nil {
			return c, fmt.Errorf("provider %s: %w", o.Name, err)
		}
	}
	return c, nil
}

// resources are those that routes want tokens for.
func resources(cfg *config.Config) (all []string) {
	seen := map[string]bool{}
	for _, r := range cfg.Routes {
		if t := r.Token.Resource; t != "" && !seen[t] {
			seen[t] = true
			all = append(all, t)
		}
	}
	return all
}

func readPrivateKey(path string) (crypto.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("there is no key (PEM) in %s", path)
	}
	var key any
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("the key in %s cannot be read: %w; want a private key without password, as openssl genpkey makes it", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key in %s is not one that signs", path)
	}
	return signer, nil
}

// signInAt lists the providers for the pages.
func signInAt(providers []*provider) (all []auth.Provider) {
	for _, p := range providers {
		all = append(all, auth.Provider{Name: p.Name, Label: p.Label, Issuer: p.Issuer, Method: p.Method, Remember: p.Remember, DPoP: p.OIDC.DPoP})
	}
	return all
}

// clientKeys publishes the public halves of client keys, by path.
func clientKeys(providers []*provider, into map[string]http.Handler) {
	for _, p := range providers {
		keys := p.ClientJWKS()
		if keys == nil {
			continue
		}
		into["client-jwks/"+p.Name] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwk-set+json")
			w.Header().Set("Cache-Control", "public, max-age=300")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = w.Write(keys)
		})
	}
}

// providerChecks tell the operator how the providers are.
func providerChecks(providers []*provider) map[string]admin.Check {
	checks := map[string]admin.Check{}
	for _, p := range providers {
		checks["provider "+p.Name] = func(context.Context) error {
			s := p.State()
			switch {
			case s.Open:
				return errors.New("renewals wait, for it does not answer: " + s.LastError)
			case !s.Discovered && s.LastError != "":
				return errors.New("its metadata cannot be had: " + s.LastError)
			}
			return nil
		}
	}
	return checks
}
