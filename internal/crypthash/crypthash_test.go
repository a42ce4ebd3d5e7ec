package crypthash

import (
	"os/exec"
	"strings"
	"testing"
)

// The first five have passwords and salts of the specification's examples, the last is of bcrypt's older form.
var known = []struct{ hash, password string }{
	{"$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
		"Hello world!"},
	{"$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H" +
		"9qs/y3RnOaw5v.", "Hello world!"},
	{"$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJ" +
		"EiDwGqd8p4ur1", "a very much longer text to encrypt.  This one even stretches over morethan one line."},
	{"$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"},
	{"$5$rounds=77777$short$JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/",
		"we have a short salt string but not a short password"},
	{"$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga", "allmine"},
}

func TestVerify(t *testing.T) {
	for i, test := range known {
		if err := Check(test.hash); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		if !Verify(test.hash, test.password) {
			t.Errorf("%d: %s does not match %q", i, test.hash, test.password)
		}
		if Verify(test.hash, test.password+"x") {
			t.Errorf("%d: another password matches", i)
		}
	}
}

// TestOpenSSL holds passwords of many lengths to what OpenSSL makes of them.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip(err)
	}
	for _, kind := range []string{"-6", "-5"} {
		for _, length := range []int{1, 7, 31, 32, 33, 63, 64, 65, 127, 200} {
			password := strings.Repeat("pä5$ ", 50)[:length]
			out, err := exec.Command(openssl, "passwd", kind, password).Output()
			if err != nil {
				t.Fatal(err)
			}
			if hash := strings.TrimSpace(string(out)); !Verify(hash, password) {
				t.Errorf("%s of %d bytes does not match", hash, length)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for hash, want := range map[string]string{
		"":                                  "it is no hash of a password",
		"secret":                            "it is no hash of a password",
		"$y$j9T$abc$def":                    "hashes of yescrypt are not supported",
		"$1$abc$def":                        "hashes of MD5 are not supported",
		"$6$salt":                           "no whole hash",
		"$6$salt$short":                     "no whole hash",
		"$6$rounds=99999999$salt$x":         "its rounds are not from 1000 to 1000000",
		"$6$" + strings.Repeat("s", 17):     "no whole hash",
		"$2b$10$short":                      "no hash of bcrypt",
		"$2b$31$" + strings.Repeat("a", 53): "its cost is 31, at most 15",
	} {
		if err := Check(hash); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Check(%q) is %v, want %q", hash, err, want)
		}
		if Verify(hash, "secret") {
			t.Errorf("%q matches a password", hash)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, test := range known {
		f.Add(test.hash)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		if err := Check(hash); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
