package etcd

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "etcd"

type Provider struct {
	provider.LeftOut
}
