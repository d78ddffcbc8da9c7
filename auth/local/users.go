package local

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergate/evergate/auth"
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
	opts DirectoryOptions
	seed maphash.Seed
	at   atomic.Pointer[view]

	reading sync.Mutex // held from a look at the users to the swap: the later look wins; guards what follows
	file    []*known   // as the file has them, in its order
	readAt  time.Time  // when it was read, and what is kept beside it too
	beside

	mu       sync.Mutex // guards onChange
	onChange []func(file bool)

	seen  follow.Reading // what was read of the file last
	watch *follow.Files  // nil where there is no file
}

// view is the users at hand: those of the file, with the passwords that were changed here.
type view struct {
	users   map[string]*known
	costs   []phc // the hashes of all users, in the order of the file
	invites map[digest]invitation
	// readAt is when this was read, by the wall clock in ns.
	readAt int64
	// unread says that what is kept beside the file was never read: nobody's password is known.
	unread bool
}

// known is a user, with what sign-in and checks need of them.
type known struct {
	User
	hash  phc
	stamp string
	from  string // the stamp of the password in the file
	since int64  // when the password was changed here, by the wall clock in ns; 0 is never
}

// DirectoryOptions are what a Directory is made of.
type DirectoryOptions struct {
	// Load reads the users.
	Load func() ([]User, error)
	// Path is the file that is watched; "" watches nothing.
	Path string
	// Every is how often the file is looked at; zero means each second.
	Every time.Duration
	// Board is where the passwords lie that were changed here, and invitations. Nil means that
	// passwords are the file's alone.
	Board Board
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
	d.begin()
	if err := d.read(); err != nil {
		d.end()
		return nil, err
	}
	if o.Board != nil {
		d.follow()
	}
	if o.Path != "" {
		d.watch = follow.Start(follow.Options{Files: d.files, Seen: &d.seen, Every: o.Every, Changed: d.changed})
	}
	return d, nil
}

// OnChange has f called after each change of the users: of their file, or of what is kept beside it.
func (d *Directory) OnChange(f func(file bool)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.onChange = append(d.onChange, f)
}

// Close ends what the Directory runs, and waits for it.
func (d *Directory) Close() error {
	d.end()
	if d.watch == nil {
		return nil
	}
	return d.watch.Close()
}

// Names are those of all users, in the order of the file.
func (d *Directory) Names() []string {
	d.reading.Lock()
	defer d.reading.Unlock()
	names := make([]string, 0, len(d.file))
	for _, u := range d.file {
		names = append(names, u.Name)
	}
	return names
}

// Len is how many users there are.
func (d *Directory) Len() int { return len(d.at.Load().users) }

// Has reports whether there is a user of that name.
func (d *Directory) Has(name string) bool { return d.find(name) != nil }

func (d *Directory) find(name string) *known { return d.at.Load().users[name] }

// decoy is a hash that costs what that of a user by this name would. Hashes of
// other parameters take another time, so each name that nobody has is given the
// parameters of some user, always the same: time tells nothing of who exists.
func (d *Directory) decoy(name string) phc {
	p := current
	if costs := d.at.Load().costs; len(costs) > 0 {
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
func (d *Directory) read() error {
	d.reading.Lock()
	defer d.reading.Unlock()
	return d.readNow()
}

// readNow is read for whoever holds reading.
func (d *Directory) readNow() (err error) {
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
	file := make([]*known, 0, len(users))
	for _, u := range users {
		hash, err := parsePHC(u.Password)
		if err != nil {
			return fmt.Errorf("local: the password of user %q: %w; set it with: evergate user passwd %s", u.Name, err, u.Name)
		}
		stamp := stampOf(u.Password)
		file = append(file, &known{User: u, hash: hash, stamp: stamp, from: stamp})
	}
	d.file = file
	// A session that another gateway began may be by what was changed there after the last
	// look: the time of this one counts only if nothing is older.
	if d.lookBeside(auth.Newest) {
		d.readAt = at
	}
	d.swap()
	return nil
}

// swap makes the users of the file, and of what is kept beside it, those at hand. reading is held.
func (d *Directory) swap() {
	v := &view{users: make(map[string]*known, len(d.file)), costs: make([]phc, 0, len(d.file)), invites: d.kept.invitations(),
		readAt: d.readAt.UnixNano(), unread: d.opts.Board != nil && d.kept == nil}
	for _, u := range d.file {
		u = d.kept.over(u)
		v.costs = append(v.costs, u.hash)
		v.users[u.Name] = u
	}
	d.at.Store(v)
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
	d.opts.Log.Info("the users file was read again", "path", d.opts.Path, "users", d.Len())
	d.tell(true)
}

// tell calls those who want to hear of changes.
func (d *Directory) tell(file bool) {
	d.mu.Lock()
	calls := d.onChange
	d.mu.Unlock()
	for _, f := range calls {
		f(file)
	}
}

// canonical is the one spelling that attempts are counted under: `Alice` and
// `alice ` are the same door.
func canonical(name string) string { return strings.ToLower(strings.TrimSpace(name)) }
