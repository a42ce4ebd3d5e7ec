package payload

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// configName is that of the configuration in the private root.
const configName = "config"

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
	a := &apt{dir: opts.path(opts.aptRoot()), sources: opts.sources(m, keyring), timeout: opts.timeout}
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

// aptRoot is the name of the private root's directory. Builds with other components have one of their own: with a
// common one, each would fetch the index of all packages again after the other.
func (o Options) aptRoot() string {
	return strings.Join(slices.Concat([]string{"apt"}, o.Components), "+")
}

// sources is the private root's sources.list.
func (o Options) sources(m mirrors, keyring string) string {
	components := strings.Join(slices.Concat([]string{"main"}, o.Components), " ")
	var b strings.Builder
	for _, s := range []struct{ uri, suite string }{
		{m.main, o.Suite},
		{m.main, o.Suite + "-updates"},
		{m.security, o.Suite + "-security"},
	} {
		fmt.Fprintf(&b, "deb [signed-by=%s] %s %s %s\n", keyring, s.uri, s.suite, components)
	}
	return b.String()
}

func (a *apt) write(ctx context.Context) error {
	if err := a.makeDirs(); err != nil {
		return err
	}
	for _, f := range []struct{ name, text string }{
		{configName, fmt.Sprintf(aptConfig, a.dir, int(a.timeout.Seconds())) + hostAcquire(ctx)},
		{"sources.list", a.sources},
		{"status", ""},
	} {
		if err := atomicfile.WriteBytes(filepath.Join(a.dir, f.name), []byte(f.text)); err != nil {
			return fmt.Errorf("write apt root: %w", err)
		}
	}
	return nil
}

// aptDirs are what apt warns about when it does not find them.
var aptDirs = []string{
	"apt.conf.d", "sources.list.d", "preferences.d", "auth.conf.d", "trusted.gpg.d",
	"lists/partial", "archives/partial",
}

func (a *apt) makeDirs() error {
	for _, sub := range aptDirs {
		if err := os.MkdirAll(filepath.Join(a.dir, sub), 0o755); err != nil {
			return fmt.Errorf("create apt root: %w", err)
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
