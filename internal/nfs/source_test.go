package nfs

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]struct{ shown, version string }{
		"nfs://nas/guests":                          {"nfs://nas/guests", ""},
		"nfs://nas:12049//srv/guests/":              {"nfs://nas:12049/srv/guests", ""},
		"nfs://[fe80::1]/a/../b":                    {"nfs://[fe80::1]/b", ""},
		"nfs://nas/":                                {"nfs://nas/", ""},
		"nfs://nas/a%20b":                           {"nfs://nas/a%20b", ""},
		"nfs://nas/g?vers=4":                        {"nfs://nas/g", "4"},
		"nfs://nas/g?vers=3&mountport=635":          {"nfs://nas/g", "3"},
		"nfs://nas/g!vers=4.1!rsize=65536":          {"nfs://nas/g", "4.1"},
		"nfs://nas/g!timeo=50!retrans=3!nconnect=4": {"nfs://nas/g", ""},
	} {
		if got, err := Parse(text); err != nil || got.String() != want.shown || got.Version != want.version {
			t.Errorf("%s: %s, version %q, %v", text, got, got.Version, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"nfs://":                                 "not the URL of an export",
		"nfs://nas":                              "not the URL of an export",
		"nfs:///guests":                          "not the URL of an export",
		"http://nas/guests":                      "not the URL of an export",
		"nfs://nas/g#x":                          "not the URL of an export",
		"nfs://me:hunter2@nas/g":                 "no password",
		"nfs://nas:99999/g":                      "port",
		"nfs://nas/g?vers=2":                     "none of 3, 4",
		"nfs://nas/g?hard":                       "no option hard",
		"nfs://nas/g?vers=3,hard":                "none of 3",
		"nfs://nas/g?rsize=1":                    "1024",
		"nfs://nas/g?timeo=99999":                "600",
		"nfs://nas/%0ag":                         "no export",
		"nfs://nas/" + strings.Repeat("x", 2000): "no export",
		"nfs://nas/%zz":                          "no URL",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.40s: %v, want %q", text, err, says)
		}
	}
}

// TestAttempts checks what the kernel is asked for: always soft, and without the lock manager.
func TestAttempts(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("fe80::1")
	me := netip.MustParseAddr("192.168.1.9")
	for text, want := range map[string]struct {
		address  netip.Addr
		versions string
		probe    int // of the last
		last     string
	}{
		"nfs://nas/g": {v4, "4.1 3 4.0", 2049,
			"vers=4.0,soft,proto=tcp,addr=192.168.1.2,clientaddr=192.168.1.9,timeo=100,retrans=2"},
		"nfs://nas/g?vers=3": {v4, "3", 111,
			"vers=3,soft,proto=tcp,addr=192.168.1.2,nolock,mountproto=tcp,mountaddr=192.168.1.2,timeo=100,retrans=2"},
		"nfs://nas/g?vers=4": {v4, "4.1 4.0", 2049,
			"vers=4.0,soft,proto=tcp,addr=192.168.1.2,clientaddr=192.168.1.9,timeo=100,retrans=2"},
		"nfs://nas:99/g?vers=4.1&timeo=20&rsize=4096": {v6, "4.1", 99,
			"vers=4.1,soft,proto=tcp6,addr=fe80::1,port=99,clientaddr=192.168.1.9,timeo=20,retrans=2,rsize=4096"},
		"nfs://nas:99/g?vers=3&mountport=98": {v6, "3", 98,
			"vers=3,soft,proto=tcp6,addr=fe80::1,port=99,nolock,mountproto=tcp6,mountaddr=fe80::1,mountport=98," +
				"timeo=100,retrans=2"},
	} {
		source, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list := source.attempts(want.address, me)
		var versions []string
		for _, a := range list {
			versions = append(versions, a.version)
		}
		last := list[len(list)-1]
		if strings.Join(versions, " ") != want.versions || last.probe != want.probe || last.options != want.last {
			t.Errorf("%s: %v, port %d\n%s", text, versions, last.probe, last.options)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("nfs://nas:2049/srv/guests?vers=3&mountport=635")
	f.Add("nfs://[fe80::1]//x!vers=4.1!rsize=65536")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		a := netip.MustParseAddr("192.168.1.2")
		for _, attempt := range s.attempts(a, a) {
			if strings.ContainsAny(attempt.options, "\x00\n ") || !strings.Contains(attempt.options, ",soft,") {
				t.Errorf("%q: %q", text, attempt.options)
			}
		}
		if strings.ContainsRune(s.Server+s.Path, 0) {
			t.Errorf("%q: %q", text, s.Path)
		}
	})
}
