package e2e

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// envoyFront does what Envoy's documentation says that Envoy does with the printed
// configuration. The program itself is in none of the package registries that tests use,
// so that this reads the configuration (by Envoy's own definitions, see readEnvoy), and the
// very file decides what is matched, removed, asked, copied and carried. It knows what that
// file uses, and nothing else.
type envoyFront struct{}

func (envoyFront) dialect() string { return "envoy" }

func (f envoyFront) start(t *testing.T, s *frontSetup) {
	t.Helper()
	asJSON, err := readEnvoy(t, s.snippet(t, f.dialect()))
	if err != nil {
		t.Fatal(err)
	}
	e := &envoy{client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, clusters: map[string]*url.URL{}}
	chain := e.read(t, asJSON)
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		t.Fatal(err)
	}
	server, served := &http.Server{Handler: e, ErrorLog: log.New(io.Discard, "", 0)}, make(chan error, 1)
	go func() {
		if own := chain.TransportSocket.TypedConfig.Common.Certificates; len(own) > 0 {
			served <- server.ServeTLS(l, own[0].Chain.Filename, own[0].Key.Filename)
		} else {
			served <- server.Serve(l)
		}
	}()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("the stand-in for Envoy: %v", err)
		}
		e.client.CloseIdleConnections()
	})
}

func TestFrontEnvoy(t *testing.T) { frontJourney(t, envoyFront{}) }

func TestFrontEnvoyIsNotFooled(t *testing.T) { frontSpoofing(t, envoyFront{}) }
