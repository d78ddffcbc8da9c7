package proxy

import "net/url"

// SetURL is the door to what goes onto the wire.
func SetURL(t *Target, u *url.URL, base string) { t.setURL(u, base) }
