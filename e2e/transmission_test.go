package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// startTransmission runs Debian's transmission-daemon, a real application whose
// pages, scripts and calls need no sign-in here, with everything it keeps in
// dir. It talks to nobody but its web page. It returns the URL of its server.
func startTransmission(t *testing.T, dir string) string {
	t.Helper()
	daemon := need(t, "transmission-daemon", "transmission-daemon")
	port := freePort(t)
	settings, err := json.Marshal(map[string]any{
		"rpc-authentication-required": false, "rpc-bind-address": "127.0.0.1", "rpc-whitelist": "127.0.0.1",
		"dht-enabled": false, "lpd-enabled": false, "pex-enabled": false, "utp-enabled": false, "port-forwarding-enabled": false,
		"bind-address-ipv4": "127.0.0.1", "bind-address-ipv6": "::1", "download-dir": filepath.Join(dir, "downloads"),
		"start-added-torrents": false,
	})
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "downloads"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "settings.json"), settings, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, daemon, "--foreground", "--config-dir", dir, "--port", port, "--peerport", freePort(t))
	url := "http://127.0.0.1:" + port
	p.awaitHTTP(t, url+"/transmission/web/")
	return url
}

// magnet is a torrent that nobody has: it stays what it is.
const magnet = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=Evergate-evidence"

// addTorrent opens a torrent by the application's own dialogue.
func addTorrent(p *tab) {
	p.t.Helper()
	p.click("#toolbar-open")
	p.fill("#torrent_upload_url", magnet)
	p.shot("transmission-open")
	p.click("#upload_confirm_button")
	p.until("the torrent in the list", patience, `document.querySelector("#torrent_list").innerText.includes("Evergate-evidence")`)
}

// toggleTurtle presses the button for the low speed limits. The page shows it
// pressed once the server has said so.
func toggleTurtle(p *tab, pressed bool) {
	p.t.Helper()
	p.click("#turtle-button")
	p.until(fmt.Sprintf("the turtle is pressed: %t", pressed), patience,
		fmt.Sprintf(`document.querySelector("#turtle-button").classList.contains("selected") == %t`, pressed))
}

// removeTorrent takes the torrent out of the list again.
func removeTorrent(p *tab) {
	p.t.Helper()
	p.click("#torrent_list .torrent")
	p.click("#toolbar-remove")
	p.until("the question", patience, `document.querySelector("#dialog_confirm_button")?.offsetParent`)
	p.click("#dialog_confirm_button")
	p.until("an empty list", patience, `!document.querySelector("#torrent_list").innerText.includes("Evergate-evidence")`)
}
