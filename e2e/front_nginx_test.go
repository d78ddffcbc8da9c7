package e2e

import (
	"fmt"
	"testing"
)

// nginxFront is Debian's nginx.
type nginxFront struct{}

func (nginxFront) dialect() string { return "nginx" }

func (f nginxFront) start(t *testing.T, s *frontSetup) {
	t.Helper()
	nginx := need(t, "nginx", "nginx-light")
	conf := s.write(t, "nginx-snippet.conf", s.snippet(t, f.dialect()))
	// What a distribution has around conf.d, in a folder of the test's.
	s.write(t, "nginx.conf", fmt.Sprintf(`daemon off; master_process off; pid nginx.pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path . ; proxy_temp_path . ; fastcgi_temp_path . ; uwsgi_temp_path . ; scgi_temp_path . ;
  include %s;
}
`, conf))
	start(t, s.folder, nginx, "-p", s.folder, "-c", "nginx.conf", "-e", "stderr").awaitTLS(t, s.listen)
}

func TestFrontNginx(t *testing.T) { frontJourney(t, nginxFront{}) }

func TestFrontNginxIsNotFooled(t *testing.T) { frontSpoofing(t, nginxFront{}) }
