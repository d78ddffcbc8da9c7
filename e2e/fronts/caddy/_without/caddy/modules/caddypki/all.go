// Package caddypki stands where Caddy makes certificates of its own, which this build
// does without.
package caddypki

import (
	"context"
	"crypto/x509"
	"errors"

	"github.com/caddyserver/caddy/v2"
)

const DefaultCAID = "local"

var errLeftOut = errors.New("this build of Caddy makes no certificates of its own")

// PKI has no authorities but those that a Caddyfile describes.
type PKI struct {
	CAs map[string]*CA `json:"certificate_authorities,omitempty"`
}

// CA is what a Caddyfile can say of one.
type CA struct {
	ID, Name, RootCommonName, IntermediateCommonName string
	IntermediateLifetime, MaintenanceInterval        caddy.Duration
	RenewalWindowRatio                               float64
	InstallTrust                                     *bool
	Root, Intermediate                               *KeyPair
}

// KeyPair is where one is.
type KeyPair struct{ Certificate, PrivateKey, Format string }

func (*PKI) GetCA(context.Context, string) (*CA, error) { return nil, errLeftOut }

func (*CA) RootCertificate() *x509.Certificate { return nil }

func (*CA) IntermediateCertificateChain() []*x509.Certificate { return nil }
