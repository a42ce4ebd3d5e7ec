package payload

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// copyrightFormat is in the Format field of copyright files that machines can read:
// www.debian.org/doc/packaging-manuals/copyright-format/1.0.
const copyrightFormat = "/copyright-format/1.0"

// Licences are the licences that a package's copyright file declares, each once and sorted, in its own
// words: short names such as "GPL-2+", also combined as "GPL-2 or Expat". They are those of all of the
// source package. A package whose file is for people only has none.
func (t *Tree) Licences(pkg string) ([]string, error) {
	e, err := t.Lookup("/usr/share/doc/" + pkg + "/copyright")
	if err != nil {
		return nil, fmt.Errorf("copyright of package %s: %w", pkg, err)
	}
	f, err := os.Open(e.Host)
	if err != nil {
		return nil, fmt.Errorf("copyright of package %s: %w", pkg, err)
	}
	defer f.Close()
	return parseLicences(f), nil
}

// parseLicences reads the first lines of the License fields of the header and the Files stanzas. A file
// that cannot be read as stanzas is for people, whatever its Format says.
func parseLicences(r io.Reader) []string {
	stanzas, err := parseStanzas(r)
	if err != nil || len(stanzas) == 0 || !strings.Contains(stanzas[0]["format"], copyrightFormat) {
		return nil
	}
	var list []string
	for i, s := range stanzas {
		if _, ofFiles := s["files"]; i > 0 && !ofFiles {
			continue // the text of a licence
		}
		synopsis, _, _ := strings.Cut(s["license"], "\n")
		if synopsis = strings.Join(strings.Fields(synopsis), " "); synopsis != "" {
			list = append(list, synopsis)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}
