package webstore

import (
	"bytes"
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/sha256sums"
)

func sums(paths ...string) []sha256sums.Sum {
	var sums []sha256sums.Sum
	for _, path := range paths {
		sums = append(sums, sha256sums.Sum{Path: path})
	}
	return sums
}

func TestGuestsOf(t *testing.T) {
	found, err := guestsOf(sums("./b/b.cfg", "a/x/y", "a/a.cfg", "README", ".hidden/x", "c d/.img"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range found {
		for _, file := range g.files {
			got = append(got, g.name+":"+file.path)
		}
	}
	const want = "a:a/x/y a:a/a.cfg b:b/b.cfg c d:c d/.img"
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGuestsOfRefuses(t *testing.T) {
	var many []string
	for i := range maxFiles + 1 {
		many = append(many, "a/"+strconv.Itoa(i))
	}
	for name, test := range map[string]struct {
		paths []string
		want  string
	}{
		"nothing":   {nil, "no file in a guest's directory"},
		"no guest":  {[]string{"README"}, "no file in a guest's directory"},
		"up":        {[]string{"a/../../x"}, `"." or ".."`},
		"up inside": {[]string{"a/../b/x"}, `"." or ".."`},
		"absolute":  {[]string{"/etc/passwd"}, "is absolute"},
		"empty":     {[]string{"a//b"}, "empty part"},
		"the root":  {[]string{"./"}, "empty part"},
		"dot":       {[]string{"."}, `"." or ".."`},
		"beside":    {[]string{"README", "../x"}, `"." or ".."`},
		"hidden":    {[]string{".git/../../x"}, `"." or ".."`},
		"control":   {[]string{"a/\x1b[2J"}, "cannot be printed"},
		"backslash": {[]string{`a\b/c`}, "backslash"},
		"no UTF-8":  {[]string{"a/\xff"}, "absolute or has"},
		"long":      {[]string{strings.Repeat("a/", 600) + "a"}, "longer than 1024"},
		"long name": {[]string{"a/" + strings.Repeat("a", 256)}, "longer than 255"},
		"twice":     {[]string{"a/b", "./a/b"}, "there twice"},
		"both":      {[]string{"a/b/c", "a/b"}, "a file's and a directory's"},
		"many":      {many, "4096 are the most"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := guestsOf(sums(test.paths...)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want %q", err, test.want)
			}
		})
	}
}

// FuzzGuestsOf holds what is made of any list to what can be written below a directory.
func FuzzGuestsOf(f *testing.F) {
	const sum = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	f.Add([]byte(sum + "  ./a/a.cfg\n" + sum + " *b/../../c\n"))
	f.Add([]byte(sum + "  a/b\n" + sum + "  a\n" + `\` + sum + `  a/\nb` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := sha256sums.Parse(bytes.NewReader(text))
		if err != nil {
			return
		}
		found, err := guestsOf(list)
		if err != nil {
			return
		}
		for _, g := range found {
			for _, file := range g.files {
				if !fs.ValidPath(file.path) || !strings.HasPrefix(file.path, g.name+"/") ||
					strings.HasPrefix(g.name, ".") {
					t.Errorf("guest %q has the file %q", g.name, file.path)
				}
			}
		}
	})
}
