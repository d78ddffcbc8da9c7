package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// envoy is one listener.
type envoy struct {
	client   *http.Client
	clusters map[string]*url.URL
	manager  envoyManager
}

// What is read of the configuration, in the names of its JSON.
type (
	envoyChain struct {
		Filters         []struct{ TypedConfig envoyManager }
		TransportSocket struct {
			TypedConfig struct {
				Common struct {
					Certificates []struct {
						Chain struct{ Filename string } `json:"certificateChain"`
						Key   struct{ Filename string } `json:"privateKey"`
					} `json:"tlsCertificates"`
				} `json:"commonTlsContext"`
			}
		}
	}
	envoyManager struct {
		HTTPFilters []struct {
			Name        string
			TypedConfig json.RawMessage
		}
		RouteConfig    struct{ VirtualHosts []envoyHost }
		UpgradeConfigs []struct{ UpgradeType string }

		mutations, proofs []envoyMutation
		ask               envoyAsk
	}
	envoyHost struct {
		Domains []string
		Routes  []envoyRoute
	}
	envoyRoute struct {
		Match struct {
			Prefix    string
			SafeRegex *envoyRegex
		}
		Route          *struct{ Cluster, HostRewriteLiteral string }
		DirectResponse *struct {
			Status int
			Body   struct{ InlineString string }
		}
		TypedPerFilterConfig    map[string]struct{ Disabled bool }
		ResponseHeadersToRemove []string
	}
	envoyRegex   struct{ Regex string }
	envoyMatcher struct {
		Exact, Prefix, Contains string
		SafeRegex               *envoyRegex
	}
	envoyMatchers struct{ Patterns []envoyMatcher }
	envoyMutation struct {
		RemoveOnMatch *struct{ KeyMatcher envoyMatcher }
		Append        *struct {
			Header       struct{ Key, Value string }
			AppendAction string
		}
	}
	envoyAsk struct {
		AllowedHeaders, DisallowedHeaders envoyMatchers
		HTTPService                       struct {
			ServerURI             struct{ Cluster string } `json:"serverUri"`
			PathPrefix            string
			AuthorizationResponse struct{ AllowedUpstreamHeaders envoyMatchers }
		}
		StatusOnError struct{ Code string }
	}
)

