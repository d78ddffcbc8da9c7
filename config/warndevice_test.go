package config_test

import (
	"strings"
	"testing"
)

// TestProofsThatBrowsersHaveNoQuotaFor: a bound cookie that is over every few minutes.
func TestProofsThatBrowsersHaveNoQuotaFor(t *testing.T) {
	for time, warns := range map[string]bool{"10s": true, "299s": true, "5m": false, "10m": false, "24h": false} {
		got := onlyOf(warned(t, t.TempDir(), head0+"session: { bound_for: "+time+" }\nroutes: [ redirect: /x ]\n"), "session.bound_for")
		if warns != strings.Contains(got, "has a quota") {
			t.Errorf("%s: got %q, want a warning: %v", time, got, warns)
		}
	}
	if got := onlyOf(warned(t, t.TempDir(), head0+"routes: [ redirect: /x ]\n"), "session.bound_for"); got != "" {
		t.Errorf("by default: got %q", got)
	}
}

// TestRequiredDevicesThatNobodyBinds: browsers are asked where the gateway knows of https alone.
func TestRequiredDevicesThatNobodyBinds(t *testing.T) {
	const required = "routes: [ { device_bound: require, redirect: /x } ]\n"
	for name, row := range map[string]struct {
		text  string
		warns bool
	}{
		"a front that nobody believes": {head0 + required, true},
		"a front that is believed":     {head0 + "trusted_proxies: [10.0.0.2]\n" + required, false},
		"TLS of its own":               {head0 + "tls: { acme: {} }\n" + required, false},
		"it is not required":           {head0 + "routes: [ { device_bound: prefer, redirect: /x } ]\n", false},
	} {
		got := onlyOf(warned(t, t.TempDir(), row.text), "device_bound")
		if row.warns != strings.Contains(got, "no browser will be asked") {
			t.Errorf("%s: got %q, want a warning: %v", name, got, row.warns)
		}
	}
}
