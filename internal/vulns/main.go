// Vulns looks whether the program calls anything that is known to be vulnerable, and fails if so:
//
//	go run ./internal/vulns
//
// It runs govulncheck, by the Go vulnerability database at https://vuln.go.dev. Where that does
// not answer, as on a machine that gets to the module proxy and nowhere else, it goes by
// snapshot.json: what the database knew of the modules that are linked in, of Go's library and of
// its toolchain, on the day that it names. Only facts are in there: names, versions and symbols.
//
// To write it anew, get https://vuln.go.dev/vulndb.zip onto the machine, unpack it, and name the
// folder:
//
//	VULNDB=file:///tmp/vulndb go run ./internal/vulns -write -date 2026-08-21
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	govulncheck  = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	liveDatabase = "https://vuln.go.dev"
	snapshotFile = "internal/vulns/snapshot.json"
	program      = "./cmd/evergate"
	// old is the age from which on a snapshot is warned of.
	old = 90 * 24 * time.Hour
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	write := flag.Bool("write", false, "write "+snapshotFile+" from the folder that VULNDB names")
	date := flag.String("date", "", "the day of what is in that folder, if it does not say so itself")
	flag.Parse()
	err := fmt.Errorf("%q was not understood", flag.Args())
	switch {
	case flag.NArg() > 0:
	case *write:
		err = writeSnapshot(ctx, os.Getenv("VULNDB"), *date)
	default:
		err = check{Package: program, Live: liveDatabase, Snapshot: snapshotFile, Now: time.Now, Out: os.Stdout}.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vulns:", err)
		os.Exit(1)
	}
}

// writeSnapshot writes the file of the repository, from its top folder.
func writeSnapshot(ctx context.Context, database, date string) error {
	modules, err := linked(ctx, "", program)
	if err != nil {
		return err
	}
	s, err := take(database, date, modules)
	if err != nil {
		return err
	}
	return os.WriteFile(snapshotFile, s.text(), 0o644)
}

// check is one look at a program.
type check struct {
	// Dir is the folder of its module; "" is the one that this runs in. Package is the program there.
	Dir, Package string
	// Live is where the database may be, and Snapshot the file for where it is not.
	Live, Snapshot string
	Now            func() time.Time
	Out            io.Writer
}

func (c check) run(ctx context.Context) error {
	database := c.Live
	if why := answers(ctx, c.Live); why != nil {
		s, err := readSnapshot(c.Snapshot)
		if err != nil {
			return err
		}
		age := c.Now().Sub(s.day())
		fmt.Fprintf(c.Out, "vulns: %s does not answer (%v), so this goes by %s, which has it as of %s, %d days ago\n", c.Live, why, c.Snapshot, s.Date, int(age.Hours()/24))
		if age > old {
			fmt.Fprintf(c.Out, "vulns: WARNING: that is long ago, and what was found since is not in it; internal/vulns/main.go says how to write it anew\n")
		}
		modules, err := linked(ctx, c.Dir, c.Package)
		if err != nil {
			return err
		}
		for _, m := range modules {
			if !slices.Contains(s.Modules, m) {
				return fmt.Errorf("%s is linked in, and %s was written without it; write it anew, as internal/vulns/main.go says", m, c.Snapshot)
			}
		}
		dir, err := os.MkdirTemp("", "evergate-vulns-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if err := s.spread(dir); err != nil {
			return err
		}
		database = "file://" + filepath.ToSlash(dir)
	} else {
		fmt.Fprintf(c.Out, "vulns: by %s, as of now\n", c.Live)
	}
	cmd := exec.CommandContext(ctx, "go", "run", govulncheck, "-db", database, c.Package)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Dir, c.Out, c.Out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("govulncheck %s: %w", c.Package, err)
	}
	return nil
}

// answers returns why a database cannot be asked, or nil.
func answers(ctx context.Context, database string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, database+"/index/db.json", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", res.Status)
	}
	return nil
}

// platforms are those that the program is built for. What is linked in differs.
var platforms = []string{"linux", "darwin", "windows"}

// linked are the modules that a program has packages of, less its own, on any platform.
func linked(ctx context.Context, dir, program string) (all []string, err error) {
	for _, platform := range platforms {
		cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", program)
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		cmd.Env = append(os.Environ(), "GOOS="+platform, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("list what is linked into %s for %s: %w", program, platform, err)
		}
		all = append(all, strings.Fields(string(out))...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
