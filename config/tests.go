package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Test is a request, who makes it, and what has to become of it.
type Test struct {
	// Name says what it shows.
	Name string `yaml:"name"`
	// Request is what is asked; in short, a method and a URL.
	Request TestRequest `yaml:"request"`
	// Identity is who asks; nil is nobody.
	Identity *TestIdentity `yaml:"identity"`
	// Expect is what has to become of it; in short, the decision.
	Expect Expectation `yaml:"expect"`
}

// TestRequest is the request of a Test.
type TestRequest struct {
	// Method is GET where it is left out.
	Method string `yaml:"method"`
	// URL is an address of this gateway, or a path on the host of public_url.
	URL string `yaml:"url"`
	// Address is the client's; 192.0.2.1 where it is left out.
	Address string `yaml:"address"`
	// Headers are the request's.
	Headers map[string]string `yaml:"headers"`
	// Time is when it comes, such as 2026-11-27T09:00:00Z; left out it is noon (UTC) of Monday, 5 January 2026, so that what a test says never depends on when it runs.
	Time string `yaml:"time"`
}

// TestIdentity is somebody who is signed in.
type TestIdentity struct {
	// User is the name that rules know them by.
	User string `yaml:"user"`
	// Provider is the way they signed in; the first one where it is left out.
	Provider string `yaml:"provider"`
	// Name is their display name.
	Name string `yaml:"name"`
	// Email is their address; EmailVerified says whether the provider vouches for it, and is true where it is left out.
	Email         string `yaml:"email"`
	EmailVerified *bool  `yaml:"email_verified"`
	// Groups are those they are in.
	Groups []string `yaml:"groups"`
	// Claims are what the provider says of them besides.
	Claims map[string]Value `yaml:"claims"`
	// ACR is the class of their sign-in.
	ACR string `yaml:"acr"`
	// AMR are the methods they used.
	AMR []string `yaml:"amr"`
	// AuthAge is how long ago they signed in; nil is just now.
	AuthAge *time.Duration `yaml:"auth_age"`
}

// Expectation is what has to become of a request. What is left out is not looked at.
type Expectation struct {
	// Decision is allowed, public, login, step-up, denied, refused, preflight or own.
	Decision string `yaml:"decision"`
	// Route is the name of the route.
	Route string `yaml:"route"`
	// Rule is where the rule stands that makes the difference, such as rules.staff.allow[0].
	Rule string `yaml:"rule"`
	// Observed is what would become of it by the rules in mode observe.
	Observed string `yaml:"observed"`
	// Status is that of the answer, where the gateway answers by itself.
	Status int `yaml:"status"`
	// Path is the path that the app gets.
	Path string `yaml:"path"`
}

// Decisions are the words of Expectation.Decision.
var Decisions = []string{"allowed", "public", "login", "step-up", "denied", "refused", "preflight", "own"}

// Value is any value, as a claim may be.
type Value struct{ any }

// Get returns it: a string, bool, float64, []any, map[string]any or nil, as JSON has them.
func (v Value) Get() any { return v.any }

// value reads any value. A variable in it is expanded, and stays text.
func (d *decoder) value(n *yaml.Node, path string) Value {
	switch n.Kind {
	case yaml.SequenceNode:
		list := []any{}
		for i, c := range n.Content {
			list = append(list, d.value(c, fmt.Sprintf("%s[%d]", path, i)).any)
		}
		return Value{list}
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = d.value(n.Content[i+1], sub(path, n.Content[i].Value)).any
		}
		return Value{m}
	}
	switch n.Tag {
	case "!!null":
		return Value{}
	case "!!bool":
		return Value{n.Value == "true"}
	case "!!int", "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return Value{f}
		}
	}
	text, err := expand(n.Value, d.getenv)
	if err != nil {
		d.fault(n, path, err.Error(), "")
	}
	return Value{text}
}

// requestLine is a request in short: "GET https://…", or a URL alone.
type requestLine struct{ of *TestRequest }

