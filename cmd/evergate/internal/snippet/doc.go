// Package snippet writes the configuration of a front proxy that asks the gateway
// about every request: nginx, HAProxy, Traefik, Caddy or Envoy.
//
// What a front proxy has to know is one plain value, Front, which New makes of the
// gateway's own config. Each dialect is a template in templates/ and a file here that
// says how values are quoted in it. A value that a dialect cannot hold is an error:
// nothing that stands in the config becomes a directive.
//
// The front proxy carries what it can carry as the gateway would. A route that
// changes what is carried (paths, headers, bodies, the app's own sign-in) or that
// answers by itself has no App here: it goes through the gateway, which does all of
// that as it does without a front proxy.
package snippet
