package e2e

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// traefikFront is Traefik with its file provider.
type traefikFront struct{}

func (traefikFront) dialect() string { return "traefik" }

func (f traefikFront) start(t *testing.T, s *frontSetup) {
	t.Helper()
	traefik := buildTraefik(t)
	dynamic := s.write(t, "dynamic.yaml", s.snippet(t, f.dialect()))
	static := s.snippet(t, f.dialect(), "--static")
	const place = "/etc/traefik/evergate.yaml"
	if !strings.Contains(static, place) {
		t.Fatalf("the static configuration does not name %s:\n%s", place, static)
	}
	file := s.write(t, "traefik.yaml", strings.ReplaceAll(static, place, dynamic))
	start(t, s.folder, traefik, "--configFile="+file).awaitTLS(t, s.listen)
	awaitRoutes(t, s)
}

func TestFrontTraefik(t *testing.T) { frontJourney(t, traefikFront{}) }

func TestFrontTraefikIsNotFooled(t *testing.T) { frontSpoofing(t, traefikFront{}) }

// awaitRoutes waits until the front proxy leads to the gateway: Traefik listens before it
// has read where to.
func awaitRoutes(t *testing.T, s *frontSetup) {
	t.Helper()
	config, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`(?m)^public_url: (\S+)$`).FindSubmatch(config)
	if url == nil {
		t.Fatalf("there is no public_url in %s", s.config)
	}
	client := frontClient(t, s.listen)
	status := 0
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		res, err := client.Get(string(url[1]) + "/.evergate/ping")
		if err != nil {
			continue
		}
		res.Body.Close()
		if status = res.StatusCode; status == http.StatusOK {
			return
		}
	}
	t.Fatalf("the front proxy does not lead to the gateway: the last answer was %d", status)
}
