package provider

import (
	"errors"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/safe"
)

// LeftOut stands where a provider is that this build does without.
type LeftOut struct{}

var errLeftOut = errors.New("this build of Traefik has the file provider alone")

func (LeftOut) Init() error { return errLeftOut }

func (LeftOut) Provide(chan<- dynamic.Message, *safe.Pool) error { return errLeftOut }
