package attacks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// signinLiar are providers that lie about themselves, each under the first part of a path. None
// of them signs anybody in: what they get that they should not is what they are for.
type signinLiar struct {
	*httptest.Server

	mu    sync.Mutex // guards what follows
	hits  map[string]int
	forms map[string][]url.Values // what endpoints got, by path
	wrote int                     // bytes of answers without an end
}

func newSigninLiar(t *testing.T) *signinLiar {
	s := &signinLiar{hits: map[string]int{}, forms: map[string][]url.Values{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *signinLiar) issuer(name string) string { return s.URL + "/" + name }

// metadata are those of a provider that does not lie yet.
func (s *signinLiar) metadata(name string) map[string]any {
	at := s.issuer(name)
	return map[string]any{"issuer": at, "authorization_endpoint": at + "/authorize", "token_endpoint": at + "/token", "jwks_uri": at + "/jwks",
		"id_token_signing_alg_values_supported": []string{"ES256"}}
}

// ServeHTTP implements http.Handler.
func (s *signinLiar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	s.hits[r.URL.Path]++
	s.forms[r.URL.Path] = append(s.forms[r.URL.Path], r.PostForm)
	s.mu.Unlock()
	name, endpoint, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if endpoint == ".well-known/openid-configuration" {
		for _, d := range signinDiscoveries {
			if d.name == name {
				d.lie(s, w, s.metadata(name))
				return
			}
		}
		md := s.metadata(name)
		if name == "assert" {
			md["pushed_authorization_request_endpoint"] = s.issuer(name) + "/par"
		}
		signinJSON(w, md)
		return
	}
	for _, a := range signinTokenEndpoints {
		if a.name == name && endpoint == "token" {
			a.lie(s, w, r)
			return
		}
	}
	if endpoint == "par" {
		w.WriteHeader(http.StatusCreated)
		signinJSON(w, map[string]any{"request_uri": "urn:here", "expires_in": 60})
		return
	}
	http.NotFound(w, r)
}

// got is how often a path was asked for.
func (s *signinLiar) got(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[path]
}

func signinJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// signinDiscoveries are metadata that must not be believed.
var signinDiscoveries = []struct {
	name string
	lie  func(s *signinLiar, w http.ResponseWriter, md map[string]any)
}{
	{"d-other", signinSays("issuer", "https://login.other.test")},
	{"d-none", signinSays("issuer", nil)},
	{"d-slash", func(s *signinLiar, w http.ResponseWriter, md map[string]any) {
		md["issuer"] = fmt.Sprint(md["issuer"], "/")
		signinJSON(w, md)
	}},
	{"d-case", func(s *signinLiar, w http.ResponseWriter, md map[string]any) {
		md["issuer"] = strings.ToUpper(fmt.Sprint(md["issuer"]))
		signinJSON(w, md)
	}},
	{"d-token", signinSays("token_endpoint", "http://login.other.test/token")},
	{"d-keys", signinSays("jwks_uri", "http://169.254.169.254/latest/meta-data")},
	{"d-file", signinSays("jwks_uri", "file:///etc/passwd")},
	{"d-script", signinSays("authorization_endpoint", "javascript:alert(1)")},
	{"d-user", signinSays("token_endpoint", "https://a:b@login.other.test/token")},
	{"d-info", signinSays("userinfo_endpoint", "http://login.other.test/userinfo")},
	{"d-revoke", signinSays("revocation_endpoint", "http://login.other.test/revoke")},
	{"d-introspect", signinSays("introspection_endpoint", "http://login.other.test/introspect")},
	{"d-push", signinSays("pushed_authorization_request_endpoint", "http://login.other.test/par")},
	{"d-end", signinSays("end_session_endpoint", "http://login.other.test/end")},
	{"d-moved", func(s *signinLiar, w http.ResponseWriter, _ map[string]any) {
		w.Header().Set("Location", s.URL+"/evil/metadata")
		w.WriteHeader(http.StatusFound)
	}},
	{"d-page", func(_ *signinLiar, w http.ResponseWriter, _ map[string]any) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>Welcome to this network")
	}},
	{"d-long", func(_ *signinLiar, w http.ResponseWriter, md map[string]any) {
		md["padding"] = strings.Repeat("x", 2<<20)
		signinJSON(w, md)
	}},
}

func signinSays(name string, value any) func(*signinLiar, http.ResponseWriter, map[string]any) {
	return func(_ *signinLiar, w http.ResponseWriter, md map[string]any) {
		if md[name] = value; value == nil {
			delete(md, name)
		}
		signinJSON(w, md)
	}
}

// signinTokenEndpoints answer a grant with what is none.
var signinTokenEndpoints = []struct {
	name string
	lie  func(s *signinLiar, w http.ResponseWriter, r *http.Request)
}{
	{"t-302", signinMoves(http.StatusFound)},
	{"t-307", signinMoves(http.StatusTemporaryRedirect)},
	{"t-308", signinMoves(http.StatusPermanentRedirect)},
	{"t-page", func(_ *signinLiar, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>words of the provider</title>")
	}},
	{"t-endless", func(s *signinLiar, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"padding":"`)
		for chunk := strings.Repeat("x", 64<<10); ; {
			n, err := io.WriteString(w, chunk)
			s.mu.Lock()
			s.wrote += n
			over := s.wrote > 1<<30
			s.mu.Unlock()
			if err != nil || over {
				return
			}
		}
	}},
	{"t-stall", func(_ *signinLiar, _ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
		}
	}},
	{"t-words", func(_ *signinLiar, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		signinJSON(w, map[string]any{"error": "invalid_grant", "error_description": "words of the provider <script>alert(1)</script>"})
	}},
	{"t-500", func(_ *signinLiar, w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "words of the provider", http.StatusInternalServerError)
	}},
}

func signinMoves(status int) func(*signinLiar, http.ResponseWriter, *http.Request) {
	return func(s *signinLiar, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", s.URL+"/evil/token")
		w.WriteHeader(status)
	}
}

// config is the entry of each of them.
func (s *signinLiar) config() string {
	var b strings.Builder
	for _, d := range signinDiscoveries {
		b.WriteString(signinConfig(d.name, s.issuer(d.name)))
	}
	for _, a := range signinTokenEndpoints {
		b.WriteString(signinConfig(a.name, s.issuer(a.name), "timeout: 1s"))
	}
	b.WriteString(signinConfig("assert", s.issuer("assert"), "client_auth: private_key_jwt", "client_key_file: client.key"))
	return b.String()
}

// formOf is the last form that a path got.
func (s *signinLiar) formOf(path string) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := s.forms[path]; len(all) > 0 {
		return all[len(all)-1]
	}
	return url.Values{}
}

// endless is how much of an answer without an end was taken.
func (s *signinLiar) endless() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrote
}
