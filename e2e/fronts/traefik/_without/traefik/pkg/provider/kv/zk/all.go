package zk

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "zookeeper"

type Provider struct {
	provider.LeftOut
}
