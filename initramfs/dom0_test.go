package initramfs

import (
	"path"
	"strings"
	"testing"
)

func TestLibPath(t *testing.T) {
	for name, want := range map[string]string{
		"/usr/lib/xen-4.20/bin/xl":  "xen-4.20/bin/xl",
		"/usr/lib/modules":          "modules",
		"/usr/lib/a/../b":           "b",
		"/usr/lib":                  "",
		"/usr/sbin/mkfs":            "",
		"/usr/lib64/x":              "",
		"/usr/lib/../sbin/mkfs":     "",
		"/lib/x86_64-linux-gnu/x":   "",
		"usr/lib/x86_64-linux-gnu/": "",
	} {
		got, err := libPath(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("libPath(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestProgramName(t *testing.T) {
	for _, test := range []struct{ xl, pattern, want string }{
		{"/usr/lib/xen-4.20/bin/xl", xenBin + "xl", "xen-4.20/bin/xl"},
		{"/usr/lib/xen-4.20/bin/xl", "/usr/sbin/mkfs.ext4", "xen-4.20/bin/mkfs.ext4"},
		{"/usr/lib/xen-4.20/bin/xl", "xenstore-ls", "xen-4.20/bin/xenstore-ls"},
		{"/usr/bin/xl", "/usr/sbin/mkfs.ext4", ""}, // nothing of /usr/bin is in the image
	} {
		got, err := programName(test.xl, test.pattern)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("programName(%q, %q) = %q, %v, want %q", test.xl, test.pattern, got, err, test.want)
		}
	}
}

// All programs share a directory, under the last part of their lines.
func TestProgramFiles(t *testing.T) {
	seen := map[string]string{}
	for _, pattern := range programFiles {
		base := path.Base(pattern)
		if other := seen[base]; other != "" {
			t.Errorf("%s and %s have one place", other, pattern)
		}
		if strings.ContainsAny(base, `*?[\`) {
			t.Errorf("%s: the program's name has wildcards", pattern)
		}
		seen[base] = pattern
	}
	if seen["xenstore"] == "" {
		t.Error("there is no xenstore for xenstoreNames to lead to")
	}
}
