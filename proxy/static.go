package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/evergate/evergate/internal/web"
)

// Static serves the files of a folder. Nothing outside of it is served, whatever
// symbolic links say, nor is a list of what is in it.
type Static struct {
	// Dir is the folder. It is opened for each request, so that a link that is
	// changed to the next release counts at once.
	Dir string
	// Index is served for a folder. "" means index.html.
	Index string
	// Fallback, relative to Dir, is served to a person who opens an address where
	// nothing is, as single-page apps want. Scripts and images get 404. "" is none.
	Fallback string
	// Own reports whether a file is the gateway's own, which is not there for anybody, by
	// whatever link it came into Dir. Nil means that no file is.
	Own func(fs.FileInfo) bool
}

func (a *Static) prepare(r *Route, fault func(key, format string, args ...any)) {
	if a.Index == "" {
		a.Index = "index.html"
	}
	if a.Dir == "" {
		fault("static.dir", "there is no folder")
	}
	if strings.ContainsAny(a.Index, `/\`) || a.Index == ".." || a.Index == "." {
		fault("static.index", "want the name of a file, got %q", a.Index)
	}
	if a.Fallback != "" && (!fs.ValidPath(a.Fallback) || a.Fallback == ".") {
		fault("static.fallback", "want a file in dir, relative to it, got %q", a.Fallback)
	}
	if r.PathChars != 0 {
		fault("path_chars", "no file has such a name")
	}
}

// Ready says why the folder or the fallback cannot be read.
func (a *Static) Ready() error {
	root, err := os.OpenRoot(a.Dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if a.Fallback != "" {
		f, _, err := a.open(root, a.Fallback)
		if err != nil {
			return fmt.Errorf("fallback: %w", err)
		}
		return f.Close()
	}
	return nil
}

func (a *Static) answer(w http.ResponseWriter, r *http.Request, d *Decision) error {
	if err := onlyReads(r); err != nil {
		return err
	}
	root, err := os.OpenRoot(a.Dir)
	if err != nil {
		return unreadable(err)
	}
	defer root.Close()
	f, info, err := a.find(root, d.Up.Path)
	if err == errNeedsSlash {
		redirectHere(w, d.Target.Path+"/", &d.Target)
		return nil
	}
	if err != nil && err != errOwn && a.Fallback != "" && isMissing(err) && web.IsNavigation(r) {
		f, info, err = a.open(root, a.Fallback)
		// Who asks decides whether this is the answer or 404.
		w.Header().Set("Vary", "Sec-Fetch-Mode, Sec-Fetch-Dest, X-Requested-With, Accept")
	}
	if err != nil {
		w.Header().Del("Vary")
		if !isMissing(err) {
			return unreadable(err)
		}
		return &web.Error{Status: http.StatusNotFound, Code: "no_file", Title: "Nothing is served at this address",
			Detail: "There is no such page here.", Err: err}
	}
	defer f.Close()
	return serveFile(w, r, f, info)
}

var errNeedsSlash = errors.New("it is a folder, and the path has no slash at its end")

// find opens the file that a canonical path means.
func (a *Static) find(root *os.Root, path string) (*os.File, fs.FileInfo, error) {
	name, err := fileName(path)
	if err != nil {
		return nil, nil, err
	}
	folder := strings.HasSuffix(path, "/")
	if !folder {
		f, info, err := a.open(root, name)
		if err != errIsFolder {
			return f, info, err
		}
	}
	f, info, err := a.open(root, filepath.Join(name, a.Index))
	if err == nil && !folder {
		f.Close()
		return nil, nil, errNeedsSlash
	}
	return f, info, err
}

var errHidden = fmt.Errorf("a name that begins with a dot is not served: %w", fs.ErrNotExist)

// fileName is the name of a file, relative to the folder. Names that begin with a
// dot are for nobody (.git, .env, .htpasswd), except /.well-known/ (RFC 8615).
func fileName(path string) (string, error) {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return "", fs.ErrNotExist
	}
	plain = strings.Trim(plain, "/")
	for i, segment := range strings.Split(plain, "/") {
		if strings.HasPrefix(segment, ".") && (i > 0 || segment != ".well-known") {
			return "", errHidden
		}
	}
	if plain == "" {
		return ".", nil
	}
	name, err := filepath.Localize(plain)
	if err != nil {
		return "", fs.ErrNotExist
	}
	return name, nil
}

var errIsFolder = fmt.Errorf("it is a folder: %w", fs.ErrNotExist)

var errOwn = fmt.Errorf("it is a file of the gateway's own, which no route serves: %w", fs.ErrNotExist)

// open opens a regular file. What it is comes first: opening a pipe would wait.
func (a *Static) open(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return nil, nil, err
	case info.IsDir():
		return nil, nil, errIsFolder
	case !info.Mode().IsRegular():
		return nil, nil, fmt.Errorf("%s is no regular file: %w", name, fs.ErrNotExist)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if info, err = f.Stat(); err == nil && a.Own != nil && a.Own(info) {
		err = errOwn
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// isMissing tells what is not there, for this client, from what could not be read.
// A link that leads out of the folder, a name that is too long and a file that the
// gateway may not read are not there.
func isMissing(err error) bool {
	for _, trouble := range []error{syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ENOMEM} {
		if errors.Is(err, trouble) {
			return false
		}
	}
	return true
}

// serveFile answers with a file: conditions, ranges and all.
func serveFile(w http.ResponseWriter, r *http.Request, f *os.File, info fs.FileInfo) error {
	h := w.Header()
	h.Set("Content-Type", contentType(info.Name()))
	h.Set("X-Content-Type-Options", "nosniff")
	// Kept, and asked for again each time: a new release shows at once, and so does a
	// sign-out. An ETag makes that cheap.
	h.Set("Cache-Control", "no-cache")
	modified := info.ModTime()
	tag, err := etag(f, info)
	if err != nil {
		return unreadable(err)
	}
	if tag != "" {
		h.Set("Etag", tag)
	}
	if isFixed(modified) {
		modified = time.Time{}
	}
	r = withFewRanges(r)
	ranged := &rangeWriter{ResponseWriter: w}
	http.ServeContent(ranged, r, "", modified, f)
	if ranged.bad {
		for _, name := range []string{"Content-Type", "Cache-Control", "Etag", "Last-Modified"} {
			h.Del(name)
		}
		return &web.Error{Status: http.StatusRequestedRangeNotSatisfiable, Code: "bad_range", Title: "There is no such part of this file",
			Detail: "The request asks for a part of the file that it does not have."}
	}
	return nil
}

// maxRanges is how many parts of a file one request gets. Programs that read a document before all of it is there
// ask for a few.
const maxRanges = 16

// withFewRanges is r, or r without its Range where that names more parts than maxRanges: each costs a header
// of its own, and takes three bytes to ask for. Who asks so gets the whole file (RFC 9110 section 14.2).
func withFewRanges(r *http.Request) *http.Request {
	if strings.Count(r.Header.Get("Range"), ",") < maxRanges {
		return r
	}
	r = r.WithContext(r.Context()) // a copy
	r.Header = r.Header.Clone()
	r.Header.Del("Range")
	return r
}

// rangeWriter leaves it to the gateway to say that a range is not there.
type rangeWriter struct {
	http.ResponseWriter
	bad bool
}

// WriteHeader implements http.ResponseWriter.
func (w *rangeWriter) WriteHeader(status int) {
	if w.bad = status == http.StatusRequestedRangeNotSatisfiable; !w.bad {
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *rangeWriter) Write(p []byte) (int, error) {
	if w.bad {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *rangeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// isFixed reports whether a time was not taken from a clock: reproducible builds
// and images give all files the same one, from before 1981.
func isFixed(t time.Time) bool { return t.Before(time.Date(1981, 1, 1, 0, 0, 0, 0, time.UTC)) }

// maxHashed bounds what is read to name a file whose time says nothing.
const maxHashed = 4 << 20

// etag names what a file holds: by its time and size, and where its time says
// nothing by a digest. Too large for that, it has none.
func etag(f *os.File, info fs.FileInfo) (string, error) {
	if !isFixed(info.ModTime()) {
		return fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()), nil
	}
	if info.Size() > maxHashed {
		return "", nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	return `"` + hex.EncodeToString(sum.Sum(nil)[:16]) + `"`, nil
}

// redirectHere sends the browser to another path of this host, with its query.
func redirectHere(w http.ResponseWriter, path string, t *Target) {
	t = &Target{Path: path, RawQuery: t.RawQuery, ForceQuery: t.ForceQuery}
	w.Header().Set("Location", t.URI()) // starts with exactly one slash: it cannot leave this host
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusTemporaryRedirect)
}
