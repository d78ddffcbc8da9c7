// Curves measures how costs grow, which make bench does too, without the rest:
//
//	go run ./bench/curves -only routes,cookie
//	make bench-curves    # all of them, into docs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/evergate/evergate/bench/internal/curves"
	"github.com/evergate/evergate/bench/internal/rig"
)

func main() {
	o := curves.Full
	only := flag.String("only", "", "some of "+strings.Join(curves.Names(), ", ")+"; none are all")
	dir := flag.String("dir", "", "a folder on the disk to measure, with 4 GB free; default: a temporary one")
	flag.IntVar(&o.Rounds, "rounds", o.Rounds, "rounds in which what is compared takes turns")
	flag.DurationVar(&o.Load, "for", o.Load, "how long requests are sent in a round")
	most := flag.Int("sessions", slices.Max(o.Sessions), "leave larger numbers of sessions out, where there is less room")
	write := flag.Bool("write", false, "put tables and pictures into docs")
	flag.Parse()
	o.Only = strings.FieldsFunc(*only, func(r rune) bool { return r == ',' })
	o.Sessions = slices.DeleteFunc(slices.Clone(o.Sessions), func(n int) bool { return n > *most })
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, *dir, *write); err != nil {
		fmt.Fprintln(os.Stderr, "curves:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o curves.Options, dir string, write bool) (err error) {
	r, err := rig.New(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if write {
		o.Docs = filepath.Join(r.Root, "docs")
	}
	app, err := r.Upstream(ctx)
	if err != nil {
		return err
	}
	return curves.Run(ctx, r, app, o, os.Stdout, os.Stderr)
}
