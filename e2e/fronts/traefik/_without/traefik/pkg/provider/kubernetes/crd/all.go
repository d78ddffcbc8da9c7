package crd

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "kubernetescrd"

type Provider struct {
	provider.LeftOut
}

func (*Provider) FillExtensionBuilderRegistry(any) {}
