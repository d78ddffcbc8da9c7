// Package admin serves the private listener: whether the gateway lives, whether it
// is ready, and what the operator asks of its sessions. It is never reachable on the public address.
package admin

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Check asks one part whether it is in order; nil means it is.
type Check func(ctx context.Context) error

// Handler serves /livez, /readyz, /metrics, /api/ and the dashboard on all other paths.
type Handler struct {
	// Checks are asked by /readyz, by the name of the part.
	Checks map[string]Check
	// Beside are shown by /readyz and do not make the gateway unready: what it
	// needs of others, who may have a bad day while it serves on.
	Beside map[string]Check
	// Current is the rest of Beside: what the config in force makes. Nil is nothing.
	Current func() map[string]Check
	// Metrics serves /metrics, if set.
	Metrics http.Handler
	// API answers under /api/, if set.
	API *API
	// Version is that of the program, for /readyz.
	Version string
	// Dashboard serves what is left, if set. It asks by itself who is there.
	Dashboard http.Handler
	// Draining reports that the gateway is going down, if set.
	Draining func() bool
}

const checkTimeout = 2 * time.Second

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case !knownHost(r.Host):
		// A page elsewhere could point a name of its own at this address.
		http.Error(w, "this listener answers to loopback names and addresses alone", http.StatusMisdirectedRequest)
	case h.API != nil && strings.HasPrefix(r.URL.Path, apiPrefix):
		h.API.serve(w, r)
	case h.Dashboard != nil && !ownPaths[r.URL.Path]:
		h.Dashboard.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
	case r.URL.Path == "/livez":
		_, _ = w.Write([]byte("ok\n"))
	case r.URL.Path == "/readyz":
		h.ready(w, r)
	case r.URL.Path == "/metrics" && h.Metrics != nil:
		h.Metrics.ServeHTTP(w, r)
	default:
		http.NotFound(w, r)
	}
}

// ownPaths are those that everybody may ask for.
var ownPaths = map[string]bool{"/livez": true, "/readyz": true, "/metrics": true}

// part is the state of one part in the answer of /readyz.
type part struct {
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

func (c Check) ask(ctx context.Context) part {
	if err := c(ctx); err != nil {
		return part{Reason: err.Error()}
	}
	return part{OK: true}
}

func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	answer := struct {
		Ready   bool            `json:"ready"`
		Version string          `json:"version,omitempty"`
		Parts   map[string]part `json:"parts"`
	}{true, h.Version, map[string]part{}}
	for name, check := range h.Checks {
		answer.Parts[name] = check.ask(ctx)
		answer.Ready = answer.Ready && answer.Parts[name].OK
	}
	for name, check := range h.Beside {
		answer.Parts[name] = check.ask(ctx)
	}
	if h.Current != nil {
		for name, check := range h.Current() {
			answer.Parts[name] = check.ask(ctx)
		}
	}
	if h.Draining != nil && h.Draining() {
		answer.Ready = false
		answer.Parts["gateway"] = part{Reason: "going down"}
	}
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// knownHost reports whether a Host header names a loopback name or any address
// itself; a name from the outside is how DNS rebinding reaches in.
func knownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}
