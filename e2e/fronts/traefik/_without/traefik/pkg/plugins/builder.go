package plugins

import (
	"context"
	"errors"
	"net/http"

	"github.com/traefik/traefik/v3/pkg/provider"
)

var errLeftOut = errors.New("this build of Traefik runs no plugins")

type Constructor func(context.Context, http.Handler) (http.Handler, error)

type Builder struct{}

func NewBuilder(_ *Manager, plugins map[string]Descriptor, local map[string]LocalDescriptor) (*Builder, error) {
	if len(plugins)+len(local) > 0 {
		return nil, errLeftOut
	}
	return &Builder{}, nil
}

func (Builder) Build(string, map[string]any, string) (Constructor, error) { return nil, errLeftOut }

func (Builder) BuildProvider(string, map[string]any) (provider.Provider, error) {
	return nil, errLeftOut
}
