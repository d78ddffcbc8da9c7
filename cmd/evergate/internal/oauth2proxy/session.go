package oauth2proxy

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// defaultExpire is how long a cookie of oauth2-proxy lasts where nothing is said.
const defaultExpire = 168 * time.Hour

// session makes how long sign-ins last, and where they are kept.
func (x *importer) session() {
	top := x.root.section(2, "session:")
	x.sections["session"] = top
	x.lifetime(top)
	store := x.get("session-store-type")
	redis := strings.EqualFold(x.text("session-store-type"), "redis")
	switch {
	case redis:
		x.put(top, store, []string{"store: redis"}, "Sessions of oauth2-proxy do not carry over.")
		x.redis(top)
	case store != nil:
		x.put(top, store, []string{"store: bolt"}, store.note)
	}
	secret := x.get("cookie-secret")
	if secret == nil {
		secret = x.get("cookie-secret-file")
	}
	switch {
	case redis:
		note := "Gateways on one Redis need a key ring in common. Make it with: evergate key new --out evergate.key"
		x.todo = append(x.todo, "make the key ring: evergate key new --out evergate.key")
		lines := []string{"keys:", "  files: [evergate.key]"}
		if secret != nil {
			x.put(x.root, secret, lines, secret.note, note)
		} else {
			x.root.add(0, append(comment(note), lines...)...).order = store.order()
		}
	case secret != nil:
		x.remark(x.root, secret, secret.note, "It is made in data_dir at the first start.")
	}
}

// lifetime makes when sessions end.
func (x *importer) lifetime(top *outline) {
	refresh, r := x.lasts("cookie-refresh")
	expire, s := x.lasts("cookie-expire")
	entry := x.sections["identity"]
	browser := s != nil && expire == 0
	if s == nil || expire == 0 {
		expire = defaultExpire
	}
	expire = min(max(expire, time.Minute), 10*365*24*time.Hour)
	life, idle := expire, expire
	sliding := r != nil && refresh > 0
	if sliding {
		life = max(expire, 720*time.Hour)
	}
	lines := []string{"max_lifetime: " + hours(life), "idle_timeout: " + hours(idle)}
	switch {
	case sliding && s != nil:
		x.put(top, s, lines, "With cookie_refresh a cookie lasts for this long since its last use.")
	case sliding:
		x.put(top, r, lines, "A cookie lasts for a week since its last use, which is oauth2-proxy's default.")
	case browser:
		x.put(top, s, lines, "0 is until the browser closes, as Evergate has it unless identity.oidc.remember says otherwise. The store keeps the session for a week at most.")
	case s != nil:
		x.put(top, s, lines, "oauth2-proxy knows no end for want of use. Evergate's own defaults are max_lifetime: 720h and idle_timeout: 12h.")
	default:
		top.add(0, append(comment("A week, which is oauth2-proxy's default. Evergate's own are max_lifetime: 720h and idle_timeout: 12h."), lines...)...)
	}
	if sliding {
		x.use(r)
		if s != nil {
			x.done[r] = false
			x.carried--
		}
	}
	if !browser {
		entry.add(1<<40, append(comment("As with oauth2-proxy's cookie, people stay signed in when the browser closes."), "remember: true")...)
	}
}

// hours writes a duration as it is read.
func hours(d time.Duration) string {
	s := d.Round(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// redis makes where the server is.
func (x *importer) redis(top *outline) {
	in := top.section(2, "redis:")
	flags := []string{"redis-connection-url"}
	switch {
	case x.is("redis-use-sentinel", false):
		flags = []string{"redis-sentinel-connection-urls"}
		if s := x.get("redis-sentinel-master-name"); s != nil {
			x.made(x.put(in, s, []string{"master: " + scalar(s.values[0])}), x.get("redis-use-sentinel"))
		}
	case x.is("redis-use-cluster", false):
		flags = []string{"redis-cluster-connection-urls"}
	}
	values, from := x.all(flags[0])
	var addresses []string
	var secure, password, sentinel bool
	user, db := "", ""
	for i, v := range values {
		u, err := url.Parse(v)
		if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.Hostname() == "" || !hostPort.MatchString(u.Host) {
			x.fail(from[i], "want redis://HOST:PORT or rediss://HOST:PORT")
			continue
		}
		port := u.Port()
		if port == "" {
			port = map[bool]string{true: "26379", false: "6379"}[strings.HasPrefix(flags[0], "redis-sentinel")]
		}
		if a := net.JoinHostPort(u.Hostname(), port); !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
		secure = secure || u.Scheme == "rediss"
		if _, has := u.User.Password(); has && strings.HasPrefix(flags[0], "redis-sentinel") {
			sentinel = true
		} else if has {
			password = true
		}
		if u.User.Username() != "" {
			user = u.User.Username()
		}
		if number := strings.Trim(u.Path, "/"); number != "" && len(number) < 5 && strings.Trim(number, "0123456789") == "" {
			db = strings.TrimLeft(number, "0")
		}
	}
	if len(addresses) > 0 {
		lines := []string{"addresses: " + flow(addresses)}
		if db != "" {
			lines = append(lines, "db: "+db)
		}
		x.made(x.put(in, from[0], lines), from...)
	} else {
		in.add(0, append(comment("No address of Redis is given."), "addresses: [\"127.0.0.1:6379\"]")...)
	}
	if s := x.get("redis-username"); s != nil {
		x.put(in, s, []string{"username: " + scalar(s.values[0])})
	} else if user != "" && !strings.HasPrefix(flags[0], "redis-sentinel") {
		in.add(from[0].order(), "username: "+scalar(user))
	}
	x.redisSecret(in, "redis-password", "password_file", password, from)
	x.redisSecret(in, "redis-sentinel-password", "sentinel_password_file", sentinel, from)
	if ca := x.get("redis-ca-path"); ca != nil {
		x.put(in, ca, []string{"tls: { ca_file: " + scalar(ca.values[0]) + " }"})
	} else if secure {
		in.add(from[0].order(), "tls: {}")
	}
}

// redisSecret makes a key for a file that holds a password.
func (x *importer) redisSecret(in *outline, flag, key string, inURL bool, from []*setting) {
	if key == "sentinel_password_file" && !x.is("redis-use-sentinel", false) {
		return
	}
	file := strings.ReplaceAll(strings.TrimSuffix(key, "_file"), "_", "-")
	if !strings.HasPrefix(file, "sentinel") {
		file = "redis-" + file
	}
	switch s := x.get(flag); {
	case s != nil:
		x.put(in, s, []string{key + ": " + file}, x.secretFile(file))
	case inURL:
		in.add(from[0].order(), append(comment("The address holds a password. "+x.secretFile(file)), key+": "+file)...)
	}
}
