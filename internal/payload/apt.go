package payload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zerodisc/zerodisc/internal/atomicfile"
)

// keyrings are the names Debian's archive keys have had, in order of preference.
var keyrings = []string{
	"/usr/share/keyrings/debian-archive-keyring.pgp",
	"/usr/share/keyrings/debian-archive-keyring.gpg",
}

// aptConfig is the private root's whole configuration: it is named by APT_CONFIG, which apt reads
// before it looks for the host's, so that none of the host's hooks, pins or sources count.
// %[1]s is the private root's directory, %[2]d the seconds after which a silent mirror is asked again.
const aptConfig = `Dir::Etc "%[1]s";
Dir::State "%[1]s";
Dir::State::status "status";
Dir::Cache "%[1]s";
Dir::Log "%[1]s";
// Half the size on disk for no loss of time.
Dir::Cache::srcpkgcache "";
Acquire::GzipIndexes "true";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Install-Recommends "false";
// The cache belongs to the caller, and apt's own user could not write to it.
APT::Sandbox::User "root";
// Only what a resolution needs: neither translations nor descriptions for software centres.
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
Acquire::Retries "2";
Acquire::http::Timeout "%[2]d";
Acquire::https::Timeout "%[2]d";
// An index that could not be fetched is an error and never an old one used silently.
APT::Update::Error-Mode "any";
`

// hostSettings are the settings taken over from the host's apt: how it reaches its mirror, and
// whether it takes a Release file past its date (as snapshots of the archive need).
var hostSettings = []string{
	"Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date",
}

// apt is a private apt root.
type apt struct {
	dir     string
	sources string
	timeout time.Duration // as in Options
}

// patience is how often the timeout passes without a byte before a mirror is given up. apt's own
// count is for each file: with a mirror that died it would take more than an hour for the
// packages of a disc.
const patience = 3

// newAPT writes the private root's configuration.
func newAPT(ctx context.Context, opts Options) (*apt, error) {
	keyring, err := findKeyring(opts.Keyring)
	if err != nil {
		return nil, err
	}
	m, err := findMirrors(ctx, opts.Mirror)
	if err != nil {
		return nil, err
	}
	a := &apt{dir: opts.path("apt"), sources: sourcesFor(m, opts.Suite, keyring), timeout: opts.timeout}
	return a, a.write(ctx)
}

// findKeyring is the given file, or Debian's.
func findKeyring(given string) (string, error) {
	candidates := keyrings
	if given != "" {
		candidates = []string{given}
	}
	for _, file := range candidates {
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("no keyring %s: install the package debian-archive-keyring", strings.Join(candidates, " or "))
}

// sourcesFor is the private root's sources.list.
func sourcesFor(m mirrors, suite, keyring string) string {
	var b strings.Builder
	for _, s := range []struct{ uri, suite string }{
		{m.main, suite},
		{m.main, suite + "-updates"},
		{m.security, suite + "-security"},
	} {
		fmt.Fprintf(&b, "deb [signed-by=%s] %s %s main\n", keyring, s.uri, s.suite)
	}
	return b.String()
}

func (a *apt) write(ctx context.Context) error {
	// apt warns about each of these that it does not find.
	for _, sub := range []string{"apt.conf.d", "sources.list.d", "preferences.d", "auth.conf.d", "trusted.gpg.d", "lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, sub), 0o755); err != nil {
			return fmt.Errorf("create apt root: %w", err)
		}
	}
	for _, f := range []struct{ name, text string }{
		{"config", fmt.Sprintf(aptConfig, a.dir, int(a.timeout.Seconds())) + hostAcquire(ctx)},
		{"sources.list", a.sources},
		{"status", ""},
	} {
		if err := atomicfile.WriteBytes(filepath.Join(a.dir, f.name), []byte(f.text)); err != nil {
			return fmt.Errorf("write apt root: %w", err)
		}
	}
	return nil
}

// hostAcquire is the part of the host's apt configuration that hostSettings names.
func hostAcquire(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump").Output()
	if err != nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(string(out)) {
		if slices.ContainsFunc(hostSettings, func(s string) bool { return strings.HasPrefix(line, s) }) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// updateInterval is the least time between two fetches of the archive's index. A build that
// follows another one within it needs no network.
const updateInterval = time.Hour

// updated tells when the index was last fetched from these sources; zero for never.
func (a *apt) updated() time.Time {
	stamp := filepath.Join(a.dir, "updated")
	raw, err := os.ReadFile(stamp)
	if err != nil || string(raw) != a.sources {
		return time.Time{}
	}
	info, err := os.Stat(stamp)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// ensureIndex fetches the archive's index unless the last one is recent enough.
func (a *apt) ensureIndex(ctx context.Context, opts Options) error {
	if time.Since(a.updated()) < updateInterval {
		return nil
	}
	return a.update(ctx, opts)
}

// update fetches the archive's index and checks its signatures.
func (a *apt) update(ctx context.Context, opts Options) error {
	opts.Log.Info("fetching package index", "suite", opts.Suite)
	opts.Progress(Progress{Step: "index"})
	stamp := filepath.Join(a.dir, "updated")
	if err := os.Remove(stamp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forget last update: %w", err)
	}
	if _, err := a.run(ctx, call{args: []string{"apt-get", "-q", "update"}, percent: func(float64) {}}); err != nil {
		return fmt.Errorf("fetch package index: %w", err)
	}
	return atomicfile.WriteBytes(stamp, []byte(a.sources))
}

// call is one run of a program in the private root.
type call struct {
	args    []string
	dir     string                // "" for the current one
	percent func(percent float64) // told how far downloads are; nil for a program that needs no network
}

// run executes apt and returns its standard output. The error condenses what apt complained of.
func (a *apt) run(ctx context.Context, c call) ([]byte, error) {
	if c.percent != nil {
		var stop func()
		ctx, c.percent, stop = a.watchStall(ctx, c.percent)
		defer stop()
	}
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "APT_CONFIG="+filepath.Join(a.dir, "config"))
	// apt starts helpers for each protocol: a group of their own lets all of them be ended.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.percent != nil {
		stop, err := watchStatus(cmd, c.percent)
		if err != nil {
			return nil, err
		}
		defer stop()
	}
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("%s not found: this needs a Debian machine or one derived from it", c.args[0])
	case err != nil:
		return nil, fmt.Errorf("%s: %w", filepath.Base(c.args[0]), condense(stdout.String(), stderr.String(), err))
	}
	return stdout.Bytes(), nil
}

