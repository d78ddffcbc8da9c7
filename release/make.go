package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// work is a release that is being made.
type work struct {
	options
	source source
	// out is where its files are put together, before they are moved to options.out.
	out string
	// scratch is for what is made on the way.
	scratch string
	stderr  io.Writer
}

func (w *work) wants(kind string) bool { return slices.Contains(w.kinds, kind) }

// release makes the folder o.out with everything in it, or nothing.
func release(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	if _, err := os.Lstat(o.out); err == nil {
		return fmt.Errorf("%s is there already, and a release is not overwritten; remove it first", o.out)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for %s: %w", o.out, err)
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return fmt.Errorf("make the folder of the release: %w", err)
	}
	w := &work{options: o, stderr: stderr}
	// Beside the place that it gets to, so that it can be moved there in one step.
	if w.out, err = os.MkdirTemp(filepath.Dir(o.out), ".release-*"); err != nil {
		return fmt.Errorf("make the folder of the release: %w", err)
	}
	defer os.RemoveAll(w.out)
	if w.scratch, err = os.MkdirTemp("", "evergate-release-*"); err != nil {
		return fmt.Errorf("make a folder to work in: %w", err)
	}
	defer os.RemoveAll(w.scratch)
	if w.source, err = export(ctx, o.repo, o.commit, o.version, filepath.Join(w.scratch, "source")); err != nil {
		return err
	}
	if !w.source.changelog(o.version) {
		fmt.Fprintf(stderr, "release: CHANGELOG.md of the commit has nothing under %s yet\n", o.version)
	}
	if err := w.make(ctx); err != nil {
		return err
	}
	sums, err := checksums(w.out)
	if err != nil {
		return err
	}
	if err := os.Chmod(w.out, 0o755); err != nil {
		return fmt.Errorf("open the folder of the release: %w", err)
	}
	if err := os.Rename(w.out, o.out); err != nil {
		return fmt.Errorf("move the release to its place: %w", err)
	}
	fmt.Fprintf(stderr, "release: Evergate %s, commit %s of %s, is in %s\n", o.version, w.source.commit, w.source.stamp(), o.out)
	_, err = io.WriteString(stdout, sums)
	return err
}

func (w *work) make(ctx context.Context) error {
	shells, err := w.completions(ctx)
	if err != nil {
		return err
	}
	var images []image
	for _, t := range w.targets {
		fmt.Fprintf(w.stderr, "release: %s\n", t)
		b, err := w.build(ctx, t)
		if err != nil {
			return err
		}
		if err := w.writeSBOM(b); err != nil {
			return err
		}
		if w.wants(kindArchive) {
			if err := w.archive(b); err != nil {
				return err
			}
		}
		if t.os != "linux" {
			continue
		}
		if w.wants(kindDeb) || w.wants(kindRPM) {
			if err := w.packages(b, shells); err != nil {
				return err
			}
		}
		if w.wants(kindImage) {
			i, err := w.image(b)
			if err != nil {
				return err
			}
			images = append(images, i)
		}
	}
	if len(images) > 0 {
		return w.imageLayout(images)
	}
	return nil
}
