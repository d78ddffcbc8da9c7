package config

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"
)

// Tracing hands spans of requests to an OpenTelemetry collector.
type Tracing struct {
	// Endpoint is where the collector takes OTLP over HTTP; /v1/traces is added.
	Endpoint *url.URL `yaml:"endpoint"`
	// HeadersFile holds headers for the collector, a line "Name: value" each.
	HeadersFile string `yaml:"headers_file"`
	// TLS is for an endpoint of https; left out, it trusts the authorities of the system.
	TLS *TracingTLS `yaml:"tls"`
	// Sample is the share of traces that are recorded, from 0 to 1.
	Sample Share `yaml:"sample"`
	// ServiceName is what the collector knows the gateway by.
	ServiceName string `yaml:"service_name"`
	// Trust is whose traceparent is believed: nobody, trusted_proxies or everybody.
	Trust string `yaml:"trust"`
}

// TracingTLS is how connections to a collector are encrypted.
type TracingTLS struct {
	// CAFile holds the authority to trust (PEM); "" is those of the system.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are a client certificate and its key (PEM), where the collector
	// wants one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name that the certificate has; "" is the host of the endpoint.
	ServerName string `yaml:"server_name"`
}

func (t *Tracing) setDefaults() { *t = Tracing{Sample: 1, ServiceName: "evergate", Trust: "nobody"} }

// Share is a part of a whole: 0 to 1.
type Share float64

func (s *Share) fromText(text string) error {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) || strings.ContainsAny(text, "xXpP_-") {
		return fmt.Errorf("want a part from 0 to 1 such as 0.1, got %q", text)
	}
	*s = Share(f)
	return nil
}

// String writes it as it is read.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'f', -1, 64) }

// checkTracing looks at where spans go.
func (c *Config) checkTracing() {
	t := c.Tracing
	if t == nil {
		return
	}
	const how = "write it as http://collector:4318"
	switch u := t.Endpoint; {
	case u == nil:
		if !c.given("tracing.endpoint") {
			c.wrong("add:  endpoint: http://127.0.0.1:4318", "tracing", "endpoint is missing")
		}
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		c.wrong(how, "tracing.endpoint", "want http:// or https:// and a host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		c.wrong("put secrets into headers_file", "tracing.endpoint", "it ends after host, port and path")
	case u.Scheme == "http" && t.TLS != nil:
		c.wrong("write https:// in endpoint, or remove it", "tracing.tls", "the endpoint is plain http")
	}
	if tls := t.TLS; tls != nil && (tls.CertFile == "") != (tls.KeyFile == "") {
		c.wrong("", "tracing.tls", "cert_file and key_file go together")
	}
	if t.ServiceName == "" {
		c.wrong("leave the line out", "tracing.service_name", "it is empty")
	}
	oneOf(c, "tracing.trust", t.Trust, "nobody", "trusted_proxies", "everybody")
	if t.Trust == "trusted_proxies" && len(c.TrustedProxies) == 0 {
		c.wrong("list the proxies there", "tracing.trust", "only those in trusted_proxies are believed, and none is listed")
	}
}

// warnTracing tells of what is allowed and should be looked at.
func (c *Config) warnTracing(warn warner) {
	t := c.Tracing
	if t == nil {
		return
	}
	if t.HeadersFile != "" && t.Endpoint.Scheme == "http" && !IsLoopback(t.Endpoint.Hostname()) {
		warn("tracing.endpoint", "the headers of headers_file travel in the clear: write https://")
	}
}

// Headers reads HeadersFile: a header a line, and nothing else but empty lines and those
// that begin with #.
func (t *Tracing) Headers() (http.Header, error) {
	if t.HeadersFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(t.HeadersFile)
	if err != nil {
		return nil, err
	}
	h, n := http.Header{}, 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":") // the line itself is a secret
		if value = strings.TrimSpace(value); !ok || !isToken(name) || strings.ContainsFunc(value, unicode.IsControl) || value == "" {
			return nil, fmt.Errorf("%s:%d: it is no header; write it as  Name: value", t.HeadersFile, n)
		}
		h.Add(name, value)
	}
	if len(h) == 0 {
		return nil, fmt.Errorf("%s holds no header; write each as  Name: value", t.HeadersFile)
	}
	return h, nil
}