// watchStall returns a context that ends when the percentages that pass through the returned function
// have not grown for too long.
func (a *apt) watchStall(ctx context.Context, percent func(float64)) (context.Context, func(float64), func()) {
	limit := patience * a.timeout
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("the mirror has sent nothing for %v: try again later, or use another -mirror", limit))
	})
	most := -1.0
	watched := func(p float64) {
		if p > most {
			most = p
			timer.Reset(limit)
		}
		percent(p)
	}
	return ctx, watched, func() {
		timer.Stop()
		cancel(nil)
	}
}

// watchStatus gives cmd a status pipe (APT::Status-Fd) and passes on the percentages of
// its lines "dlstatus:FILE:PERCENT:text".
func watchStatus(cmd *exec.Cmd, percent func(float64)) (stop func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make status pipe: %w", err)
	}
	cmd.ExtraFiles = []*os.File{w} // descriptor 3
	cmd.Args = slices.Insert(cmd.Args, 1, "-o", "APT::Status-Fd=3")
	done := make(chan struct{})
	go func() {
		defer close(done)
		readStatus(r, percent)
	}()
	return func() {
		w.Close()
		// Should a helper of apt outlive it with the pipe open, do not wait for it.
		r.SetReadDeadline(time.Now().Add(time.Second))
		<-done
		r.Close()
	}, nil
}

func readStatus(r io.Reader, percent func(float64)) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.SplitN(lines.Text(), ":", 4)
		if len(f) < 3 || f[0] != "dlstatus" {
			continue
		}
		if p, err := strconv.ParseFloat(f[2], 64); err == nil {
			percent(p)
		}
	}
}

// errGone tells that the archive no longer has what its index named when that was fetched, or that
// the index no longer names what a lock file does.
var errGone = errors.New("not in the archive")

// aptHints explain what apt says in words a user can act on.
var aptHints = []struct{ sign, hint string }{
	{"NO_PUBKEY", "the keyring lacks the archive's key: upgrade the package debian-archive-keyring, or check the mirror"},
	{"Missing key", "the keyring lacks the archive's key: upgrade the package debian-archive-keyring, or check the mirror"},
	{"BADSIG", "the archive's signature is wrong: do not use this mirror"},
	{"Bad signature", "the archive's signature is wrong: do not use this mirror"},
	{"does not have a Release file", "check -suite and -mirror; packages are only taken from signed archives"},
	{"is not signed", "packages are only taken from signed archives: check the mirror"},
	{"Hash Sum mismatch", "the mirror is being updated, or a proxy damages downloads: try again later or use another -mirror"},
	{"Temporary failure resolving", "no network: use -offline if the cache was filled before"},
	{"Could not connect", "mirror not reachable: use -offline if the cache was filled before, or another -mirror"},
	{"Error reading from server", "the mirror broke off: try again, packages that were complete are kept, or use another -mirror"},
	{"Connection timed out", "the mirror does not answer: try again later or use another -mirror"},
	{"Could not resolve", "no network: use -offline if the cache was filled before"},
}

// gone is what apt says of a file, a version or a package that the archive or its index does not have.
var gone = regexp.MustCompile(`404 |File not found|Version '.*' for '.*' was not found|Unable to locate package`)

// unmet are the lines of standard output that say why packages cannot be installed.
var unmet = regexp.MustCompile(`(?m)^ *\S+ : (?:Pre-)?Depends: .*$`)

// condense makes one error of apt's error lines (E:), or of its warnings (W:) when there are
// none, and of unmet dependencies; exit stands in when it said nothing.
func condense(stdout, stderr string, exit error) error {
	said := taggedLines(stderr, "E: ")
	if len(said) == 0 {
		said = taggedLines(stderr, "W: ")
	}
	for _, line := range unmet.FindAllString(stdout, maxComplaints) {
		said = append(said, strings.TrimSpace(line))
	}
	if len(said) == 0 {
		return exit
	}
	text := strings.Join(said, "; ")
	for _, h := range aptHints {
		if strings.Contains(stderr, h.sign) {
			text += " (" + h.hint + ")"
			break
		}
	}
	switch {
	case gone.MatchString(stderr):
		return fmt.Errorf("%s: %w", text, errGone)
	case strings.Contains(stderr, "No space left on device"):
		return fmt.Errorf("%s: %w", text, syscall.ENOSPC)
	}
	return errors.New(text)
}

// maxComplaints bounds how many of apt's lines an error repeats: one that is offline complains
// once for each file.
const maxComplaints = 2

// taggedLines are the distinct lines that begin with tag, without it.
func taggedLines(text, tag string) []string {
	var list []string
	for line := range strings.Lines(text) {
		rest, tagged := strings.CutPrefix(strings.TrimRight(line, "\n"), tag)
		if tagged && !slices.Contains(list, rest) {
			list = append(list, rest)
		}
	}
	if len(list) > maxComplaints {
		list = append(list[:maxComplaints], fmt.Sprintf("and %d more", len(list)-maxComplaints))
	}
	return list
}
