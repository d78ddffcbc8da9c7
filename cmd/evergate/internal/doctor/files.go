package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/evergate/evergate/config"
	"github.com/evergate/evergate/internal/secret"
)

// files looks at who may read what. Only who may is asked, not what is in there.
func (p *Patient) files() []Finding {
	return append(p.dataDir(), p.secrets()...)
}

func (p *Patient) dataDir() []Finding {
	dir := p.Config.DataDir
	f := Finding{OK, "files.data_dir", "", "", ""}
	fi, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Text = dir + " is not there yet; evergate serve makes it, for its owner alone"
	case err != nil:
		f.Status, f.Text, f.Mend = Fail, fmt.Sprintf("%s cannot be looked at: %v", dir, bareFile(err)), "run the doctor as the user that the gateway runs as"
	case !fi.IsDir():
		f.Status, f.Text, f.Mend = Fail, dir+" is no directory", "remove it, or name another one in data_dir"
	case secret.HasModes && fi.Mode().Perm()&0o077 != 0:
		f.Status, f.Text, f.Mend = Fail, fmt.Sprintf("others may look into %s (mode %04o)", dir, fi.Mode().Perm()), "chmod 700 "+dir
	default:
		f.Text = dir + " is for its owner alone (mode 0700)"
		if fi.Mode().Perm()&0o300 != 0o300 {
			f.Status, f.Text, f.Mend = Fail, fmt.Sprintf("its owner may not write to %s (mode %04o)", dir, fi.Mode().Perm()), "chmod 700 "+dir
		}
	}
	return []Finding{f}
}

// secrets has a line for each file that is wrong, and one for all the others.
func (p *Patient) secrets() (all []Finding) {
	files := p.Config.SecretFiles()
	named := len(files)
	for _, made := range []string{"cookie.key", "admin.token", "sessions.db"} { // at the first start
		files = append(files, config.SecretFile{Key: made, Path: filepath.Join(p.Config.DataDir, made)})
	}
	well := 0
	for i, s := range files {
		mend, wrong := p.lookAt(s)
		switch {
		case wrong == nil:
			well++
		case errors.Is(wrong, fs.ErrNotExist) && i >= named:
		case errors.Is(wrong, errOpen) && !refusedOpen(s):
			// Its folder, or a container, may keep others out.
			all = append(all, Finding{Warn, "files.secrets", s.Key, s.Path + " " + wrong.Error(), mend})
		default:
			all = append(all, Finding{Fail, "files.secrets", s.Key, s.Path + " " + wrong.Error(), mend})
		}
	}
	text := fmt.Sprintf("%d files are for their owner alone", well)
	if well == 1 {
		text = "1 file is for its owner alone"
	}
	if well == 0 && len(all) == 0 {
		text = "there is none yet"
	}
	if well > 0 || len(all) == 0 {
		all = append([]Finding{{OK, "files.secrets", "", text, ""}}, all...)
	}
	return all
}

// refusedOpen reports whether the gateway does not start with a file that others may read.
func refusedOpen(s config.SecretFile) bool {
	return strings.HasPrefix(s.Key, "keys.files") || s.Key == "cookie.key" || s.Key == "admin.token"
}

var errOpen = errors.New("may be read by others")

// lookAt says what is wrong with a file that has a secret, and what to do.
func (p *Patient) lookAt(s config.SecretFile) (mend string, wrong error) {
	fi, err := os.Stat(s.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		mend = "write it there with mode 0600, or name another one in " + s.Key
		switch {
		case strings.HasSuffix(s.Key, ".users_file"):
			mend = "evergate user add --config " + p.File + " NAME"
		case strings.HasPrefix(s.Key, "keys.files"):
			mend = "evergate key new --out " + s.Path
		}
		return mend, fmt.Errorf("is not there (%w)", fs.ErrNotExist)
	case err != nil:
		return "run the doctor as the user that the gateway runs as", fmt.Errorf("cannot be looked at: %w", bareFile(err))
	case !fi.Mode().IsRegular():
		return "name a file in " + s.Key, errors.New("is no file")
	case !secret.Private(fi):
		return "chmod 600 " + s.Path, fmt.Errorf("%w (mode %04o)", errOpen, fi.Mode().Perm())
	}
	f, err := os.Open(s.Path)
	if err != nil {
		return "run the doctor as the user that the gateway runs as, or give that one the file", fmt.Errorf("cannot be read by who runs the doctor: %w", bareFile(err))
	}
	_ = f.Close()
	if fi.Size() == 0 {
		return "write the secret into it", errors.New("is empty")
	}
	return "", nil
}

// bareFile is an error without the path, which is told already.
func bareFile(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
