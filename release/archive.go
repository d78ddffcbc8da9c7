package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// entry is a file or, with a name that ends in a slash, a folder of an archive.
type entry struct {
	name     string
	data     []byte
	mode     int64 // 0644 if zero, and 0755 for a folder
	uid, gid int
}

// archive writes what people unpack who want no package: a tar.gz, and a zip for Windows.
func (w *work) archive(b binary) error {
	top := w.name(b) + "/"
	program, err := os.ReadFile(b.path)
	if err != nil {
		return fmt.Errorf("read the program: %w", err)
	}
	entries := []entry{{name: top}}
	// Sorted by name.
	for _, name := range []string{"CHANGELOG.md", "LICENSE", "README.md", "THIRD_PARTY_LICENSES", "config.example.yaml", b.program()} {
		e := entry{name: top + name}
		switch name {
		case "THIRD_PARTY_LICENSES":
			e.data = b.licenses
		case b.program():
			e.data, e.mode = program, 0o755
		default:
			if e.data, err = w.source.read(name); err != nil {
				return err
			}
		}
		entries = append(entries, e)
	}
	write, ending := writeTarGz, ".tar.gz"
	if b.os == "windows" {
		write, ending = writeZip, ".zip"
	}
	path := filepath.Join(w.out, w.name(b)+ending)
	return writeFile(path, func(f io.Writer) error { return write(f, entries, w.source.time) })
}

// writeFile makes a file with what write puts into it.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("make a file of the release: %w", err)
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Chmod(path, 0o644) // whatever the umask is
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

func writeTarGz(w io.Writer, entries []entry, date time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	return errors.Join(writeTar(z, entries, date), z.Close())
}

// writeTar writes the entries in their order, all of them of one date and of users that
// are numbers alone.
func writeTar(w io.Writer, entries []entry, date time.Time) error {
	t := tar.NewWriter(w)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.uid, Gid: e.gid, ModTime: date, Size: int64(len(e.data)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if e.name[len(e.name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		switch {
		case h.Mode != 0:
		case h.Typeflag == tar.TypeDir:
			h.Mode = 0o755
		default:
			h.Mode = 0o644
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(e.data); err != nil {
			return err
		}
	}
	return t.Close()
}

func writeZip(w io.Writer, entries []entry, date time.Time) error {
	z := zip.NewWriter(w)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Modified: date, Method: zip.Deflate}
		if e.name[len(e.name)-1] == '/' {
			h.Method = zip.Store
			h.SetMode(os.ModeDir | 0o755)
		} else if e.mode != 0 {
			h.SetMode(os.FileMode(e.mode))
		} else {
			h.SetMode(0o644)
		}
		f, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(e.data); err != nil {
			return err
		}
	}
	return z.Close()
}
