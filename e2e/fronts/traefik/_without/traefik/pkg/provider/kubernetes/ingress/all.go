package ingress

import (
	"github.com/traefik/traefik/v3/pkg/provider"
)

const ProviderName = "kubernetes"

type Provider struct {
	provider.LeftOut
	DefaultRuleSyntax string
}