func (l *requestLine) fromText(text string) error {
	var found bool
	if l.of.Method, l.of.URL, found = strings.Cut(text, " "); !found {
		l.of.Method, l.of.URL = "GET", text
	}
	return nil
}

// Fill puts in what is left out, and reads the rest. It is for a Config that is valid.
func (r *TestRequest) Fill(c *Config) (method string, at *url.URL, address netip.Addr, when time.Time) {
	if method = r.Method; method == "" {
		method = "GET"
	}
	at, err := url.Parse(r.URL)
	if err != nil {
		at = &url.URL{Path: "/"}
	}
	at = c.Address(at)
	if address, err = netip.ParseAddr(r.Address); err != nil {
		address = netip.AddrFrom4([4]byte{192, 0, 2, 1}) // RFC 5737: nobody's
	}
	if when, err = time.Parse(time.RFC3339, r.Time); err != nil {
		when = time.Date(2026, time.January, 5, 12, 0, 0, 0, time.UTC)
	}
	return method, at, address, when
}

// Address is an address of this gateway: what has no host is of public_url's. Its path
// stays as it is, byte for byte, and is not cleaned: that is for the gate to refuse.
func (c *Config) Address(at *url.URL) *url.URL {
	out := *at
	if at.Host == "" {
		out.Scheme, out.Host = c.PublicURL.Scheme, c.PublicURL.Host
	}
	return &out
}

func (c *Config) checkTests() {
	names := c.ProviderNames()
	for i := range c.Tests {
		t, path := &c.Tests[i], fmt.Sprintf("tests[%d]", i)
		c.checkTestRequest(&t.Request, path+".request")
		if id := t.Identity; id != nil {
			c.checkTestIdentity(id, path+".identity", names)
		}
		e := &t.Expect
		if *e == (Expectation{}) {
			c.wrong("add expect: allowed, or denied, login, public, …", path, "it does not say what is expected")
		}
		if e.Decision != "" {
			oneOf(c, path+".expect.decision", e.Decision, Decisions...)
		}
		if e.Observed != "" {
			oneOf(c, path+".expect.observed", e.Observed, Decisions[:5]...)
		}
		if e.Status != 0 {
			among(c, path+".expect.status", e.Status, 200, 599)
		}
	}
}

func (c *Config) checkTestRequest(r *TestRequest, path string) {
	u, err := url.Parse(r.URL)
	switch {
	case r.URL == "":
		c.wrong("write it as request: GET https://wiki.example.com/w/, or with url: and more", path, "there is no URL")
	case err != nil || u.Scheme != "" && u.Scheme != "https" && u.Scheme != "http" || u.Scheme == "" && !strings.HasPrefix(r.URL, "/") || strings.HasPrefix(r.URL, "//"):
		c.wrong("write https://wiki.example.com/w/, or /w/ on the host of public_url", path, "%q is no address of this gateway", r.URL)
	case strings.Contains(r.URL, "#"):
		c.wrong("leave it out", path, "what follows # stays in the browser, and a client that sends it is answered 400")
	}
	if _, err := netip.ParseAddr(r.Address); r.Address != "" && err != nil {
		c.wrong("", path+".address", "want an address such as 10.1.2.3, got %q", r.Address)
	}
	if _, err := time.Parse(time.RFC3339, r.Time); r.Time != "" && err != nil {
		c.wrong("", path+".time", "want a time such as 2026-11-27T09:00:00Z, got %q", r.Time)
	}
	for name := range r.Headers {
		if !isToken(name) {
			c.wrong("", path+".headers."+name, "%q is no header name", name)
		}
	}
}

func (c *Config) checkTestIdentity(id *TestIdentity, path string, names []string) {
	if id.User == "" {
		c.wrong("add user: alice", path, "it has no user; leave identity out for nobody")
	}
	if id.Provider != "" && !slices.Contains(names, id.Provider) {
		oneOf(c, path+".provider", id.Provider, names...)
	}
	if id.AuthAge != nil && *id.AuthAge < 0 {
		c.wrong("", path+".auth_age", "want a duration of 0s or more")
	}
}
