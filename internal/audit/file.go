package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// file appends to a file. One that was moved away, as logrotate does, is made anew.
type file struct {
	path   string
	f      *os.File
	looked time.Time
}

// lookEvery is how often the name is looked at.
const lookEvery = time.Second

// OpenFile returns a Sink that appends to a file, which is made private (0600) where it is
// not there.
func OpenFile(path string) (Sink, error) {
	s := &file{path: path}
	return s, s.open()
}

func (s *file) open() error {
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the audit log: %w; its folder has to be there, and writable for the user that runs evergate", err)
	}
	fi, err := f.Stat()
	if err == nil && fi.IsDir() {
		err = errors.New("it is a folder")
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("open the audit log %s: %w", s.path, err)
	}
	s.f, s.looked = f, time.Now()
	return nil
}

// Write implements Sink. Half a line, on a disk that is full, is taken back.
func (s *file) Write(line []byte) (int, error) {
	if err := s.follow(); err != nil {
		return 0, err
	}
	n, err := s.f.Write(line)
	if err != nil && n > 0 {
		if fi, serr := s.f.Stat(); serr == nil && fi.Mode().IsRegular() {
			_ = s.f.Truncate(fi.Size() - int64(n))
		}
	}
	return n, err
}

// follow opens the name anew where it means another file by now, or none.
func (s *file) follow() error {
	if s.f != nil && time.Since(s.looked) < lookEvery {
		return nil
	}
	s.looked = time.Now()
	if s.f != nil {
		now, err := os.Stat(s.path)
		mine, merr := s.f.Stat()
		switch {
		case err == nil && merr == nil && os.SameFile(now, mine):
			return nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil // it is written where it was
		}
		_ = s.f.Close()
		s.f = nil
	}
	return s.open()
}

// Close implements Sink.
func (s *file) Close() error {
	if s.f == nil {
		return nil
	}
	return errors.Join(s.f.Sync(), s.f.Close())
}

func (s *file) String() string { return "the file " + s.path }

// stream writes to what is open already, and stays so.
type stream struct {
	w    io.Writer
	name string
}

// Stream returns a Sink that writes to w.
func Stream(w io.Writer, name string) Sink { return stream{w, name} }

func (s stream) Write(line []byte) (int, error) { return s.w.Write(line) }
func (s stream) Close() error                   { return nil }
func (s stream) String() string                 { return s.name }