func (e *envoy) read(t *testing.T, asJSON []byte) *envoyChain {
	t.Helper()
	var bootstrap struct {
		StaticResources struct {
			Listeners []struct{ FilterChains []envoyChain }
			Clusters  []struct {
				Name           string
				LoadAssignment struct {
					Endpoints []struct {
						LbEndpoints []struct {
							Endpoint struct {
								Address struct {
									SocketAddress struct {
										Address   string
										PortValue int
									}
								}
							}
						}
					}
				}
			}
		}
	}
	if err := json.Unmarshal(asJSON, &bootstrap); err != nil {
		t.Fatal(err)
	}
	for _, c := range bootstrap.StaticResources.Clusters {
		at := c.LoadAssignment.Endpoints[0].LbEndpoints[0].Endpoint.Address.SocketAddress
		e.clusters[c.Name] = &url.URL{Scheme: "http", Host: fmt.Sprintf("%s:%d", at.Address, at.PortValue)}
	}
	chain := &bootstrap.StaticResources.Listeners[0].FilterChains[0]
	e.manager = chain.Filters[0].TypedConfig
	for _, f := range e.manager.HTTPFilters {
		var err error
		switch f.Name {
		case "envoy.filters.http.header_mutation", "evergate.proofs": // before the question, and after it
			var c struct {
				Mutations struct{ RequestMutations []envoyMutation }
			}
			err = json.Unmarshal(f.TypedConfig, &c)
			if f.Name == "evergate.proofs" {
				e.manager.proofs = c.Mutations.RequestMutations
			} else {
				e.manager.mutations = c.Mutations.RequestMutations
			}
		case "envoy.filters.http.ext_authz":
			err = json.Unmarshal(f.TypedConfig, &e.manager.ask)
		case "envoy.filters.http.router":
		default:
			t.Fatalf("a filter that nobody knows here: %s", f.Name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return chain
}

func (r *envoyRegex) matches(s string) bool {
	return regexp.MustCompile(`^(?:` + r.Regex + `)$`).MatchString(s)
}

func (m envoyMatcher) matches(s string) bool {
	switch {
	case m.SafeRegex != nil:
		return m.SafeRegex.matches(s)
	case m.Prefix != "":
		return strings.HasPrefix(s, m.Prefix)
	case m.Contains != "":
		return strings.Contains(s, m.Contains)
	}
	return s == m.Exact
}

func (m envoyMatchers) matches(s string) bool {
	for _, p := range m.Patterns {
		if p.matches(s) {
			return true
		}
	}
	return false
}

func (e *envoy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.RequestURI
	if rest, ok := strings.CutPrefix(path, r.URL.Scheme+"://"); ok && r.URL.IsAbs() {
		path = "/" + rest[strings.IndexByte(rest+"/", '/')+1:]
	}
	protocol := r.Header.Get("Upgrade")
	switch {
	case !strings.HasPrefix(path, "/") || strings.Contains(path, "#"):
		http.Error(w, "bad path", http.StatusBadRequest)
		return
	case protocol != "" && !strings.EqualFold(protocol, e.manager.UpgradeConfigs[0].UpgradeType):
		w.WriteHeader(http.StatusForbidden)
		return
	}
	route := e.route(strings.ToLower(r.Host), path)
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	mutate(e.manager.mutations, r, client)
	if !route.TypedPerFilterConfig["envoy.filters.http.ext_authz"].Disabled && !e.asked(w, r, path) {
		return
	}
	if !route.TypedPerFilterConfig["evergate.proofs"].Disabled {
		mutate(e.manager.proofs, r, client)
	}
	if d := route.DirectResponse; d != nil {
		w.WriteHeader(d.Status)
		_, _ = io.WriteString(w, d.Body.InlineString)
		return
	}
	without := func(res *http.Response) error {
		for _, name := range route.ResponseHeadersToRemove {
			res.Header.Del(name)
		}
		return nil
	}
	(&httputil.ReverseProxy{ErrorLog: log.New(io.Discard, "", 0), FlushInterval: -1, Transport: e.client.Transport, ModifyResponse: without, Rewrite: func(p *httputil.ProxyRequest) {
		p.Out.URL.Scheme, p.Out.URL.Host = "http", e.clusters[route.Route.Cluster].Host
		p.Out.Host = r.Host
		if to := route.Route.HostRewriteLiteral; to != "" {
			p.Out.Host = to
		}
		for name, values := range p.In.Header { // those of the filters stay, Forwarded-For too
			if strings.HasPrefix(name, "X-Forwarded-") {
				p.Out.Header[name] = values
			}
		}
	}}).ServeHTTP(w, r)
}

// route is the first one that matches: in the host's own, then below the longest wildcard.
func (e *envoy) route(authority, path string) *envoyRoute {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = authority
	}
	path, _, _ = strings.Cut(path, "?")
	best, length := (*envoyHost)(nil), -1
	for i, h := range e.manager.RouteConfig.VirtualHosts {
		for _, d := range h.Domains {
			below, wild := strings.CutPrefix(d, "*")
			if n := len(below); d == host && n+1000 > length {
				best, length = &e.manager.RouteConfig.VirtualHosts[i], n+1000
			} else if wild && len(host) > n && strings.HasSuffix(host, below) && n > length {
				best, length = &e.manager.RouteConfig.VirtualHosts[i], n
			}
		}
	}
	if best == nil {
		return &envoyRoute{DirectResponse: &struct {
			Status int
			Body   struct{ InlineString string }
		}{Status: http.StatusNotFound}}
	}
	for i, r := range best.Routes {
		if r.Match.SafeRegex != nil && r.Match.SafeRegex.matches(path) || r.Match.SafeRegex == nil && strings.HasPrefix(path, r.Match.Prefix) {
			return &best.Routes[i]
		}
	}
	return &best.Routes[len(best.Routes)-1]
}

func mutate(mutations []envoyMutation, r *http.Request, client string) {
	value := strings.NewReplacer("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", client, "%REQ(:AUTHORITY)%", r.Host)
	for _, m := range mutations {
		if m.Append != nil {
			r.Header.Set(m.Append.Header.Key, value.Replace(m.Append.Header.Value))
			continue
		}
		for name := range r.Header {
			if m.RemoveOnMatch.KeyMatcher.matches(strings.ToLower(name)) {
				delete(r.Header, name)
			}
		}
	}
}

// asked asks the gateway, and answers in its place where it does not say 200.
func (e *envoy) asked(w http.ResponseWriter, r *http.Request, path string) bool {
	ask := &e.manager.ask
	u, err := url.ParseRequestURI(ask.HTTPService.PathPrefix + path)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return false
	}
	u.Scheme, u.Host = "http", e.clusters[ask.HTTPService.ServerURI.Cluster].Host
	question := &http.Request{Method: r.Method, URL: u, Host: r.Host, Header: http.Header{"Content-Length": {"0"}, "User-Agent": {""}}}
	for name, values := range r.Header {
		if lower := strings.ToLower(name); (ask.AllowedHeaders.matches(lower) || lower == "authorization") && !ask.DisallowedHeaders.matches(lower) {
			question.Header[name] = values
		}
	}
	// Envoy names itself there, as if it were one more proxy on the way.
	question.Header.Set("X-Forwarded-For", r.Header.Get("X-Forwarded-For")+",127.0.0.1")
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	defer cancel()
	res, err := e.client.Transport.RoundTrip(question.WithContext(ctx))
	if err != nil || res.StatusCode >= 500 {
		if err == nil {
			res.Body.Close()
		}
		if ask.StatusOnError.Code == "ServiceUnavailable" {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			w.WriteHeader(http.StatusForbidden)
		}
		return false
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		for name, values := range res.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, bytes.NewReader(body))
		return false
	}
	for name, values := range res.Header {
		if ask.HTTPService.AuthorizationResponse.AllowedUpstreamHeaders.matches(strings.ToLower(name)) {
			r.Header[name] = values
		}
	}
	return true
}
