package config_test

import (
	"strings"
	"testing"

	"github.com/evergate/evergate/config"
)

// TestRiskIsToldByDefault, and nobody is signed out by it.
func TestRiskIsToldByDefault(t *testing.T) {
	if got, want := config.Default().Session.Risk, (config.Risk{NewDevice: "log", NewNetwork: "log", ChangedBrowser: "log", ParallelUse: "log"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestNetworksThatSignPeopleOut are warned of: the other signals are rare.
func TestNetworksThatSignPeopleOut(t *testing.T) {
	for risk, warns := range map[string]bool{
		"{}": false, "{ new_network: off }": false, "{ new_network: step_up }": true,
		"{ new_device: off, changed_browser: revoke, parallel_use: revoke }": false, "{ changed_browser: step_up, parallel_use: step_up }": false,
	} {
		got := onlyOf(warned(t, t.TempDir(), head0+"session: { risk: "+risk+" }\nroutes: [ redirect: /x ]\n"), "session.risk.new_network")
		if warns != strings.Contains(got, "a phone goes from one to the next all day") || !warns && got != "" {
			t.Errorf("%s: got %q, want a warning: %v", risk, got, warns)
		}
	}
}
