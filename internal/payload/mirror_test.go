package payload

import (
	"testing"
	"testing/fstest"
)

func TestNamedMirrors(t *testing.T) {
	for named, want := range map[string]mirrors{
		"http://h/debian/":               {"http://h/debian", "http://h/debian-security"},
		"file:///srv/debian":             {"file:///srv/debian", "file:///srv/debian-security"},
		"http://h/archive/debian/2025T/": {"http://h/archive/debian/2025T", "http://h/archive/debian-security/2025T"},
		"http://debian.h/all":            {"http://debian.h/all", "http://debian.h/all"},
	} {
		if got, err := namedMirrors(named); err != nil || got != want {
			t.Errorf("%s: %+v, %v", named, got, err)
		}
	}
	for _, bad := range []string{"h/debian", "/srv/debian", "http://h/debian main", "::"} {
		if got, err := namedMirrors(bad); err == nil {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}

func TestMirrorsOfTargets(t *testing.T) {
	targets := "Other|Other|main|http://o/debian/\n" +
		"Debian|Debian Backports|main|http://b/debian/\n" +
		"Debian|Debian|contrib|http://c/debian/\n" +
		"Debian|Debian|main|http://one/debian/\n" +
		"Debian|Debian|main|http://two/debian/\n" +
		"Debian|Debian-Security|main|http://s/debian-security/\n"
	want := mirrors{"http://one/debian", "http://s/debian-security"}
	if got := mirrorsOfTargets([]byte(targets)); got != want {
		t.Errorf("got %+v", got)
	}
	if got := mirrorsOfTargets(nil); got != (mirrors{}) {
		t.Errorf("got %+v of nothing", got)
	}
}

func TestMirrorsOfSources(t *testing.T) {
	const (
		deb822 = "Types: deb deb-src\nURIs: http://a/any/\nSuites: bookworm bookworm-updates\nComponents: main\n" +
			"Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n" +
			"Types: deb\nURIs: http://a/debian-security\nSuites: bookworm-security\nComponents: main\n"
		oneLine = "# deb http://off/debian bookworm main\ndeb cdrom:[Debian]/ bookworm main\n" +
			"deb-src http://src/debian bookworm main\n" +
			"deb [arch=amd64 signed-by=/k] http://a/linux/debian bookworm stable\n" +
			"deb http://b/debian/ bookworm main contrib # comment\n" +
			"deb http://b/debian-security bookworm-security main\n"
		cloud = "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\nComponents: main\n\n" +
			"Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\n" +
			"Suites: trixie-security\nComponents: main\n"
		off = "Enabled: no\nTypes: deb\nURIs: http://a/debian\nSuites: trixie\nComponents: main\n"
	)
	tests := []struct {
		file, text string
		want       mirrors
	}{
		{"sources.list.d/debian.sources", deb822, mirrors{"http://a/any", "http://a/debian-security"}},
		{"sources.list", oneLine, mirrors{"http://b/debian", "http://b/debian-security"}},
		{"sources.list.d/x.list", oneLine, mirrors{"http://b/debian", "http://b/debian-security"}},
		{"sources.list.d/x.list.disabled", oneLine, mirrors{}},
		{"sources.list.d/cloud.sources", cloud, mirrors{
			"mirror+file:///etc/apt/mirrors/debian.list", "mirror+file:///etc/apt/mirrors/debian-security.list",
		}},
		{"sources.list.d/off.sources", off, mirrors{}},
		{"sources.list", "deb http://u/ubuntu noble main\n", mirrors{}},
	}
	for _, test := range tests {
		sources, err := readSources(fstest.MapFS{test.file: {Data: []byte(test.text)}})
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
		}
		if got := mirrorsOfSources(sources); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.file, got, test.want)
		}
	}
	if _, err := readSources(fstest.MapFS{"sources.list.d/bad.sources": {Data: []byte("nonsense")}}); err == nil {
		t.Error("nonsense is taken")
	}
}

func FuzzParseOneLine(f *testing.F) {
	f.Add("deb [arch=amd64] http://b/debian/ bookworm main contrib # comment\n")
	f.Fuzz(func(t *testing.T, text string) { mirrorsOfSources(parseOneLine(text)) })
}
