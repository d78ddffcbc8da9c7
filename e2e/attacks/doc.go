// Package attacks has the catalogue of attacks, each sent to a gateway that runs as people run
// it: bytes on the wire, where a client library would tidy them up. What comes of one is looked
// at in three places: what the client got, what the app behind the gateway saw, and what the
// store and the audit log hold.
//
// A section is a file, a case is an attack of it, and docs/security.md has the table of them:
//
//	go test -count=1 ./attacks                      # all
//	go test -count=1 ./attacks -run Headers/H-02    # one
//	go test ./attacks -run Table -update            # the table, after a case was added or worded anew
package attacks
