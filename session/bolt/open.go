package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrInUse reports that another process has the file open.
	ErrInUse = errors.New("bolt: the session file is in use by another process")
	// ErrDamaged reports a file that holds no sessions that can be read: pages are
	// damaged, or it is another kind of file.
	ErrDamaged = errors.New("the session file is damaged")
)

const (
	lockTimeout = time.Second
	// mapSize is the address space that is taken for the file at once, so that
	// growing to a few million sessions stops no reader to map it anew. It takes no
	// memory.
	mapSize = 4 << 30
	// beginning is the size below which a file is one that was never finished.
	beginning = 64 << 10
	// maxSwaps bounds how often the file may be replaced while it is being opened.
	maxSwaps = 10
)

// settings are what tests set otherwise than Open.
type settings struct {
	still        bool              // run nothing: the test takes the writer's turns
	compactAbove int64             // the size of files that are worth compacting
	step         func(name string) // called between the steps of a compaction
}

var usual = settings{compactAbove: compactAbove}

// Open opens the file at path, or makes it with mode 0600. A file that is mostly
// empty is compacted first.
func Open(path string, log *slog.Logger) (*Store, error) { return open(path, log, usual) }

func open(path string, log *slog.Logger, set settings) (*Store, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	answerFileLimit()
	found, err := examine(path)
	if err != nil {
		return nil, err
	}
	f, err := lock(path, false)
	if err != nil {
		if fi, serr := os.Lstat(path); found.fresh && serr == nil && fi.Size() < beginning && !errors.Is(err, ErrInUse) {
			_ = os.Remove(path) // it would be in the way of the next start
		}
		return nil, err
	}
	f, err = compacted(path, f, log, set)
	if err != nil {
		return nil, err
	}
	_, err = os.Lstat(pidFile(path))
	killed := err == nil // whoever closes the file in order removes it
	s := &Store{db: f.db, file: f.file, path: path, log: log, ops: make(chan *op, 1024), soon: make(chan struct{}, 1), stop: make(chan struct{})}
	if err := s.prepare(); err != nil {
		_ = f.Close()
		return nil, err
	}
	s.unseen.Store(found.brief && killed)
	if !set.still {
		s.wg.Go(s.write)
		if s.unseen.Load() {
			s.wg.Go(s.lookOver)
		}
	}
	return s, nil
}

// handle is an open and locked file. Bolt has the lock on what is open, not on
// its name.
type handle struct {
	db   *bolt.DB
	file *os.File
}

func (h *handle) Close() error { return h.db.Close() }

// lock opens the file that path names and locks it: alone, or for reading with
// others who read. While it waited for the lock, a compaction may have put another
// file in the place of the one that it has; then it begins anew.
func lock(path string, reading bool) (*handle, error) {
	for range maxSwaps {
		h, err := openFile(path, reading)
		if err != nil {
			return nil, wordOpen(path, err)
		}
		has, err1 := h.file.Stat()
		named, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(has, named) {
			return h, nil
		}
		_ = h.Close()
	}
	return nil, fmt.Errorf("%w: %s is being replaced", ErrInUse, path)
}

// openFile has bolt open the file. What it panics about comes back as an error.
func openFile(path string, reading bool) (h *handle, err error) {
	h = &handle{}
	o := &bolt.Options{
		Timeout: lockTimeout, ReadOnly: reading, FreelistType: bolt.FreelistMapType, NoFreelistSync: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
			f, err = os.OpenFile(name, flag, mode)
			h.file = f
			return f, err
		},
	}
	if strconv.IntSize == 64 && runtime.GOOS != "windows" {
		o.InitialMmapSize = mapSize
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			_ = h.file.Close() // gives the lock back
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	h.db, err = bolt.Open(path, 0o600, o)
	if errors.Is(err, syscall.ENOMEM) {
		o.InitialMmapSize = 0 // a limit on address space (ulimit -v)
		h.db, err = bolt.Open(path, 0o600, o)
	}
	return h, err
}

// examined is what was seen of a file.
type examined struct {
	fresh bool // there is none yet
	brief bool // it was not read to its end
}

// examine looks at a file before bolt does, which ends the process over some
// kinds of damage. A file with a list of its free pages is only looked at briefly,
// unless it was found damaged while it was in use: bolt does not walk its pages then.
func examine(path string) (examined, error) {
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return examined{fresh: true}, nil
	case err != nil:
		return examined{}, wordOpen(path, err)
	case !fi.Mode().IsRegular():
		return examined{}, fmt.Errorf("bolt: %s is not a regular file; remove it or name another data_dir", path)
	case fi.Size() == 0:
		return examined{}, nil
	}
	h, err := lock(path, true)
	if err != nil {
		return examined{}, err
	}
	defer h.Close()
	_, err = os.Lstat(damagedFile(path))
	marked := !errors.Is(err, fs.ErrNotExist)
	whole, err := checkFile(h.file, marked)
	if err != nil {
		return examined{}, wordOpen(path, fmt.Errorf("%w: %w", ErrDamaged, err))
	}
	if marked { // another file is in its place now
		_ = os.Remove(damagedFile(path))
	}
	return examined{brief: !whole}, nil
}

const mend = "put a copy from a backup in its place, or move it away and start again: then everybody signs in anew"

// wordOpen says of an error at opening what to do.
func wordOpen(path string, err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%w: %s%s; stop that one, or give this one a data_dir of its own", ErrInUse, path, owner(path))
	case errors.Is(err, ErrInUse):
		return err
	case errors.Is(err, ErrDamaged):
		return fmt.Errorf("bolt: open %s: %w; %s", path, err, mend)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, berrors.ErrChecksum),
		strings.Contains(err.Error(), "file size too small"):
		return fmt.Errorf("bolt: open %s: %w: it is no session file, or its first pages are lost (%w); %s", path, ErrDamaged, err, mend)
	}
	return fmt.Errorf("bolt: open %s: %w%s", path, err, remedy(err))
}

func pidFile(path string) string { return path + ".pid" }

// damagedFile is there since the file was found damaged while it was in use.
func damagedFile(path string) string { return path + ".damaged" }

func owner(path string) string {
	b, err := os.ReadFile(pidFile(path))
	if err != nil {
		return ""
	}
	return " (process " + strings.TrimSpace(string(b)) + ")"
}
