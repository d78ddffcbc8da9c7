package config

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/evergate/evergate/internal/secret"
)

// Redis says where the sessions of several gateways are kept.
type Redis struct {
	// Addresses are host:port of the server, of nodes of a Cluster, or of Sentinels.
	Addresses []string `yaml:"addresses"`
	// Master is the name by which Sentinels know the server; "" is without them.
	Master string `yaml:"master"`
	// Username is an ACL user; "" is the default one.
	Username string `yaml:"username"`
	// PasswordFile holds its password, and is read at each connection.
	PasswordFile string `yaml:"password_file"`
	// SentinelUsername and SentinelPasswordFile are for the Sentinels.
	SentinelUsername     string `yaml:"sentinel_username"`
	SentinelPasswordFile string `yaml:"sentinel_password_file"`
	// TLS encrypts connections; nil does not.
	TLS *RedisTLS `yaml:"tls"`
	// DB is the number of the database.
	DB int `yaml:"db"`
	// KeyPrefix begins every key.
	KeyPrefix string `yaml:"key_prefix"`
	// Timeout bounds one operation.
	Timeout time.Duration `yaml:"timeout"`
}

// RedisTLS is how connections to Redis are encrypted. Without anything it trusts
// the authorities of the system.
type RedisTLS struct {
	// CAFile holds the authority to trust (PEM); "" is those of the system.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are a client certificate and its key (PEM), where the server
	// wants one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name that the certificate has; "" is the host of the address.
	ServerName string `yaml:"server_name"`
}

// ReadSecret reads a file that holds one secret. An empty path is no secret.
func ReadSecret(path string) (secret.Text, error) {
	if path == "" {
		return secret.Text{}, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return secret.Text{}, err
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return secret.Text{}, fmt.Errorf("%s is empty", path)
	}
	return secret.New(text), nil
}

func (c *Config) checkStore() {
	oneOf(c, "session.store", c.Session.Store, "bolt", "redis", "cookie")
	switch c.Session.Store {
	case "redis":
		c.checkRedis()
	case "cookie":
		c.checkCookieStore()
	}
}

func (c *Config) checkRedis() {
	r := &c.Session.Redis
	if len(c.Keys.Files) == 0 {
		c.wrong("make one with: evergate key new --out FILE, and give every gateway that file", "keys.files",
			"the store redis is for several gateways, and each would make a key ring of its own")
	}
	if len(r.Addresses) == 0 {
		c.wrong("", "session.redis.addresses", "no address is given")
	}
	for i, address := range r.Addresses {
		if host, port, err := net.SplitHostPort(address); err != nil || host == "" || !isPort(port) {
			c.wrong("write it as redis.example.com:6379", fmt.Sprintf("session.redis.addresses[%d]", i), "%q is no address", address)
		}
	}
	if r.DB < 0 {
		c.wrong("", "session.redis.db", "a database has a number from 0 on")
	}
	if strings.ContainsAny(r.KeyPrefix, "{}") {
		c.wrong("", "session.redis.key_prefix", "it holds a brace: a Cluster would put every key into one slot")
	}
	if r.Master == "" && (r.SentinelUsername != "" || r.SentinelPasswordFile != "") {
		c.wrong("", "session.redis.master", "there is a sign-in at Sentinels, and no master is named")
	}
	between(c, "session.redis.timeout", r.Timeout, 100*time.Millisecond, 10*time.Second)
	if t := r.TLS; t != nil && (t.CertFile == "") != (t.KeyFile == "") {
		c.wrong("", "session.redis.tls", "cert_file and key_file go together")
	}
}
