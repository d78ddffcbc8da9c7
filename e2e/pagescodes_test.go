package e2e

import (
	"encoding/base32"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/evergate/evergate/auth/totp"
)

// pagesCodes are the recovery codes of alice, at the gateway where a password is not enough. Whoever
// looks at a page there takes one.
type pagesCodes struct {
	sync.Mutex // guards left, and is held by who makes others
	left       []string
}

const (
	atSecond = `location.pathname == "/.evergate/second"`
	atCodes  = `document.readyState == "complete" && document.querySelectorAll(".codes li").length == 10`
)

// halfway signs in as far as a password goes.
func (v *visitor) halfway(user string) {
	v.t.Helper()
	v.visit("codes", "/page")
	v.signIn(user, pagesPassword)
	v.until("to be asked for more", patience, atSecond)
}

// halfwayToApp is halfway for somebody who has nothing, up to the key.
func (v *visitor) halfwayToApp(user string) {
	v.t.Helper()
	v.halfway(user)
	v.click(`a[href*="/account/app?step="]`)
	v.until("the key", patience, `document.querySelector("#key")`)
}

// code fills in a code and sends it.
func (v *visitor) code(code string) {
	v.t.Helper()
	v.fill("#code", code)
	v.click("main form button[type=submit]")
}

// enrolled has alice set up an app, unless she has.
func (v *visitor) enrolled() {
	v.t.Helper()
	c := &v.w.codes
	c.Lock()
	defer c.Unlock()
	if c.left != nil {
		return
	}
	v.halfwayToApp("alice")
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(v.text("#key"), " ", ""))
	if err != nil {
		v.t.Fatal(err)
	}
	v.code(totp.Code(key, totp.Step(time.Now())))
	v.until("recovery codes", patience, atCodes)
	c.left = strings.Fields(v.text(".codes"))
	v.forget()
}

// byRecovery signs alice in by a recovery code. The lock is held.
func (v *visitor) byRecovery() {
	v.t.Helper()
	c := &v.w.codes
	if len(c.left) == 0 {
		v.t.Fatal("all recovery codes are used")
	}
	v.halfway("alice")
	code := c.left[0]
	c.left = c.left[1:]
	v.code(code)
	v.until("the app", patience, atTheApp)
}

// newCodes has alice make recovery codes, and stays at the page that shows them.
func (v *visitor) newCodes() {
	v.t.Helper()
	v.enrolled()
	v.w.codes.Lock()
	defer v.w.codes.Unlock()
	v.byRecovery()
	v.visit("codes", "/.evergate/account/codes")
	v.click(fmt.Sprintf("form[action=%q] button", "/.evergate/account/codes"))
	v.until("recovery codes", patience, atCodes)
	v.w.codes.left = strings.Fields(v.text(".codes"))
}

// codesPages are those of people who prove more than a password by codes.
func codesPages() []*gatewayPage {
	signedIn := func(v *visitor) {
		v.t.Helper()
		v.enrolled()
		v.w.codes.Lock()
		defer v.w.codes.Unlock()
		v.byRecovery()
	}
	return []*gatewayPage{
		{name: "second factor to be set up", status: 200, path: "/.evergate/second", has: `a[href*="/account/app?step="]`, says: "second way",
			open: func(v *visitor) { v.halfway("carol") }},
		{name: "set up an app", status: 200, path: "/.evergate/account/app", has: `svg.qr`, says: "six digits",
			open: func(v *visitor) { v.halfwayToApp("carol") }},
		{name: "set up an app refused", status: 422, path: "/.evergate/account/app", has: anAlert, says: "not the code",
			open: func(v *visitor) {
				v.halfwayToApp("carol")
				v.code("000000")
				v.until("a refusal", patience, alerted)
			}},
		{name: "second factor", status: 200, path: "/.evergate/second", has: `input[autocomplete=one-time-code]`, says: "recovery codes",
			open: func(v *visitor) {
				v.enrolled()
				v.halfway("alice")
			}},
		{name: "second factor refused", status: 401, path: "/.evergate/second", has: anAlert, says: "wrong",
			open: func(v *visitor) {
				v.enrolled()
				v.halfway("alice")
				v.code("AAAA-BBBB-CCCC-DDDD")
				v.until("a refusal", patience, alerted)
			}},
		{name: "another app", status: 200, path: "/.evergate/account/app", has: `svg.qr`, says: "It has to stay",
			open: func(v *visitor) {
				signedIn(v)
				v.visit("codes", "/.evergate/account/app")
			}},
		{name: "account with an app", status: 200, path: "/.evergate/account", has: `a[href="/.evergate/account/codes"]`, says: "recovery codes", isList: true,
			open: func(v *visitor) {
				signedIn(v)
				v.visit("codes", "/.evergate/account")
			}},
		{name: "recovery codes", status: 200, path: "/.evergate/account/codes", has: `form button`, says: "take the place",
			open: func(v *visitor) {
				signedIn(v)
				v.visit("codes", "/.evergate/account/codes")
			}},
		{name: "new recovery codes", status: 200, path: "/.evergate/account/codes", has: `.codes li`, says: "I have kept them",
			open: func(v *visitor) { v.newCodes() }},
	}
}
