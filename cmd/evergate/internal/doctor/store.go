package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/evergate/evergate/session/bolt"
	"github.com/evergate/evergate/session/redis"
)

const (
	// slowStore is beyond what a request should wait for its session.
	slowStore = 20 * time.Millisecond
	// slowDisk is beyond what a sign-in should wait for its record.
	slowDisk = 250 * time.Millisecond
	// oldRedis is the last version without what the scripts need (PXAT, RESP3).
	oldRedis = 5
)

func (p *Patient) store(ctx context.Context) []Finding {
	switch p.Config.Session.Store {
	case "redis":
		return p.redis(ctx)
	case "cookie":
		return []Finding{{Skip, "store.round_trip", "cookie", "sessions lie in the browsers' cookies, so there is no store to ask", ""}}
	}
	return []Finding{p.bolt(ctx)}
}

// bolt asks the gateway that has the file, or opens it.
func (p *Patient) bolt(ctx context.Context) Finding {
	path := filepath.Join(p.Config.DataDir, "sessions.db")
	f := Finding{OK, "store.round_trip", "bolt", "", ""}
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !p.alive:
		f.Text = path + " is not there yet; evergate serve makes it"
		return f
	case p.alive:
		return p.boltInUse(ctx, f)
	}
	took, err := bolt.RoundTrip(ctx, path)
	switch {
	case errors.Is(err, bolt.ErrInUse):
		f.Status, f.Text = Fail, err.Error()
		f.Mend = "it does not answer at admin.listen: is it another gateway, or one with another admin.listen? Two cannot have the same data_dir"
	case errors.Is(err, bolt.ErrDamaged):
		f.Status, f.Text, f.Mend = Fail, err.Error(), "put a copy from a backup in its place, or move it away: then everybody signs in anew"
	case err != nil:
		f.Status, f.Text, f.Mend = Fail, err.Error(), "look at the space, the mode and the owner of "+p.Config.DataDir
	case took > slowDisk:
		f.Status, f.Text = Warn, fmt.Sprintf("a record of the doctor's own was written, read and removed; writing took %s", round(took))
		f.Mend = "put data_dir on a faster disk: every sign-in and renewal waits that long"
	default:
		f.Text = fmt.Sprintf("a record of the doctor's own was written in %s, read and removed", round(took))
	}
	return f
}

// boltInUse asks the gateway, for one process alone can have the file.
func (p *Patient) boltInUse(ctx context.Context, f Finding) Finding {
	r, err := p.readyz(ctx)
	if err != nil {
		f.Status, f.Text = Skip, fmt.Sprintf("the gateway that runs has the file, and does not say how it is: %v", err)
		return f
	}
	reads, ok := r.Parts["store"]
	writes := r.Parts["store writes"]
	switch {
	case !ok:
		f.Status, f.Text = Skip, "the gateway that runs has no store of this kind"
		f.Mend = "is it another gateway that listens at " + p.Admin + "?"
	case !reads.OK:
		f.Status, f.Text, f.Mend = Fail, "the gateway that runs cannot read it: "+reads.Reason, "look into its log"
	case !writes.OK:
		f.Status, f.Text, f.Mend = Fail, "the gateway that runs cannot write to it: "+writes.Reason, "make room, or look at the mode and the owner of "+p.Config.DataDir
	default:
		f.Text = "the gateway that runs has the file, and says that it reads and writes"
	}
	return f
}

func (p *Patient) redis(ctx context.Context) []Finding {
	at := strings.Join(p.Config.Session.Redis.Addresses, ",")
	trip := Finding{OK, "store.round_trip", "redis " + at, "", ""}
	o, err := p.Redis()
	var e *redis.Examined
	if err == nil {
		e, err = redis.Examine(ctx, o)
	}
	if err != nil {
		trip.Status, trip.Text, trip.Mend = Fail, err.Error(), mendRedis(err)
	} else {
		trip.Text = fmt.Sprintf("a record of the doctor's own was written, read and removed; a round trip takes %s", round(e.Latency))
		if e.Latency > slowStore {
			trip.Status, trip.Mend = Warn, "every request that is not served from memory waits that long: bring it nearer"
		}
	}
	if e == nil {
		return []Finding{trip}
	}
	all := append([]Finding{trip}, settings(e)...)
	return append(all, storeClock(e))
}

func mendRedis(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"):
		return "look at session.redis.username and password_file"
	case strings.Contains(text, "NOPERM"):
		return "give the user what docs/redis.md lists: ACL SETUSER"
	case strings.Contains(text, "READONLY"):
		return "it is a replica: name the master, or the Sentinels and session.redis.master"
	case strings.Contains(text, "certificate"), strings.Contains(text, "tls:"):
		return "look at session.redis.tls: ca_file and server_name"
	case strings.Contains(text, "OOM"):
		return "it is full: raise its maxmemory"
	}
	return "is it up, and are session.redis.addresses right? try: redis-cli -h HOST -p PORT ping"
}

// settings tell what will go wrong on a bad day.
func settings(e *redis.Examined) (all []Finding) {
	for _, n := range e.Nodes {
		f := Finding{OK, "store.settings", n.Address, "", ""}
		if n.Version == "" {
			f.Status, f.Text = Skip, "this user may not read INFO, so its settings are not known"
			f.Mend = "allow +info to the ACL user, or look yourself: maxmemory-policy noeviction, appendonly yes"
			all = append(all, f)
			continue
		}
		var wrong, mend []string
		say := func(status Status, what, todo string) {
			if f.Status != Fail {
				f.Status = status
			}
			wrong, mend = append(wrong, what), append(mend, todo)
		}
		if n.Major() <= oldRedis {
			say(Fail, "too old", "use Redis 7 or Valkey")
		}
		if n.Role == "slave" {
			say(Fail, "it is a replica", "name the master, or the Sentinels and session.redis.master")
		}
		if n.Policy != "noeviction" && n.Policy != "" {
			if n.MaxMemory != "0" {
				say(Fail, "it evicts sessions when it is full ("+n.Policy+"), which signs people out", "CONFIG SET maxmemory-policy noeviction")
			} else {
				say(Warn, "maxmemory-policy is "+n.Policy+", which signs people out once there is a maxmemory", "CONFIG SET maxmemory-policy noeviction")
			}
		}
		if !n.AOF {
			say(Warn, "it appends to no file, so a restart loses the latest sign-ins and renewals", "CONFIG SET appendonly yes")
		}
		if n.Trouble != "" {
			say(Fail, "it could not save: "+n.Trouble, "look into its log, and at the space on its disk")
		}
		if !e.Tracking {
			say(Warn, "it knows no CLIENT TRACKING, so every request asks it", "connect without the proxy in between, or use a server that has it")
		}
		f.Text = fmt.Sprintf("%s %s, no eviction, appends to a file, client-side caching", n.Program, n.Version)
		if len(wrong) > 0 {
			f.Text = fmt.Sprintf("%s %s: %s", n.Program, n.Version, strings.Join(wrong, "; "))
			f.Mend = strings.Join(mend, "; ")
		}
		all = append(all, f)
	}
	return all
}

func storeClock(e *redis.Examined) Finding {
	f := Finding{OK, "store.clock", "redis", "its clock is " + ahead(e.Skew, e.SkewWithin), ""}
	if beyond(e.Skew, e.SkewWithin) > mostSkew {
		// Sessions go by the store's clock; tokens by this machine's.
		f.Status, f.Mend = Warn, "set both clocks (timedatectl): sessions go by the store's, and tokens by this machine's"
	}
	return f
}
