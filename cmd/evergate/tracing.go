package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/follow"
	"github.com/evergate/evergate/internal/span"
	"github.com/evergate/evergate/internal/tracing"
)

// tracer is where spans go, for as long as the config says the same of that.
type tracer struct {
	*tracing.Tracer
	config *config.Tracing
	files  follow.Digest // what the files that it names held
	part   part
}

// of is what begins spans; nil, which is no Tracer, begins none.
func (t *tracer) of() span.Tracer {
	if t == nil {
		return nil
	}
	return t.Tracer
}

// prepareTracing makes the tracer of e, or takes over the one of before. Nil is without.
func (g *gateway) prepareTracing(e, before *edition) error {
	c := e.cfg.Tracing
	if c == nil {
		return nil
	}
	files := follow.Look(tracingFiles(c))
	if e.tracer = before.tracer; e.tracer == nil || e.tracer.files != files || !reflect.DeepEqual(e.tracer.config, c) {
		o, err := tracingOptions(c, g.log, g.metrics.SpansLost)
		if err != nil {
			return err
		}
		t, err := tracing.New(o)
		if err != nil {
			return err
		}
		e.tracer = &tracer{Tracer: t, config: c, files: files, part: part{close: t.Close}}
	}
	g.hold(e, &e.tracer.part)
	return nil
}

func tracingFiles(c *config.Tracing) []string {
	files := []string{c.HeadersFile}
	if c.TLS != nil {
		files = append(files, c.TLS.CAFile, c.TLS.CertFile, c.TLS.KeyFile)
	}
	return files
}

// checkTracingHeaders looks at the headers for the collector, where they can be read here.
func checkTracingHeaders(cfg *config.Config) error {
	if cfg.Tracing == nil {
		return nil
	}
	_, err := cfg.Tracing.Headers()
	if _, away := errors.AsType[*fs.PathError](err); err == nil || away {
		return nil
	}
	return config.Faults{cfg.Fault("tracing.headers_file", err.Error())}
}

var trusts = map[string]tracing.Trust{"nobody": tracing.Nobody, "trusted_proxies": tracing.TrustedProxies, "everybody": tracing.Everybody}

// tracingOptions reads what the config names.
func tracingOptions(c *config.Tracing, log *slog.Logger, lost func(int)) (o tracing.Options, err error) {
	o = tracing.Options{Endpoint: c.Endpoint, Service: c.ServiceName, Version: version, Sample: float64(c.Sample), Trust: trusts[c.Trust], Log: log, Dropped: lost}
	if o.Header, err = c.Headers(); err != nil {
		return o, fmt.Errorf("tracing.headers_file: %w", err)
	}
	o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if t := c.TLS; t != nil {
		if o.TLS, err = clientTLS(t.ServerName, t.CAFile, t.CertFile, t.KeyFile); err != nil {
			return o, fmt.Errorf("tracing.tls.%w", err)
		}
	}
	return o, nil
}
