package knative

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "knative"

type Provider struct {
	provider.LeftOut
}
