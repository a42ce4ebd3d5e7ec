package grub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSettingsGolden(t *testing.T) {
	s, err := ParseSettings("x", strings.NewReader(" # a comment\n\n"+
		"cmdline = zerodisc.hostname=rack7 a=b#c zerodisc.password=$6$salt$hash\n"+
		"xen-cmdline=dom0_mem=1G\n"+
		" timeout = -1\n"+
		"default = rescue\n"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Config("0123456789abcdef-00000000")
	if err != nil {
		t.Fatal(err)
	}
	compareGolden(t, "settings.cfg", got)
	if none, err := (Settings{}).Config("1"); err != nil || strings.Count(string(none), "set ") != 1 {
		t.Errorf("error %v, without settings:\n%s", err, none)
	}
}

// TestSettingsTemplate takes each example of the template at its word.
func TestSettingsTemplate(t *testing.T) {
	text := string(SettingsTemplate())
	if s, err := ParseSettings("template", strings.NewReader(text)); err != nil || s != (Settings{}) {
		t.Errorf("the template sets %+v, %v", s, err)
	}
	examples := strings.ReplaceAll("\n"+text, "\n#", "\n")
	var lines []string
	for line := range strings.Lines(examples) {
		if strings.Contains(line, " = ") && !strings.HasPrefix(line, " ") {
			lines = append(lines, line)
		}
	}
	s, err := ParseSettings("examples", strings.NewReader(strings.Join(lines, "")))
	if err != nil || s.Cmdline == "" || s.XenCmdline == "" || s.Timeout == "" || s.Default == "" {
		t.Errorf("the examples set %+v, %v", s, err)
	}
}

func TestSettingsRefusals(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"\nhostname = x", "f:2: there is no setting \"hostname\"; there are cmdline, xen-cmdline"},
		{"cmdline", "f:1: \"cmdline\": want NAME = VALUE"},
		{"timeout = 3\ntimeout = 4", "f:2: timeout is given in line 1"},
		{"timeout = soon", "want seconds"},
		{"timeout = 3601", "want seconds"},
		{"timeout = +5", "GRUB reads that as another number; write 5"},
		{"timeout = 010", "GRUB reads that as another number; write 10"},
		{"timeout = -0", "write 0"},
		{"timeout = 0x10", "want seconds"},
		{"timeout = 5\u00a0", "want seconds"},
		{"\xff\xfec\x00m\x00", "f:1: the file is in UTF-16; save it as UTF-8"},
		{"\n\ufefftimeout = 5", `there is no setting "\ufefftimeout"`},
		{"cmdline = a\u00a0b", "leave out quotes"},
		{"cmdline = a\vb", "leave out quotes"},
		{"cmdline = a\u2003", "leave out quotes"},
		{"default = installer", "no entry that can start by itself"},
		{`cmdline = a="b c"`, "leave out quotes"},
		{"cmdline = päd", "leave out quotes"},
		{"cmdline = " + strings.Repeat("x", settingsRoom+1), "room is for"},
	} {
		_, err := ParseSettings("f", strings.NewReader(test.text))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want one with %q", test.text, err, test.want)
		}
	}
	if _, err := (Settings{}).Config("a b"); err == nil {
		t.Error("a medium id of two words is taken")
	}
}

// TestSettingsFromWindows reads what an editor there writes.
func TestSettingsFromWindows(t *testing.T) {
	want := Settings{Cmdline: "a=b\tc", Timeout: "5"}
	s, err := ParseSettings("f", strings.NewReader("\ufeffcmdline = a=b\tc\r\n\r\ntimeout =\t5 \r\n"))
	if err != nil || s != want {
		t.Errorf("settings are %+v, %v", s, err)
	}
}

func TestReadSettings(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	text, s, err := ReadSettings(write("good", "timeout = 5\n"))
	if err != nil || s.Timeout != "5" || string(text) != "timeout = 5\n" {
		t.Errorf("%+v, %q, %v", s, text, err)
	}
	for name, want := range map[string]string{
		write("long", strings.Repeat("#\n", MaxSettings)): "more than 65536 bytes",
		"/dev/zero":                 "more than 65536 bytes",
		dir:                         "is a directory",
		dir + "/no":                 "settings: open",
		write("wrong", "\nx = y\n"): dir + "/wrong:2: there is no setting",
	} {
		if _, _, err := ReadSettings(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want mention of %q", name, err, want)
		}
	}
}

// FuzzParseSettings checks that what is accepted makes a script that sets nothing else.
func FuzzParseSettings(f *testing.F) {
	f.Add("cmdline = a=b\ntimeout = 3\n")
	f.Add("default=demo\nxen-cmdline = {}<>|;&\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSettings("f", strings.NewReader(text))
		if err != nil {
			return
		}
		script, err := s.Config("1")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(script)) {
			if !strings.HasPrefix(line, "set ") && !strings.HasPrefix(line, "#") {
				t.Errorf("%q makes the line %q", text, line)
			}
		}
	})
}
