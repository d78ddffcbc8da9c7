package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// source is the commit that is released, in a folder of its own.
type source struct {
	dir    string
	commit string    // the whole hash
	time   time.Time // when it was committed, in UTC: the date of everything in the release
}

// stamp is the time of the commit as people and programs read it.
func (s source) stamp() string { return s.time.Format(time.RFC3339) }

// read is a file of the commit.
func (s source) read(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("read a file of the commit: %w", err)
	}
	return b, nil
}

// changelog reports whether CHANGELOG.md tells of a version.
func (s source) changelog(version string) bool {
	b, err := s.read("CHANGELOG.md")
	return err == nil && bytes.Contains(b, []byte("\n## ["+version+"]"))
}

// export takes a commit out of git into dir. What is in the folder of the clone beside
// that, changed or forgotten, has no part in it.
func export(ctx context.Context, repo, commit, version, dir string) (s source, err error) {
	s.dir = dir
	if s.commit, err = git(ctx, repo, "rev-parse", "--verify", "--end-of-options", commit+"^{commit}"); err != nil {
		return s, err
	}
	// A version that has a tag is that one for good.
	if tagged, err := git(ctx, repo, "rev-parse", "--verify", "--quiet", "refs/tags/v"+version+"^{commit}"); err == nil && tagged != s.commit {
		return s, fmt.Errorf("the tag v%s is at commit %s and not at %s; name another version, or the tag's commit", version, tagged, s.commit)
	}
	seconds, err := git(ctx, repo, "show", "--no-patch", "--format=%ct", s.commit)
	if err != nil {
		return s, err
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return s, fmt.Errorf("read the date of commit %s: %w", s.commit, err)
	}
	s.time = time.Unix(n, 0).UTC()
	files, err := git(ctx, repo, "-c", "core.autocrlf=false", "archive", "--format=tar", s.commit)
	if err != nil {
		return s, err
	}
	if err := untar(strings.NewReader(files), dir); err != nil {
		return s, fmt.Errorf("take commit %s out of git: %w", s.commit, err)
	}
	return s, nil
}

// git runs a command of git, and returns what it printed less the line's end.
func git(ctx context.Context, repo string, args ...string) (string, error) {
	out, err := output(exec.CommandContext(ctx, "git", append([]string{"-C", repo}, args...)...))
	return strings.TrimSuffix(out, "\n"), err
}

// output runs a program, and returns what it printed. Its error has what it complained of.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

// untar writes the folders and files of an archive into dir.
func untar(r io.Reader, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(filepath.Clean(h.Name), 0o755)
		case tar.TypeReg:
			err = copyTo(root, filepath.Clean(h.Name), tr)
		case tar.TypeXGlobalHeader: // the commit's hash
		default:
			err = fmt.Errorf("%s is neither a file nor a folder", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func copyTo(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
