package payload

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Package is one binary package of the archive.
type Package struct {
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Arch    string   `json:"arch"`
	Size    int64    `json:"size"`    // bytes of the .deb
	SHA256  string   `json:"sha256"`  // of the .deb, lower-case hexadecimal
	Sources []Source `json:"sources"` // the one it was built from, then those of which it holds parts
}

// Source is a source package. Its version can differ from that of the binary packages.
type Source struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// String names the source package the way apt takes it.
func (s Source) String() string { return s.Name + "=" + s.Version }

// String names the package the way apt takes it.
func (p Package) String() string { return p.Name + "=" + p.Version }

// Resolution is the answer to "which packages does this set of roots need": what a lock file
// or a bill of materials holds. Its JSON form is the same whenever the packages are: there is no
// date in it, and packages are sorted by name.
type Resolution struct {
	Suite    string    `json:"suite"`
	Roots    []string  `json:"roots"` // sorted
	Packages []Package `json:"packages"`
}

// Size is the sum of the sizes of all packages, in bytes.
func (r *Resolution) Size() int64 { return totalSize(r.Packages) }

// check refuses what a damaged or hostile lock file could hold.
func (r *Resolution) check() error {
	if len(r.Packages) == 0 {
		return fmt.Errorf("no packages")
	}
	for _, p := range r.Packages {
		if err := p.check(); err != nil {
			return err
		}
	}
	return nil
}

// key names the set of packages.
func (r *Resolution) key() string {
	h := sha256.New()
	for _, p := range r.Packages {
		fmt.Fprintln(h, p.SHA256)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func totalSize(pkgs []Package) int64 {
	var n int64
	for _, p := range pkgs {
		n += p.Size
	}
	return n
}

// packageFromStanza makes a Package of a stanza of apt-cache show.
func packageFromStanza(s stanza) (Package, error) {
	p := Package{
		Name:    s["package"],
		Version: s["version"],
		Arch:    s["architecture"],
		SHA256:  strings.ToLower(s["sha256"]),
		Sources: sourcesOf(s),
	}
	if _, err := fmt.Sscan(s["size"], &p.Size); err != nil {
		return p, fmt.Errorf("package %q: size %q is no number", p.Name, s["size"])
	}
	return p, p.check()
}

// check refuses what could not be downloaded or would be dangerous as a part of a path or of a
// command line.
func (p Package) check() error {
	if err := p.checkBinary(); err != nil {
		return err
	}
	if len(p.Sources) == 0 {
		return fmt.Errorf("package %s: no source package", p.Name)
	}
	for _, s := range p.Sources {
		if err := s.check(); err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
	}
	return nil
}

// checkBinary is check for all but the source packages.
func (p Package) checkBinary() error {
	if !plainName(p.Name) {
		return fmt.Errorf("package name %q is not valid", p.Name)
	}
	if !plainVersion(p.Version) {
		return fmt.Errorf("package %s: version %q is not valid", p.Name, p.Version)
	}
	if !plainName(p.Arch) {
		return fmt.Errorf("package %s: architecture %q is not valid", p.Name, p.Arch)
	}
	if p.Size <= 0 {
		return fmt.Errorf("package %s: size %d is not valid", p.Name, p.Size)
	}
	raw, err := hex.DecodeString(p.SHA256)
	if err != nil || hex.EncodeToString(raw) != p.SHA256 || len(raw) != sha256.Size {
		return fmt.Errorf("package %s: SHA-256 %q is not valid", p.Name, p.SHA256)
	}
	return nil
}

func (s Source) check() error {
	if !plainName(s.Name) || !plainVersion(s.Version) {
		return fmt.Errorf("source package %q is not valid", s)
	}
	return nil
}

// plainName tells whether s is a package name by Debian policy 5.6.7: at least two of lower-case
// letters, digits, plus, minus and dot, the first of them a letter or digit.
func plainName(s string) bool {
	if len(s) < 2 || strings.ContainsRune("+-.", rune(s[0])) {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}

// plainVersion tells whether s has only the characters of a version by Debian policy 5.6.12.
func plainVersion(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return s != "" && strings.Trim(s, letters+strings.ToUpper(letters)+"0123456789.+-~:") == ""
}

// sourcesOf are the source package of a stanza of the index and those that its Built-Using fields
// name (Debian policy 7.8), the latter sorted. Debian's signed kernel, for one, comes from
// linux-signed-amd64, which holds signatures only: the kernel's sources are in linux.
func sourcesOf(s stanza) []Source {
	var parts []Source
	for clause := range strings.SplitSeq(s["built-using"]+","+s["static-built-using"], ",") {
		name, version, _ := strings.Cut(strings.TrimSpace(clause), "(=")
		if name = strings.TrimSpace(name); name != "" {
			parts = append(parts, Source{name, strings.TrimSpace(strings.TrimSuffix(version, ")"))})
		}
	}
	slices.SortFunc(parts, compareSources)
	return append([]Source{splitSource(s["source"], s["package"], s["version"])}, slices.Compact(parts)...)
}

func compareSources(a, b Source) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
}

// splitSource reads a Source field: empty, "glibc" or "linux-signed-amd64 (6.12.1+1)".
func splitSource(field, name, version string) Source {
	if field == "" {
		return Source{name, version}
	}
	source, rest, found := strings.Cut(field, " (")
	if !found {
		return Source{source, version}
	}
	return Source{source, strings.TrimSuffix(rest, ")")}
}

// sortedRoots checks the names and puts them in order, each once.
func sortedRoots(roots []string) ([]string, error) {
	if len(roots) == 0 {
		return nil, fmt.Errorf("no packages asked for")
	}
	for _, r := range roots {
		if !plainName(r) {
			return nil, fmt.Errorf("package name %q is not valid", r)
		}
	}
	sorted := slices.Clone(roots)
	slices.Sort(sorted)
	return slices.Compact(sorted), nil
}
