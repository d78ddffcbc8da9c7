// Release makes what people install from one commit: archives for six platforms, deb and
// rpm packages, container images, what is linked into them, and their checksums.
//
// All of it is the same, byte for byte, whoever makes it with the same version of Go: the
// sources come out of git and not out of the folder, and every date is the commit's.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

const usage = `Make a release of Evergate from a commit.

Usage:
  release -version 1.2.3 [-repo DIR] [-commit HEAD] [-out DIR] [-targets LIST] [-only LIST]

`

// options is what a release is made by.
type options struct {
	version string
	repo    string
	commit  string
	out     string
	targets []target
	kinds   []string
}

// The kinds of files that a release has.
const (
	kindArchive = "archive"
	kindDeb     = "deb"
	kindRPM     = "rpm"
	kindImage   = "image"
)

var allKinds = []string{kindArchive, kindDeb, kindRPM, kindImage}

// versions are the ones of semver.org without build metadata, which neither a tag of an
// image nor every package manager can say.
var versions = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$`)

// run is the program. It returns the exit code: 0 done, 1 it did not work, 2 the command
// was not understood.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		if err == flag.ErrHelp {
			return 0
		}
		fmt.Fprintf(stderr, "release: %v\n", err)
		return 2
	}
	if err := release(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "release: %v\n", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	flags.StringVar(&o.version, "version", "", "the version, like 1.2.3 or 1.2.3-rc.1")
	flags.StringVar(&o.repo, "repo", ".", "a clone of the repository")
	flags.StringVar(&o.commit, "commit", "HEAD", "what is released; changes that are not committed are not")
	flags.StringVar(&o.out, "out", "", "the folder to make; it must not be there yet (default dist/VERSION in the clone)")
	targets := flags.String("targets", strings.Join(targetNames(), ","), "for what to build")
	kinds := flags.String("only", strings.Join(allKinds, ","), "what to make")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q was not understood; see release -help", flags.Arg(0))
	}
	if !versions.MatchString(o.version) {
		return o, fmt.Errorf("the version %q is not one like 1.2.3 or 1.2.3-rc.1; name it with -version", o.version)
	}
	for name := range strings.SplitSeq(*targets, ",") {
		t, ok := targetOf(name)
		if !ok {
			return o, fmt.Errorf("the target %q is none of %s", name, strings.Join(targetNames(), ", "))
		}
		o.targets = append(o.targets, t)
	}
	for name := range strings.SplitSeq(*kinds, ",") {
		if !slices.Contains(allKinds, name) {
			return o, fmt.Errorf("%q is none of %s", name, strings.Join(allKinds, ", "))
		}
		o.kinds = append(o.kinds, name)
	}
	if o.repo, err = filepath.Abs(o.repo); err != nil {
		return o, fmt.Errorf("find the clone: %w", err)
	}
	if top, err := git(context.Background(), o.repo, "rev-parse", "--show-toplevel"); err == nil {
		o.repo = strings.TrimSpace(top) // it may have been named by a folder in it, such as this one
	}
	if o.out == "" {
		o.out = filepath.Join(o.repo, "dist", o.version)
	}
	if o.out, err = filepath.Abs(o.out); err != nil {
		return o, fmt.Errorf("find the folder to make: %w", err)
	}
	return o, nil
}
