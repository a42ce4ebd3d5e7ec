package payload

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/buildcache"
)

// notNeeded are packages the walk along dependencies stops at: they do their work on an
// installed system, where services and maintainer scripts run, and nothing of them or of what
// only they need ends up on the disc. For the usual roots this leaves 53 packages of 116. A
// package that should be here costs bytes, one that should not shows as a missing library. A
// root is never left out.
var notNeeded = map[string]string{
	"debconf":         "asks questions at installation",
	"dmsetup":         "udev rules for libdevmapper",
	"gettext-base":    "translates what GRUB's scripts say",
	"initramfs-tools": "makes the initrd of an installed system",
	"iucode-tool":     "puts microcode into the initrd of an installed system",
	"kmod":            "loads modules; our init does that",
	"linux-base":      "scripts run at installation of a kernel",
	"perl-base":       "runs maintainer scripts",
	"python3":         "for pygrub and helpers that the disc does not carry",
	"ucf":             "merges configuration at installation",
	"udev":            "our init has its own",
}

// saved is what apt said of a suite and its roots, with the options that it depends on. Which packages are needed
// follows from it.
type saved struct {
	Mirror, Keyring string    // as in Options
	Updated         time.Time // when the index it was made from was fetched
	Suite           string
	Roots           []string
	Index           string // the index's stanzas of all packages that apt would install
}

// savedExt is the end of the names of files with such an answer.
const savedExt = ".json"

// resolve finds the packages roots need. It takes the last answer when that is recent, or when
// Options.Offline forbids to ask.
func resolve(ctx context.Context, opts Options, roots []string) (*Resolution, error) {
	key := opts.resolutionKey(roots) + savedExt
	if opts.Offline {
		return resolveOffline(opts, key, roots)
	}
	if opts.Cache.Has(resolutionKind, key) {
		last, err := loadSaved(opts.Cache.Path(resolutionKind, key))
		if err == nil && last.usable(opts) {
			return last.resolution()
		}
	}
	s, err := ask(ctx, opts, roots)
	if err != nil {
		return nil, err
	}
	res, err := s.resolution()
	if err != nil {
		return nil, err
	}
	opts.Log.Info("resolved packages", "roots", len(roots), "needed", len(res.Packages), "bytes", res.Size())
	_, err = opts.Cache.Make(resolutionKind, key, s.write)
	return res, err
}

func resolveOffline(opts Options, key string, roots []string) (*Resolution, error) {
	if !opts.Cache.Has(resolutionKind, key) {
		return nil, fmt.Errorf("offline, and the cache has no answer, or a damaged one, for %s in %s: %s: "+
			"run mkiso once without -offline",
			strings.Join(roots, " "), opts.Suite, opts.Cache.Path(resolutionKind, key))
	}
	last, err := loadSaved(opts.Cache.Path(resolutionKind, key))
	if err != nil {
		return nil, fmt.Errorf("offline: %w: run mkiso once without -offline", err)
	}
	return last.resolution()
}

// usable tells whether asking apt again could not give another answer.
func (s *saved) usable(opts Options) bool {
	same := s.Mirror == opts.Mirror && s.Keyring == opts.Keyring
	return same && !opts.Refresh && time.Since(s.Updated) < updateInterval
}

// resolutionKey names what apt says of these roots, with its configuration as it is.
func (o Options) resolutionKey(roots []string) string {
	archive := strings.Join(slices.Concat([]string{o.Suite}, o.Components), " ")
	return buildcache.Key(append([]string{aptConfig, archive}, roots...)...)
}

func loadSaved(file string) (*saved, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var s saved
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return &s, nil
}

func (s *saved) write(file string) error {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, raw, 0o644)
}

