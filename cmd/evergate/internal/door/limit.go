package door

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// sayEvery is how often one kind of trouble with connections is told: a flood of
// them must not become a flood of lines.
const sayEvery = time.Minute

// coarse tells a thing at once and then at most once a minute, with how often it
// was.
type coarse struct {
	log *slog.Logger
	now func() time.Time

	mu    sync.Mutex // guards count, next
	count int
	next  time.Time
}

func (c *coarse) warn(msg string, args ...any) {
	c.mu.Lock()
	c.count++
	count, now := c.count, c.now()
	say := !now.Before(c.next)
	if say {
		c.count, c.next = 0, now.Add(sayEvery)
	}
	c.mu.Unlock()
	if say {
		c.log.Warn(msg, append(args, "times", count)...)
	}
}

// limiter counts the connections of each address. Its listeners share it.
type limiter struct {
	rules atomic.Pointer[limits]
	over  coarse

	mu   sync.Mutex // guards open
	open map[netip.Prefix]int
}

// limits are what a limiter goes by.
type limits struct {
	most    int // zero is no limit
	trusted []netip.Prefix
}

func newLimiter(most int, trusted []netip.Prefix, log *slog.Logger) *limiter {
	l := &limiter{over: coarse{log: log, now: time.Now}, open: map[netip.Prefix]int{}}
	l.rules.Store(&limits{most, trusted})
	return l
}

func (l *limiter) isTrusted(addr net.Addr) bool {
	return web.IsTrusted(l.rules.Load().trusted, ipOf(addr))
}

// admit counts a connection of addr until release, which is nil where nothing is
// counted. It reports false where addr has as many as it may.
func (l *limiter) admit(addr net.Addr) (release func(), ok bool) {
	ip, rules := ipOf(addr), l.rules.Load()
	if rules.most == 0 || !ip.IsValid() || web.IsTrusted(rules.trusted, ip) {
		return nil, true
	}
	who := web.Network(ip)
	l.mu.Lock()
	if ok = l.open[who] < rules.most; ok {
		l.open[who]++
	}
	l.mu.Unlock()
	if !ok {
		l.over.warn("connections were closed at once: their address has as many as limits.connections_per_address; if it is a proxy, list it in trusted_proxies",
			"event", "door.too_many_connections", "address", who.String(), "limit", rules.most)
		return nil, false
	}
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.open[who]--; l.open[who] == 0 {
			delete(l.open, who)
		}
	}), true
}

func ipOf(addr net.Addr) netip.Addr {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

// limited closes connections over the limit before a byte of them is read.
type limited struct {
	net.Listener
	limiter *limiter
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		release, ok := l.limiter.admit(c.RemoteAddr())
		if !ok {
			_ = c.Close()
			continue
		}
		if tcp, isTCP := c.(*net.TCPConn); isTCP && release != nil {
			return &counted{tcp, release}, nil
		}
		return c, nil
	}
}

// counted is a connection that counts until it is closed. It embeds the TCP
// connection for its ReadFrom, by which the kernel copies.
type counted struct {
	*net.TCPConn
	release func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.release()
	return c.TCPConn.Close()
}
