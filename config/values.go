package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// parseDuration reads Go's durations and days: 30s, 15m, 12h, 30d.
func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("want a duration such as 30s, 15m, 12h or 30d, got %q", s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, bad
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, bad
	}
	return d, nil
}

func showDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// inDays writes a time as people say it: 30d and not 720h.
func inDays(d time.Duration) string {
	if day := 24 * time.Hour; d >= 3*day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	return showDuration(d)
}

// parsePrefix reads a range of addresses, or a single one.
func parsePrefix(s string) (netip.Prefix, error) {
	a, err := netip.ParseAddr(s)
	p := netip.PrefixFrom(a, a.BitLen())
	if err != nil {
		p, err = netip.ParsePrefix(s)
	}
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("want an address or a range such as 10.0.0.0/8, got %q", s)
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is IPv4 in the clothes of IPv6, as no client's address is taken; write it as IPv4", s)
	case a.Zone() != "":
		return netip.Prefix{}, fmt.Errorf("%q names an interface, which is not looked at; write it without", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("the range %s has bits beyond its length; it would be %s", p, p.Masked())
	}
	return p, nil
}

// Size is a number of bytes: 65536, 64KiB, 10MiB or 1GiB.
type Size int64

var units = []struct {
	suffix string
	size   Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func (s *Size) fromText(text string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 32)
		if err == nil {
			*s = Size(n) * u.size
			return nil
		}
	}
	return fmt.Errorf("want a size such as 64KiB, 10MiB or 0, got %q", text)
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range units {
		if u.size > 1 && s >= u.size && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// RenewBefore is how much of an access token's life is left when its renewal
// is due: a part of it, or a time.
type RenewBefore struct {
	Percent int
	Time    time.Duration
}

// For returns the time for a token of the given life.
func (r RenewBefore) For(life time.Duration) time.Duration {
	if r.Time > 0 {
		return min(r.Time, life)
	}
	return life * time.Duration(r.Percent) / 100
}

func (r *RenewBefore) fromText(text string) error {
	if p, ok := strings.CutSuffix(text, "%"); ok {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 90 {
			return fmt.Errorf("want 1%% to 90%%, got %q", text)
		}
		*r = RenewBefore{Percent: n}
		return nil
	}
	d, err := parseDuration(text)
	if err != nil || d <= 0 {
		return errors.New("want a part of the lifetime such as 20%, or a duration")
	}
	*r = RenewBefore{Time: d}
	return nil
}

// String writes it as it is read.
func (r RenewBefore) String() string {
	if r.Time > 0 {
		return showDuration(r.Time)
	}
	return strconv.Itoa(r.Percent) + "%"
}
