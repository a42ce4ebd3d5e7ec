package payload

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
)

// mirrors are the URLs packages come from, without a slash at the end.
type mirrors struct {
	main     string // SUITE and SUITE-updates
	security string // SUITE-security
}

// findMirrors takes the mirror the user named, else the one the host's apt is set up for.
func findMirrors(ctx context.Context, named string) (mirrors, error) {
	if named != "" {
		return namedMirrors(named)
	}
	if m := mirrorsOfTargets(aptTargets(ctx)); m.main != "" {
		return m.complete(), nil
	}
	sources, err := readSources(os.DirFS("/etc/apt"))
	if err != nil {
		return mirrors{}, fmt.Errorf("read apt sources: %w", err)
	}
	if m := mirrorsOfSources(sources); m.main != "" {
		return m.complete(), nil
	}
	return mirrors{}, fmt.Errorf("the apt sources of this machine name no Debian mirror: give one with -mirror URL")
}

func namedMirrors(named string) (mirrors, error) {
	u, err := url.Parse(named)
	if err != nil || u.Scheme == "" || strings.ContainsAny(named, " \t\n") {
		return mirrors{}, fmt.Errorf("mirror %q is no URL: it must look like http://HOST/debian or file:///DIR/debian",
			named)
	}
	return mirrors{main: strings.TrimRight(named, "/")}.complete(), nil
}

// debianElement is the path element that tells Debian's main archive from its security
// archive on every mirror that carries both; ".list" is that of a mirror+file source.
var debianElement = regexp.MustCompile(`/debian(/|\.list$|$)`)

// complete derives the security archive's URL where it is not known.
func (m mirrors) complete() mirrors {
	derived := m.main
	if at := debianElement.FindAllStringIndex(m.main, -1); len(at) > 0 {
		cut := at[len(at)-1][0] + len("/debian")
		derived = m.main[:cut] + "-security" + m.main[cut:]
	}
	m.security = cmp.Or(m.security, derived)
	return m
}

// targetFormat makes apt-get indextargets print the fields mirrorsOfTargets reads.
const targetFormat = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"

// aptTargets lists the indexes the host's apt knows, whatever form its sources have. It is
// empty when they were never fetched, or without apt.
func aptTargets(ctx context.Context) []byte {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", targetFormat).Output()
	if err != nil {
		return nil
	}
	return out
}

// mirrorsOfTargets picks the first URLs of Debian's main and security archives: what they call
// themselves in their signed Release file decides, not what their URL looks like.
func mirrorsOfTargets(targets []byte) mirrors {
	var m mirrors
	for line := range bytes.Lines(targets) {
		f := strings.Split(strings.TrimSpace(string(line)), "|")
		if len(f) != 4 || f[0] != "Debian" || f[2] != "main" {
			continue
		}
		uri := strings.TrimRight(f[3], "/")
		switch f[1] {
		case "Debian":
			m.main = cmp.Or(m.main, uri)
		case "Debian-Security":
			m.security = cmp.Or(m.security, uri)
		}
	}
	return m
}

// source is one entry of the host's apt sources.
type source struct {
	uri, suite string
	components []string
	signedBy   string
}

// readSources reads sources.list and sources.list.d of an apt configuration directory.
func readSources(etc fs.FS) ([]source, error) {
	files := []string{"sources.list"}
	parts, err := fs.Glob(etc, "sources.list.d/*")
	if err != nil {
		return nil, err
	}
	var list []source
	for _, name := range append(files, parts...) {
		raw, err := fs.ReadFile(etc, name)
		if err != nil {
			continue // not there, a directory, or not ours to read: apt would skip it too
		}
		switch path.Ext(name) {
		case ".list":
			list = append(list, parseOneLine(string(raw))...)
		case ".sources":
			stanzas, err := parseStanzas(bytes.NewReader(raw))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			list = append(list, sourcesOfStanzas(stanzas)...)
		}
	}
	return list, nil
}

// sourcesOfStanzas reads the deb822 form of sources.list(5).
func sourcesOfStanzas(stanzas []stanza) []source {
	var list []source
	for _, s := range stanzas {
		uris, suites := strings.Fields(s["uris"]), strings.Fields(s["suites"])
		off := slices.Contains([]string{"no", "false", "0", "off", "disable"}, strings.ToLower(s["enabled"]))
		if off || len(uris) == 0 || !slices.Contains(strings.Fields(s["types"]), "deb") {
			continue
		}
		for _, suite := range suites {
			list = append(list, source{uris[0], suite, strings.Fields(s["components"]), s["signed-by"]})
		}
	}
	return list
}

// oneLine is "deb [ options ] uri suite component..." of sources.list(5).
var oneLine = regexp.MustCompile(`^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]*)`)

// parseOneLine reads the one-line form of sources.list(5); lines it does not know are skipped.
func parseOneLine(text string) []source {
	var list []source
	for line := range strings.Lines(text) {
		if m := oneLine.FindStringSubmatch(line); m != nil {
			list = append(list, source{m[2], m[3], strings.Fields(m[4]), m[1]})
		}
	}
	return list
}

// mirrorsOfSources picks Debian's archives when no Release file has been fetched that could
// tell: by the key the entry asks for, else by the URL's shape. A wrong guess is found out
// when the signature is checked.
func mirrorsOfSources(list []source) mirrors {
	var m mirrors
	for _, s := range list {
		if !s.debian() {
			continue
		}
		uri := strings.TrimRight(s.uri, "/")
		if strings.HasSuffix(s.suite, "-security") {
			m.security = cmp.Or(m.security, uri)
		} else {
			m.main = cmp.Or(m.main, uri)
		}
	}
	return m
}

func (s source) debian() bool {
	if !slices.Contains(s.components, "main") || strings.HasPrefix(s.uri, "cdrom:") {
		return false
	}
	base := strings.TrimSuffix(path.Base(s.uri), ".list")
	return strings.Contains(s.signedBy, "debian-archive-keyring") || base == "debian" || base == "debian-security"
}
