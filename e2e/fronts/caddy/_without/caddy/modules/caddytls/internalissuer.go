package caddytls

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/caddyserver/certmagic"

	"github.com/caddyserver/caddy/v2"
)

var errNoInternal = errors.New("this build of Caddy makes no certificates of its own")

// InternalIssuer issues nothing.
type InternalIssuer struct {
	CA           string
	Lifetime     caddy.Duration
	SignWithRoot bool
}

func (InternalIssuer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "tls.issuance.internal", New: func() caddy.Module { return new(InternalIssuer) }}
}

func (*InternalIssuer) Provision(caddy.Context) error { return errNoInternal }

func (InternalIssuer) IssuerKey() string { return "internal" }

func (InternalIssuer) Issue(context.Context, *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	return nil, errNoInternal
}
