package payload

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/buildcache"
)

// repo is a signed archive in a directory, with the layout of Debian's.
type repo struct {
	t       *testing.T
	dir     string              // holds debian and debian-security
	gnupg   string              // home of gpg
	keyring string              // public key, as Options.Keyring
	stanzas map[string][]string // of packages, by component
}

// testDeb is a package to build. Files maps paths to contents; "-> x" is a symbolic link to x
// and "=> x" a hard link to x.
type testDeb struct {
	name, version, fields string
	files                 map[string]string
}

func (d testDeb) filename() string { return fmt.Sprintf("%s_%s_amd64.deb", d.name, d.version) }

// newRepo makes an archive of the given packages; it skips the test where tools are missing.
func newRepo(t *testing.T, debs ...testDeb) *repo {
	t.Helper()
	for _, tool := range []string{"apt-get", "dpkg-deb", "gpg"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	r := &repo{t: t, dir: t.TempDir()}
	r.keyring = filepath.Join(r.dir, "key.gpg")
	r.newKey()
	r.export()
	for _, d := range debs {
		r.add(d)
	}
	r.publish()
	return r
}

func (r *repo) options() Options {
	return Options{
		Cache:   newCache(r.t, r.t.TempDir()),
		Mirror:  "file://" + filepath.Join(r.dir, "debian"),
		Keyring: r.keyring,
	}
}

// newKey makes the key that publish signs with.
func (r *repo) newKey() {
	r.t.Helper()
	// Not t.TempDir: the agent's socket must have a path of less than 108 bytes.
	home, err := os.MkdirTemp("", "gpg")
	if err != nil {
		r.t.Fatal(err)
	}
	r.gnupg = home
	r.t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--kill", "gpg-agent")
		cmd.Env = append(os.Environ(), "GNUPGHOME="+home)
		cmd.Run()
		os.RemoveAll(home)
	})
	r.gpg("--quick-generate-key", "--passphrase", "", "test archive", "rsa2048")
}

// newCache opens a cache for a test.
func newCache(t *testing.T, dir string) *buildcache.Cache {
	t.Helper()
	cache, err := buildcache.Open(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Close() })
	return cache
}

// export makes the present key the one that Options.Keyring trusts.
func (r *repo) export() {
	os.Remove(r.keyring)
	r.gpg("--output", r.keyring, "--export")
}

func (r *repo) gpg(args ...string) {
	r.t.Helper()
	cmd := exec.Command("gpg", append([]string{"--batch", "--yes", "--quiet", "--homedir", r.gnupg}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("gpg %s: %v\n%s", args, err, out)
	}
}

// add builds a package and appends it to the index of main that publish writes.
func (r *repo) add(d testDeb) {
	r.t.Helper()
	r.addTo("main", d)
}

// addTo is add for any component of the archive.
func (r *repo) addTo(component string, d testDeb) {
	r.t.Helper()
	build := r.t.TempDir()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\n"+
		"Maintainer: A Test <a@test.invalid>\n%sDescription: test\n", d.name, d.version, d.fields)
	put(r.t, filepath.Join(build, "DEBIAN/control"), control)
	for name, content := range d.files {
		put(r.t, filepath.Join(build, name), content)
	}
	for name, content := range d.files {
		if target, ok := strings.CutPrefix(content, "=> "); ok {
			os.Remove(filepath.Join(build, name))
			if err := os.Link(filepath.Join(build, target), filepath.Join(build, name)); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	deb := r.deb(d)
	if err := os.MkdirAll(filepath.Dir(deb), 0o755); err != nil {
		r.t.Fatal(err)
	}
	pack := exec.Command("dpkg-deb", "--root-owner-group", "-Zgzip", "--build", build, deb)
	if out, err := pack.CombinedOutput(); err != nil {
		r.t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(deb)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.stanzas == nil {
		r.stanzas = map[string][]string{}
	}
	r.stanzas[component] = append(r.stanzas[component], fmt.Sprintf("%sFilename: pool/%s\nSize: %d\nSHA256: %x\n",
		control, d.filename(), len(raw), sha256.Sum256(raw)))
}

// deb is where the archive has the package.
func (r *repo) deb(d testDeb) string { return filepath.Join(r.dir, "debian/pool", d.filename()) }

// publish writes and signs the indexes; only the main suite has packages.
func (r *repo) publish() {
	r.t.Helper()
	r.suite("debian", "trixie", r.stanzas)
	r.suite("debian", "trixie-updates", nil)
	r.suite("debian-security", "trixie-security", nil)
}

// suite writes a suite with the component main, and those that stanzas has.
func (r *repo) suite(archive, suite string, stanzas map[string][]string) {
	r.t.Helper()
	dir := filepath.Join(r.dir, archive, "dists", suite)
	components := []string{"main"}
	for name := range r.stanzas {
		if name != "main" {
			components = append(components, name)
		}
	}
	release := fmt.Sprintf("Origin: Test\nSuite: %[1]s\nCodename: %[1]s\nArchitectures: amd64\nComponents: %[2]s\n"+
		"Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n", suite, strings.Join(components, " "))
	for _, name := range components {
		packages := []byte(strings.Join(stanzas[name], "\n"))
		var index bytes.Buffer
		zip := gzip.NewWriter(&index)
		zip.Write(packages)
		zip.Close()
		put(r.t, filepath.Join(dir, name, "binary-amd64/Packages.gz"), index.String())
		release += fmt.Sprintf(" %[2]x %[3]d %[1]s/binary-amd64/Packages\n"+
			" %[4]x %[5]d %[1]s/binary-amd64/Packages.gz\n",
			name, sha256.Sum256(packages), len(packages), sha256.Sum256(index.Bytes()), index.Len())
	}
	put(r.t, filepath.Join(dir, "Release"), release)
	r.gpg("--clearsign", "--output", filepath.Join(dir, "InRelease"), filepath.Join(dir, "Release"))
}

// put writes a file, or a symbolic link for the content "-> target".
func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if target, ok := strings.CutPrefix(content, "-> "); ok {
		if err := os.Symlink(target, file); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
