package grub

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

func testMenu() Menu {
	return Menu{
		Title: "zerodisc 0.1", BuildID: "0123456789abcdef", Timeout: 3 * time.Second,
		XenCmdline: "dom0_mem=192M,max:192M console=com1 com1=115200",
		Cmdline:    "console=tty0 console=hvc0 quiet",
	}
}

func TestMenuGolden(t *testing.T) {
	net := testMenu()
	net.Netboot, net.Xen = true, "boot/xen"
	installer := testMenu()
	installer.Installer = true
	for _, test := range []struct {
		file string
		make func() ([]byte, error)
	}{
		{"grub.cfg", testMenu().Config},
		{"netboot.cfg", net.Config},
		{"installer.cfg", installer.Config},
		{"loopback.cfg", func() ([]byte, error) { return Loopback(), nil }},
		{"boot.ipxe", func() ([]byte, error) { return net.IPXE("pxe-uefi.efi") }},
	} {
		t.Run(test.file, func(t *testing.T) {
			got, err := test.make()
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, test.file, got)
		})
	}
}

func compareGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the menu differs from %s (go test -update writes it):\n%s", golden, got)
	}
}

// TestMenuSyntax lets GRUB's own checker read a menu full of its special characters.
func TestMenuSyntax(t *testing.T) {
	menu := testMenu()
	menu.Title = `it's "$odd" {`
	menu.XenCmdline = `a=$b; reboot "x y" } {`
	menu.Cmdline = "$(reboot) `halt` #no\ncomment && true || menuentry <>|"
	config, err := menu.Config()
	if err != nil {
		t.Fatal(err)
	}
	payload := needPayload(t)
	cmd := exec.Command(filepath.Join(payload, dynamicLink), "--library-path", filepath.Join(payload, libraryDir),
		filepath.Join(payload, "usr/bin/grub-script-check"))
	cmd.Stdin = bytes.NewReader(config)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("grub-script-check: %v: %s\n%s", err, out, config)
	}
}

// TestHelpFits keeps each line of help within a text screen.
func TestHelpFits(t *testing.T) {
	menu := testMenu()
	menu.Installer = true
	for _, e := range menu.entries(nil, nil) {
		if e.Help == "" || len(e.Help) > 74 || len(e.Title) > 70 {
			t.Errorf("entry %s: title of %d, help of %d characters", e.ID, len(e.Title), len(e.Help))
		}
	}
}

func TestMenuWithoutOptions(t *testing.T) {
	config, err := Menu{Title: "x", BuildID: "1"}.Config()
	if err != nil || bytes.Count(config, []byte("$multiboot ")) != 5 {
		t.Errorf("error %v, menu\n%s", err, config)
	}
}

func TestIPXERefusals(t *testing.T) {
	for _, line := range []string{`dyndbg="file x +p"`, "a=${b}", "a;b"} {
		menu := testMenu()
		menu.Cmdline = line
		if _, err := menu.IPXE("x.efi"); err == nil || !strings.Contains(err.Error(), "iPXE cannot hand on") {
			t.Errorf("kernel command line %s: %v", line, err)
		}
	}
}

func TestMenuRefusals(t *testing.T) {
	for _, test := range []struct {
		name, want string
		change     func(*Menu)
	}{
		{"build id", "build id", func(m *Menu) { m.BuildID = "a b" }},
		{"no build id", "build id", func(m *Menu) { m.BuildID = "" }},
		{"build id outside", "build id", func(m *Menu) { m.BuildID = "../x" }},
		{"no title", "title", func(m *Menu) { m.Title = "" }},
		{"title of two lines", "title", func(m *Menu) { m.Title = "a\nb" }},
		{"timeout", "whole seconds", func(m *Menu) { m.Timeout = time.Millisecond }},
		{"backslash", `cannot hand on "a\\b"`, func(m *Menu) { m.Cmdline = `quiet a\b` }},
		{"single quote", "cannot hand on", func(m *Menu) { m.XenCmdline = "it's" }},
		{"escape", "cannot hand on", func(m *Menu) { m.Cmdline = "\x1b[2J" }},
		{"newline in quotes", "cannot hand on", func(m *Menu) { m.Cmdline = "\"a\nb\"" }},
		{"not UTF-8", "cannot hand on", func(m *Menu) { m.Cmdline = "\xff" }},
		{"open quote", "not closed", func(m *Menu) { m.Cmdline = `a="b` }},
		{"too long", "shorten", func(m *Menu) { m.Cmdline = strings.Repeat("long ", 205) }},
		{"too long when verbose", "verbose", func(m *Menu) {
			m.XenCmdline = strings.Repeat("x", maxCmdline-settingsRoom-5)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			menu := testMenu()
			test.change(&menu)
			if _, err := menu.Config(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for _, test := range []struct {
		line string
		want []string
	}{
		{"", nil},
		{" a\tb\nc ", []string{"a", "b", "c"}},
		{`dyndbg="file x +p" y`, []string{"dyndbg=file x +p", "y"}},
		{`"a b"c`, []string{"a bc"}},
		{"a;b $c", []string{"a;b", "$c"}},
	} {
		if got, err := words("line", test.line); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("words(%q) = %q, %v, want %q", test.line, got, err, test.want)
		}
	}
}

// unquote reads one word as GRUB's lexer does, as far as quote may write it.
func unquote(t *testing.T, s string) string {
	t.Helper()
	var word strings.Builder
	for quoted := false; s != ""; {
		switch {
		case s[0] == '\'':
			quoted, s = !quoted, s[1:]
		case quoted:
			word.WriteByte(s[0])
			s = s[1:]
		case strings.HasPrefix(s, `\'`):
			word.WriteByte('\'')
			s = s[2:]
		default:
			t.Fatalf("%q stands outside of quotes", s)
		}
	}
	return word.String()
}

func FuzzQuote(f *testing.F) {
	f.Add("it's")
	f.Add(`$a; "b" \`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := unquote(t, quote(s)); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}

func FuzzWords(f *testing.F) {
	f.Add(`a "b c" d="e`)
	f.Fuzz(func(t *testing.T, line string) {
		list, err := words("line", line)
		if err != nil {
			return
		}
		for _, word := range list {
			if strings.ContainsAny(word, "\n\"\\'\x00") {
				t.Errorf("%q gives the word %q", line, word)
			}
		}
	})
}
