package webstore

import (
	"strings"
	"testing"
)

var pinText = strings.Repeat("0a", 32)

func TestParseSources(t *testing.T) {
	sources, err := ParseSources("http://192.168.1.5/guests,https://user:secret@host:8443/a%2Fb/", ","+pinText)
	if err != nil {
		t.Fatal(err)
	}
	if len(sources) != 2 || sources[0].Pin != nil || sources[1].Pin == nil || sources[1].Pin[31] != 10 {
		t.Fatalf("got %+v", sources)
	}
	for i, want := range []string{"http://192.168.1.5/guests/", "https://xxxxx@host:8443/a%2Fb/"} {
		if got := sources[i].String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	const want = "https://xxxxx@host:8443/a%2Fb/c%20d/%2541%3F%23"
	if got := shown(sources[1].file("c d/%41?#")); got != want {
		t.Errorf("file: got %s, want %s", got, want)
	}
	sources, err = ParseSources("http://[fe80::1]:81,https://token@host/", "")
	if err != nil || sources[0].String() != "http://[fe80::1]:81/" || sources[1].String() != "https://xxxxx@host/" {
		t.Errorf("got %v, %v", sources, err)
	}
}

// TestPasswordsAreNotShown has URLs that a special character in the password makes wrong.
func TestPasswordsAreNotShown(t *testing.T) {
	for _, password := range []string{"sec,ret", "sec/ret", "sec#ret", "sec?ret", "sec%ret", "sec ret", "sec@ret@"} {
		sources, err := ParseSources("http://a/,http://user:"+password+"@host/x", "")
		text := ""
		if err != nil {
			text = err.Error()
		} else {
			text = sources[1].String()
		}
		if strings.Contains(text, "sec") || strings.Contains(text, "ret") {
			t.Errorf("%s: %s", password, text)
		}
		if err != nil && !strings.Contains(text, "URL 2 of ") {
			t.Errorf("%s: %s, want which URL is wrong", password, text)
		}
	}
}

func TestParseSourcesErrors(t *testing.T) {
	for name, test := range map[string]struct{ urls, pins, want string }{
		"empty":          {"", "", "zerodisc.guests: \"\" is not the URL"},
		"empty among":    {"http://a/,", "", "is not the URL"},
		"no scheme":      {"192.168.1.5/guests", "", "write http://HOST/DIRECTORY/"},
		"port only":      {"192.168.1.5:80/guests", "", "is no URL"},
		"other scheme":   {"tftp://a/b", "", "write http://HOST/DIRECTORY/"},
		"no host":        {"http:///b", "", "write http://HOST/DIRECTORY/"},
		"port, no host":  {"http://:80/b", "", "write http://HOST/DIRECTORY/"},
		"query":          {"http://a/?b", "", `no "?"`},
		"fragment":       {"http://a/#sha256=" + pinText, "", `no "#"`},
		"fewer pins":     {"http://a/,http://b/", pinText, "has 1 sums and zerodisc.guests has 2 URLs"},
		"more pins":      {"http://a/", pinText + "," + pinText, "has 2 sums"},
		"short pin":      {"http://a/", pinText[2:], "is no SHA-256"},
		"pin of letters": {"http://a/", strings.Repeat("xy", 32), "is no SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseSources(test.urls, test.pins); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}
