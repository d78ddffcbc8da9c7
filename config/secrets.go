package config

import "fmt"

// SecretFile is a file that holds a secret.
type SecretFile struct {
	// Key is where the config names it, such as tls.key_file.
	Key string
	// Path is the file.
	Path string
}

// SecretFiles are the files with secrets that the config names. What is made in data_dir
// is not among them.
func (c *Config) SecretFiles() (all []SecretFile) {
	add := func(path, format string, args ...any) {
		if path != "" {
			all = append(all, SecretFile{Key: fmt.Sprintf(format, args...), Path: path})
		}
	}
	add(c.TLS.KeyFile, "tls.key_file")
	for i, file := range c.Keys.Files {
		add(file, "keys.files[%d]", i)
	}
	for i, id := range c.Identity {
		if id.Local != nil {
			add(id.Local.UsersFile, "identity[%d].local.users_file", i)
		}
		if o := id.OIDC; o != nil {
			add(o.ClientSecretFile, "identity[%d].oidc.client_secret_file", i)
			add(o.ClientKeyFile, "identity[%d].oidc.client_key_file", i)
		}
	}
	for i := range c.Routes {
		r := &c.Routes[i]
		if r.Upstream != nil && r.Upstream.TLS != nil {
			add(r.Upstream.TLS.KeyFile, "routes[%d].upstream.tls.key_file", i)
		}
		if r.UpstreamAuth != nil {
			for _, f := range r.UpstreamAuth.files() {
				add(*f.name, "routes[%d].upstream_auth.%s", i, f.key)
			}
		}
	}
	if c.Session.Store == "redis" {
		r := &c.Session.Redis
		add(r.PasswordFile, "session.redis.password_file")
		add(r.SentinelPasswordFile, "session.redis.sentinel_password_file")
		if r.TLS != nil {
			add(r.TLS.KeyFile, "session.redis.tls.key_file")
		}
	}
	if t := c.Tracing; t != nil {
		add(t.HeadersFile, "tracing.headers_file")
		if t.TLS != nil {
			add(t.TLS.KeyFile, "tracing.tls.key_file")
		}
	}
	return all
}
