// Command evergate is a reverse-proxy authentication gateway: it signs the
// browser user in once and hands every request to the app behind it with a
// fresh access token.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	_ "time/tzdata" // the zones that rules name, where the system has none: Windows, containers

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/evergate/evergate/config"
)

// Exit codes, as `evergate --help` documents them.
const (
	exitOK     = 0
	exitFailed = 1
	exitMisuse = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// program is what every command is given: data goes to out, talk to err.
type program struct {
	in       io.Reader
	out, err io.Writer

	log atomic.Pointer[logControl] // of the gateway that runs, or nil
}

const usage = `Evergate signs people in once, in front of apps that have no sign-in of their
own, and hands every request on with a fresh access token.

Start here:
  evergate demo                     see all of it work; nothing is written to disk
  evergate dev 3000                 protect the app on port 3000, with no file
  evergate init --upstream http://127.0.0.1:3000
                                    write evergate.yaml, a key and a first user
  evergate serve --config evergate.yaml

Exit codes: 0 done, 1 it did not work, 2 the command was not understood.`

// Help begins with examples: most people need one line to copy.
const (
	helpTemplate = `{{if .HasExample}}Examples:
{{.Example}}

{{end}}{{with or .Long .Short}}{{. | trimTrailingWhitespaces}}

{{end}}{{.UsageString}}`

	usageTemplate = `Usage:
  {{.UseLine}}{{if .HasAvailableSubCommands}} COMMAND

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`
)

// run is the program without its process: scripts in testdata call it too.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	p := &program{in: in, out: out, err: errOut}
	root := p.root()
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetArgs(args)

	ctx, stop := untilSignal(p.lastWords)
	defer stop()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return p.report(err)
}

// root is the command with all commands below it.
func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use: "evergate", Long: usage,
		SilenceUsage: true, SilenceErrors: true, DisableAutoGenTag: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &misuse{err, cmd.CommandPath() + " --help"}
	})
	root.SetHelpTemplate(helpTemplate)
	root.SetUsageTemplate(usageTemplate)
	root.AddCommand(p.demoCmd(), p.devCmd(), p.initCmd(), p.serveCmd(), p.checkCmd(), p.explainCmd(), p.doctorCmd(), p.userCmd(),
		p.reloadCmd(), p.upgradeCmd(), p.keyCmd(), p.importCmd(), p.sessionCmd(), p.configCmd(), p.snippetCmd(), p.pagesCmd(), p.healthcheckCmd(), p.versionCmd())
	root.Args = func(cmd *cobra.Command, args []string) error { return p.unknown(cmd, args) }
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return root
}

// untilSignal returns a context that ends with the first signal to stop; a second
// one ends the program at once, after its last words. No moment is left in which it would
// be lost.
func untilSignal(lastWords func()) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals, done := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var wg sync.WaitGroup
	wg.Go(func() {
		for first := true; ; first = false {
			select {
			case <-signals:
			case <-done:
				return
			}
			if !first {
				lastWords()
				os.Exit(exitFailed)
			}
			cancel()
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		wg.Wait()
		cancel()
	}
}

// unknown answers a word that is no command, with the nearest ones.
func (p *program) unknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := cmd.CommandPath() + " --help"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "evergate " + strings.Join(near, ", or evergate ")
	}
	return &misuse{fmt.Errorf("unknown command %q", args[0]), hint}
}

// misuse is an error in how the command was typed.
type misuse struct {
	err error
	try string
}

func (m *misuse) Error() string { return m.err.Error() }
func (m *misuse) Unwrap() error { return m.err }

// hinted is an error with the next thing to type.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// report says on stderr what went wrong, and gives the exit code for it.
func (p *program) report(err error) int {
	if faults, ok := errors.AsType[config.Faults](err); ok {
		faults.Draw(p.err, p.color())
		fmt.Fprintf(p.err, "evergate: %s\n", count(len(faults), "problem"))
		return exitFailed
	}
	fmt.Fprintf(p.err, "evergate: %v\n", err)
	if m, ok := errors.AsType[*misuse](err); ok {
		if m.try != "" {
			fmt.Fprintf(p.err, "  try: %s\n", m.try)
		}
		return exitMisuse
	}
	if h, ok := errors.AsType[*hinted](err); ok {
		fmt.Fprintf(p.err, "  %s\n", h.hint)
	}
	return exitFailed
}

// color reports whether stderr is a person's terminal that wants colour.
func (p *program) color() bool {
	f, ok := p.err.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == ""
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// exactly demands n arguments; what names them for the error.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		if n == 0 {
			return &misuse{fmt.Errorf("%s takes no argument, got %q", cmd.CommandPath(), args[0]), cmd.CommandPath() + " --help"}
		}
		return &misuse{fmt.Errorf("%s wants %s", cmd.CommandPath(), what), cmd.UseLine()}
	}
}

// configFlag adds --config, which the command cannot do without.
func configFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "config", "c", "", "the YAML file (default: evergate.yaml here, if there is one)")
}

// configPath is the file that --config names, or evergate.yaml here.
func configPath(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	if _, err := os.Stat("evergate.yaml"); err == nil {
		return "evergate.yaml", nil
	}
	return "", &misuse{errors.New("no config file was named, and there is no evergate.yaml here"),
		"evergate init, or --config FILE"}
}

func loadConfig(given string) (*config.Config, error) {
	path, err := configPath(given)
	if err != nil {
		return nil, err
	}
	return config.Load(path)
}
