package passwd

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/docs"
)

// What crypt(3) of libxcrypt 4.4 makes of passwords (python3 -c "import crypt"), and the examples of the specification
// of sha512crypt.
var known = []struct{ password, hash string }{
	{"geheim", "$6$saltsalt$sfZR6YSW/Dp0uCiyF9fDipa6ORr5LVLOwXNgtzRlXXhkC7xA3w4zy97VIC3vL14AUXGJp3yBjZVztkdiBzJnX1"},
	{"geheim", "$5$saltsalt$cKRA0A5uaKu0/NNi2WMrB.mMOAVMowckrDNQ4fKUJ06"},
	{"Hello world!", "$6$saltstring$" +
		"svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"},
	{"Hello world!", "$6$rounds=10000$saltstringsaltst$" +
		"OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."},
	{"This is just a test", "$5$rounds=5000$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5"},
	{"", "$6$abc$mJP3a6FyA8uCnzRtlnNypPwjnvpi5TP9qOrInzrfDmwxUQG38PkpCPdqfTb8JQfAngapMxeim4AZ..hSdRRzD."},
	{"a very much longer text to encrypt.  This one even stretches over morethan one line.",
		"$5$rounds=1400$anotherlongsalts$Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1"},
	{"geheim", "$2b$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu"},
	{"geheim", "$2y$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu"},
	{"pässwörd", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$UAi3w.V1khOnmiQzfq00d7LaG6KfSe9MVbNef5kSs64"},
	{"", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$5P1uc1zvKhieqEtKttbwCQrTPXpY1cK9wEnTDKAqLD8"},
	{"geheim", "$y$j75$F5Jx5fExrKuPp53xLKQ..1$lzyKa93cxWzumbNMSXRrkR7mXmh4rsJgKbjgapoNUZ2"},
}

func TestKnownAnswers(t *testing.T) {
	for _, k := range known {
		h, err := Parse(k.hash)
		if err != nil {
			t.Errorf("%s: %v", k.hash, err)
			continue
		}
		if !h.Matches([]byte(k.password)) {
			t.Errorf("%s is not that of %q", k.hash, k.password)
		}
		for _, wrong := range []string{k.password + "x", "x", k.password + "\x00", strings.Repeat("x", 10_000)} {
			if h.Matches([]byte(wrong)) {
				t.Errorf("%s matches %.20q", k.hash, wrong)
			}
		}
	}
}

// The programs that people make hashes with.
func TestProgramsHashes(t *testing.T) {
	const password = "Größer als 16 Zeichen: \"$y$\""
	commands := [][]string{
		{"openssl", "passwd", "-5", password},
		{"mkpasswd", "-m", "yescrypt", password},
		{"mkpasswd", "-m", "sha512crypt", "-R", "20000", password},
		{"mkpasswd", "-m", "bcrypt", password},
	}
	for _, e := range docs.Of(t, "hash") {
		commands = append(commands, append(strings.Fields(e.Text), password))
	}
	for _, command := range commands {
		t.Run(strings.Join(command[:len(command)-1], " "), func(t *testing.T) {
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Skip(err)
			}
			out, err := exec.Command(command[0], command[1:]...).Output()
			if err != nil {
				t.Fatal(err)
			}
			h, err := Parse(strings.TrimSpace(string(out)))
			if err != nil {
				t.Fatal(err)
			}
			if !h.Matches([]byte(password)) || h.Matches([]byte("Größer")) {
				t.Errorf("%s: the wrong password matches, or the right one does not", out)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	long := strings.Repeat("x", 86)
	for _, test := range []struct{ hash, want string }{
		{"", "no hash"},
		{"secret", "no hash of a password; make one with mkpasswd"},
		{"$1$abc$OGyl6dDvZCDiGmIVbeuCq/", "these are: " + Supported},
		{"$7$abc$", "not supported"},
		{"$argon2id$v=19$m=65536", "not supported"},
		{"$6$", "a part missing"},
		{"$6$salt", "a part missing"},
		{"$6$salt$" + long[1:], "85 characters, want 86"},
		{"$6$salt$" + long[1:] + "!", `character '!'`},
		{"$6$saltsaltsaltsalt1$" + long, "17 characters, 16 at most"},
		{"$6$rounds=999999999$salt$" + long, "want 1000 to 2000000"},
		{"$6$rounds=1$salt$" + long, "want 1000 to 2000000"},
		{"$6$rounds=$salt$" + long, "want 1000 to 2000000"},
		{"$2b$31$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu", "cost is 31, 15 at most"},
		{"$2b$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53U", "want 60"},
		{"$y$j9T$F5Jx5fExrKuPp53xLKQ..1", "a part missing"},
		{"$y$k9T$F5Jx5fExrKuPp53xLKQ..1$UAi3w.V1khOnmiQzfq00d7LaG6KfSe9MVbNef5kSs64", "parameters \"k9T\""},
		{"$y$jDT$F5Jx5fExrKuPp53xLKQ..1$UAi3w.V1khOnmiQzfq00d7LaG6KfSe9MVbNef5kSs64", "takes 256 MiB, 64 are allowed"},
		{"$y$j9T$F5Jx5fExrKuPp53xLKQ..1$UAi3w", "5 characters, want 43"},
	} {
		_, err := Parse(test.hash)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Parse(%q) = %v, want %q", test.hash, err, test.want)
		}
	}
	if (Hash{}).Matches(nil) {
		t.Error("no hash matches no password")
	}
}

// What Parse accepts, Matches can work with.
func FuzzParse(f *testing.F) {
	for _, k := range known {
		f.Add(k.hash)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Parse(text)
		if (err == nil) == h.IsZero() {
			t.Errorf("Parse(%q) = %v, %v", text, h, err)
		}
		if err == nil && len(text) < 80 { // others take a second each
			h.Matches([]byte("x"))
		}
	})
}
