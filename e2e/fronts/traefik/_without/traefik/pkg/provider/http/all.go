package http

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "http"

type Provider struct {
	provider.LeftOut
}
