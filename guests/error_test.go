package guests

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/zerodisc/zerodisc/internal/printable"
)

// TestErrorsArePrintable puts a terminal's escape sequence wherever a configuration, a directory or a file name
// reaches a message.
func TestErrorsArePrintable(t *testing.T) {
	const escape = "\x1b[2J\u202e"
	refused := map[string]string{
		"a path":          "kernel='" + escape + "'",
		"a name":          "name='" + escape + "'",
		"a number":        "kernel='dom0'\nmemory='" + escape + "'",
		"a disk":          "kernel='dom0'\ndisk=['" + escape + "']",
		"a disk's image":  "kernel='dom0'\ndisk=['" + escape + ",raw,xvda']",
		"a boot loader":   "bootloader='" + escape + "'",
		"a word":          "kernel='dom0'\n" + escape,
		"an unknown kind": "kernel='dom0'\ntype='" + escape + "'",
	}
	for what, source := range refused {
		dir := filepath.Join(t.TempDir(), "dir"+escape)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "g.cfg"), []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		_, faults := Scan(filepath.Dir(dir))
		if guest, err := Load(dir); err == nil {
			guest.Name = "g"
			_, err = guest.Resolve(Machine{Kernel: "/dev/null"})
			if err == nil {
				t.Errorf("%s: not refused", what)
				continue
			}
			faults = append(faults, err.(*Error))
		}
		if len(faults) == 0 {
			t.Errorf("%s: no error", what)
		}
		for _, e := range faults {
			for _, text := range []string{e.Error(), e.Guest, e.File, e.Problem, e.Remedy} {
				if text != printable.Line(text) {
					t.Errorf("%s: %q", what, text)
				}
			}
		}
	}
}
