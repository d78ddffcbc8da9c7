package main

import (
	"strings"

	"github.com/evergate/evergate/config"
)

// needRestart are the keys that a gateway cannot change while it runs, each with all
// that is below it, and why. Every other key is taken at a reload.
var needRestart = map[string]string{
	"listen":                   "the socket is open",
	"admin.listen":             "the socket is open",
	"tls.redirect_http":        "the socket is open",
	"forward_auth.listen":      "the socket is open",
	"public_url":               "cookies, tokens and redirect URIs are bound to it",
	"data_dir":                 "its files are open",
	"session.store":            "the store is open",
	"session.redis":            "the store is open",
	"session.cookie":           "browsers hold cookies of that name",
	"access_token.algorithm":   "the signing keys are made",
	"access_token.rotate_keys": "the signing keys are made",
	"tls.acme":                 "the account at the authority is open",
	"proxy_protocol":           "connections are read by it from their first byte",
	"limits.header_bytes":      "the listener is set up with it",
	"limits.header_timeout":    "the listener is set up with it",
	"limits.idle_timeout":      "the listener is set up with it",
	"limits.streams":           "the listener is set up with it",
	"log.format":               "the log is open",
}

// restartFaults are the differences between the config in force and the next one that
// only another process can take.
func restartFaults(now, next *config.Config, changed []string) config.Faults {
	var faults config.Faults
	add := func(path, why string) {
		faults = append(faults, next.Fault(path, "it has changed, and this needs a restart: "+why+". Nothing of the file is in force until then, or until it is as it was"))
	}
	for _, path := range changed {
		for key, why := range needRestart {
			if path == key || strings.HasPrefix(path, key+".") || strings.HasPrefix(path, key+"[") {
				add(path, why)
			}
		}
	}
	if (now.ForwardAuth == nil) != (next.ForwardAuth == nil) {
		add("forward_auth", "there is a socket for it or there is none")
	}
	// Files may take the place of files, but https does not come or go.
	if (now.TLS.CertFile == "") != (next.TLS.CertFile == "") {
		add("tls", "the listener speaks TLS or it does not")
	}
	return faults
}
