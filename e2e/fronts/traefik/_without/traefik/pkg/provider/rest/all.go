package rest

import (
	"github.com/traefik/traefik/v3/pkg/provider"
	"net/http"
)

const ProviderName = "rest"

type Provider struct {
	provider.LeftOut
	Insecure bool
}

func (*Provider) CreateRouter() http.Handler { return http.NotFoundHandler() }
