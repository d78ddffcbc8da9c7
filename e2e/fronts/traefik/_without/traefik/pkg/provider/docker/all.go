package docker

import (
	ptypes "github.com/traefik/paerser/types"
	"github.com/traefik/traefik/v3/pkg/provider"
)

const (
	DockerName = "docker"
	SwarmName  = "swarm"
)

type Provider struct {
	provider.LeftOut
	HTTPClientTimeout ptypes.Duration
}

type SwarmProvider struct {
	provider.LeftOut
	RefreshSeconds    ptypes.Duration
	HTTPClientTimeout ptypes.Duration
}
