package e2e

import "testing"

// haproxyFront is Debian's HAProxy, with a script of the gateway's.
type haproxyFront struct{}

func (haproxyFront) dialect() string { return "haproxy" }

func (f haproxyFront) start(t *testing.T, s *frontSetup) {
	t.Helper()
	haproxy := need(t, "haproxy", "haproxy")
	s.write(t, "evergate.lua", s.snippet(t, f.dialect(), "--lua"))
	conf := s.write(t, "haproxy.cfg", s.snippet(t, f.dialect()))
	p := start(t, s.folder, haproxy, "-db", "-f", conf)
	t.Cleanup(func() { // it has no exit code 0 for those who ask it to end
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
	p.awaitTLS(t, s.listen)
}

func TestFrontHAProxy(t *testing.T) { frontJourney(t, haproxyFront{}) }

func TestFrontHAProxyIsNotFooled(t *testing.T) { frontSpoofing(t, haproxyFront{}) }