// ask has apt resolve the roots, with an index that is recent.
func ask(ctx context.Context, opts Options, roots []string) (*saved, error) {
	a, err := newAPT(ctx, opts)
	if err != nil {
		return nil, err
	}
	if opts.Refresh {
		err = a.update(ctx, opts)
	} else {
		err = a.ensureIndex(ctx, opts)
	}
	if err != nil {
		return nil, err
	}
	chosen, err := a.install(ctx, roots)
	if errors.Is(err, errGone) && len(opts.Components) > 0 {
		// apt only warns of a component that the archive does not have.
		err = fmt.Errorf("%w: if the mirror does not carry %s, use another -mirror",
			err, strings.Join(opts.Components, " "))
	}
	if err != nil {
		return nil, err
	}
	index, err := a.run(ctx, call{args: append([]string{"apt-cache", "show"}, chosen...)})
	if err != nil {
		return nil, err
	}
	s := &saved{
		Mirror: opts.Mirror, Keyring: opts.Keyring, Updated: a.updated(),
		Suite: opts.Suite, Roots: roots, Index: string(index),
	}
	stanzas, err := s.stanzas()
	if err == nil && len(stanzas) != len(chosen) {
		err = fmt.Errorf("apt-cache show: %d packages instead of %d", len(stanzas), len(chosen))
	}
	return s, err
}

// resolution leaves out what is not needed.
func (s *saved) resolution() (*Resolution, error) {
	stanzas, err := s.stanzas()
	if err != nil {
		return nil, err
	}
	res := &Resolution{Suite: s.Suite, Roots: s.Roots}
	for _, stanza := range needed(stanzas, s.Roots) {
		p, err := packageFromStanza(stanza)
		if err != nil {
			return nil, err
		}
		res.Packages = append(res.Packages, p)
	}
	return res, res.check()
}

// stanzas are the index's stanzas of the packages, each once, sorted by name.
func (s *saved) stanzas() ([]stanza, error) {
	list, err := parseStanzas(strings.NewReader(s.Index))
	if err != nil {
		return nil, fmt.Errorf("read apt-cache show: %w", err)
	}
	byName := func(a, b stanza) int { return cmp.Compare(a["package"], b["package"]) }
	slices.SortStableFunc(list, byName)
	// A version that two suites carry is shown twice.
	return slices.CompactFunc(list, func(a, b stanza) bool { return byName(a, b) == 0 }), nil
}

// install lists "name=version" of all packages that apt would install on an empty system.
func (a *apt) install(ctx context.Context, roots []string) ([]string, error) {
	out, err := a.run(ctx, call{args: append([]string{"apt-get", "-q", "-s", "-y", "install"}, roots...)})
	if err != nil {
		return nil, err
	}
	return parseSimulation(string(out))
}

// parseSimulation reads "Inst libc6 (2.41-12 Debian:13.1/stable [amd64])" lines.
func parseSimulation(out string) ([]string, error) {
	var chosen []string
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "Inst" {
			continue
		}
		version, ok := strings.CutPrefix(f[2], "(")
		if !ok {
			return nil, fmt.Errorf("apt-get: cannot read %q", strings.TrimSpace(line))
		}
		chosen = append(chosen, f[1]+"="+version)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("apt-get would install nothing")
	}
	return chosen, nil
}

// needed are the stanzas reachable from roots along Depends and Pre-Depends without going
// through a package that is notNeeded. Of alternatives apt has chosen at least one; all that it
// has chosen count.
func needed(stanzas []stanza, roots []string) []stanza {
	providers := providersOf(stanzas)
	reached := map[string]bool{}
	var reach func(name string, root bool)
	reach = func(name string, root bool) {
		for _, p := range providers[name] {
			real := p["package"]
			if reached[real] || (notNeeded[real] != "" && !root) {
				continue
			}
			reached[real] = true
			for _, clause := range parseRelation(p["pre-depends"] + "," + p["depends"]) {
				for _, alternative := range clause {
					reach(alternative, false)
				}
			}
		}
	}
	for _, root := range roots {
		reach(root, true)
	}
	return slices.DeleteFunc(slices.Clone(stanzas), func(s stanza) bool { return !reached[s["package"]] })
}

// providersOf maps each name to the package of that name, or else to those that provide it.
func providersOf(stanzas []stanza) map[string][]stanza {
	providers := map[string][]stanza{}
	for _, s := range stanzas {
		providers[s["package"]] = []stanza{s}
	}
	for _, s := range stanzas {
		for _, names := range parseRelation(s["provides"]) {
			virtual := names[0]
			if real := providers[virtual]; len(real) == 0 || real[0]["package"] != virtual {
				providers[virtual] = append(real, s)
			}
		}
	}
	return providers
}
