// Package ext stands where Traefik's own extension of its configuration is,
// which is empty too, and not part of the released module.
package ext

// HTTP adds nothing to the configuration.
type HTTP struct{}

// Router adds nothing to a router.
type Router struct{}
