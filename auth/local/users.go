package local

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/internal/follow"
)

// User is one user as the users file holds it.
type User struct {
	// Name signs in, and is the subject of tokens.
	Name string
	// Password is an argon2id hash as a PHC string.
	Password string
	// DisplayName is the name as people write it, or "".
	DisplayName string
	// Email is the mail address, or "". The operator vouches for it.
	Email string
	// Groups are the groups the user is in.
	Groups []string
	// Disabled users cannot sign in, and have no sessions.
	Disabled bool
}

// Directory is the users at hand. What it hands out is swapped, never edited.
type Directory struct {
	opts  DirectoryOptions
	users atomic.Pointer[map[string]*known]
	costs atomic.Pointer[[]phc] // the hashes of all users, in the order of the file
	seed  maphash.Seed
	// readAt is when the users at hand were read, by the wall clock in ns.
	readAt atomic.Int64

	reading sync.Mutex // held from a look at the users to the swap: the later look wins

	mu       sync.Mutex // guards onChange
	onChange []func()

	seen  follow.Reading // what was read of the file last
	watch *follow.Files  // nil where there is no file
}

// known is a user, with what sign-in and checks need of them.
type known struct {
	User
	hash  phc
	stamp string
}

// DirectoryOptions are what a Directory is made of.
type DirectoryOptions struct {
	// Load reads the users.
	Load func() ([]User, error)
	// Path is the file that is watched; "" watches nothing.
	Path string
	// Every is how often the file is looked at; zero means each second.
	Every time.Duration
	// Save puts hash in the place of was, the stored password of a user. It returns
	// auth.ErrChanged where that is not what is stored any more. Nil means that passwords
	// are not changed from here.
	Save func(ctx context.Context, name, was, hash string) error
	// CanSave reports whether Save is likely to work; nil means that it is.
	CanSave func() bool
	// Log takes what went wrong; nil discards it.
	Log *slog.Logger
}

// NewDirectory reads the users and watches for changes until Close.
func NewDirectory(o DirectoryOptions) (*Directory, error) {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := &Directory{opts: o, seed: maphash.MakeSeed()}
	if err := d.read(); err != nil {
		return nil, err
	}
	if o.Path != "" {
		d.watch = follow.Start(follow.Options{Files: d.files, Seen: &d.seen, Every: o.Every, Changed: d.changed})
	}
	return d, nil
}

// OnChange has f called after each change of the users.
func (d *Directory) OnChange(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onChange = append(d.onChange, f)
}

// Close ends the watch, and waits for it.
func (d *Directory) Close() error {
	if d.watch == nil {
		return nil
	}
	return d.watch.Close()
}

// Len is how many users there are.
func (d *Directory) Len() int { return len(*d.users.Load()) }

func (d *Directory) find(name string) *known { return (*d.users.Load())[name] }

// decoy is a hash that costs what that of a user by this name would. Hashes of
// other parameters take another time, so each name that nobody has is given the
// parameters of some user, always the same: time tells nothing of who exists.
func (d *Directory) decoy(name string) phc {
	p := current
	if costs := *d.costs.Load(); len(costs) > 0 {
		if u := d.find(name); u != nil {
			p = u.hash
		} else {
			p = costs[maphash.String(d.seed, name)%uint64(len(costs))]
		}
	}
	p.salt, p.hash = make([]byte, saltSize), make([]byte, hashSize)
	return p
}

// files are those that are watched.
func (d *Directory) files() []string {
	if d.opts.Path == "" {
		return nil
	}
	return []string{d.opts.Path}
}

// read reads the users.
func (d *Directory) read() (err error) {
	d.reading.Lock()
	defer d.reading.Unlock()
	d.seen.Read(d.files(), func() { err = d.load() })
	return err
}

// load is the part of read that a look at the file stands before and after.
func (d *Directory) load() error {
	at := time.Now()
	users, err := d.opts.Load()
	if err != nil {
		return err
	}
	all, costs := make(map[string]*known, len(users)), make([]phc, 0, len(users))
	for _, u := range users {
		hash, err := parsePHC(u.Password)
		if err != nil {
			return fmt.Errorf("local: the password of user %q: %w; set it with: evergate user passwd %s", u.Name, err, u.Name)
		}
		costs = append(costs, hash)
		all[u.Name] = &known{User: u, hash: hash, stamp: stampOf(u.Password)}
	}
	d.users.Store(&all)
	d.costs.Store(&costs)
	d.readAt.Store(at.UnixNano())
	return nil
}

// stampOf is a digest of the stored hash: it changes with the password.
func stampOf(password string) string {
	sum := sha256.Sum256([]byte("evergate local stamp\x00" + password))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// changed reads the file again. A bad one keeps the users of before.
func (d *Directory) changed() {
	if err := d.read(); err != nil {
		d.opts.Log.Error("the users file has changed and cannot be used; the users of before stay in force", "path", d.opts.Path, "err", err)
		return
	}
	d.opts.Log.Info("the users file was read again", "path", d.opts.Path, "users", len(*d.users.Load()))
	d.tell()
}

// tell calls those who want to hear of changes.
func (d *Directory) tell() {
	d.mu.Lock()
	calls := d.onChange
	d.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// canonical is the one spelling that attempts are counted under: `Alice` and
// `alice ` are the same door.
func canonical(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
