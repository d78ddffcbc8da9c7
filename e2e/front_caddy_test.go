package e2e

import "testing"

// caddyFront is Caddy, with the modules that the printed Caddyfile needs.
type caddyFront struct{}

func (caddyFront) dialect() string { return "caddy" }

func (f caddyFront) start(t *testing.T, s *frontSetup) {
	t.Helper()
	caddy := buildCaddy(t)
	file := s.write(t, "Caddyfile", s.snippet(t, f.dialect()))
	// Each Caddy has a door for its administrator, whose port may be taken here.
	start(t, s.folder, "/usr/bin/env", "CADDY_ADMIN=127.0.0.1:"+freePort(t), caddy, "run", "--config", file).awaitTLS(t, s.listen)
}

func TestFrontCaddy(t *testing.T) { frontJourney(t, caddyFront{}) }

func TestFrontCaddyIsNotFooled(t *testing.T) { frontSpoofing(t, caddyFront{}) }
