package rig

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// Collector is how a Go program collects its garbage: GOGC in percent (below zero is
// never), and GOMEMLIMIT in bytes. The zero value leaves both to Go.
type Collector struct {
	Percent int
	Limit   int64
}

// Collector reads from the gateway's metrics how it collects garbage.
func (g *Gateway) Collector(ctx context.Context) (Collector, error) {
	code, text, err := g.admin(ctx, "/metrics")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("got status %d, want 200", code)
	}
	if err != nil {
		return Collector{}, fmt.Errorf("the gateway's metrics: %w", err)
	}
	return readCollector(text)
}

func readCollector(metrics string) (c Collector, err error) {
	for s := bufio.NewScanner(strings.NewReader(metrics)); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		if name != "go_gc_gogc_percent" && name != "go_gc_gomemlimit_bytes" {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		switch {
		case err != nil:
			return c, fmt.Errorf("the gateway's metrics: %s: %w", name, err)
		case name == "go_gc_gomemlimit_bytes" && n < math.MaxInt64:
			c.Limit = int64(n)
		case name == "go_gc_gogc_percent" && n < math.MaxInt32:
			c.Percent = int(n)
		case name == "go_gc_gogc_percent":
			c.Percent = -1 // off is told as the largest number
		}
	}
	if c.Percent == 0 {
		return c, fmt.Errorf("the gateway's metrics have no go_gc_gogc_percent")
	}
	return c, nil
}

// env is what gives another program the same.
func (c Collector) env() (env []string) {
	switch {
	case c.Percent < 0:
		env = append(env, "GOGC=off")
	case c.Percent > 0:
		env = append(env, "GOGC="+strconv.Itoa(c.Percent))
	}
	if c.Limit > 0 {
		env = append(env, "GOMEMLIMIT="+strconv.FormatInt(c.Limit, 10))
	}
	return env
}
