package timezone

import (
	"archive/zip"
	"bytes"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "make zones.txt of the Go release's time zone database")

// database is the Go release's copy of the time zone database: what is in each file.
func database(t *testing.T) map[string][]byte {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	all, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib/time/zoneinfo.zip"))
	if err != nil {
		t.Skip(err)
	}
	defer all.Close()
	files := map[string][]byte{}
	for _, f := range all.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.HasPrefix(data, []byte("TZif")) {
			files[f.Name] = data
		}
	}
	return files
}

// lunar are the zones whose summer time stops for Ramadan.
var lunar = []string{"Asia/Gaza", "Asia/Hebron", "Africa/Casablanca", "Africa/El_Aaiun"}

// TestZones holds every zone to the database at ten days of the years to come.
func TestZones(t *testing.T) {
	files := database(t)
	if *update {
		var lines []string
		for name, data := range files {
			text := strings.TrimSuffix(string(data), "\n")
			lines = append(lines, name+" "+text[strings.LastIndexByte(text, '\n')+1:]+"\n")
		}
		slices.Sort(lines)
		if err := os.WriteFile("zones.txt", []byte(strings.Join(lines, "")), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Skip("zones.txt is made, run again")
	}
	if len(Names()) != len(files) {
		t.Errorf("%d zones, the database of %s has %d; run with -update",
			len(Names()), runtime.Version(), len(files))
	}
	for name, data := range files {
		want, err := time.LoadLocationFromTZData(name, data)
		if err != nil {
			t.Fatal(err)
		}
		small, err := File(name)
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := time.LoadLocationFromTZData(name, small)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for day := range 10 {
			at := time.Date(2038, 1, 1+day*37, 12, 0, 0, 0, time.UTC)
			const form = time.RFC1123Z + " MST"
			if a, b := at.In(got).Format(form), at.In(want).Format(form); a != b && !slices.Contains(lunar, name) {
				t.Errorf("%s: %s, the database has %s", name, a, b)
			}
		}
	}
}

// TestLibrary asks the C library to read the file.
func TestLibrary(t *testing.T) {
	data, err := File("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "localtime")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"@1800000000": "2027-01-15 09:00 CET\n", "@1815000000": "2027-07-08 00:40 CEST\n",
	} {
		date := exec.Command("date", "-d", at, "+%F %H:%M %Z")
		date.Env = []string{"TZ=:" + name}
		out, err := date.Output()
		if err != nil {
			t.Skip(err)
		}
		if string(out) != want {
			t.Errorf("%s: %q, want %q", at, out, want)
		}
	}
}

func TestUnknown(t *testing.T) {
	if _, err := File("Mars/Olympus"); err == nil || Known("Mars/Olympus") || Known("") {
		t.Error("there is a zone on Mars, or without a name")
	}
}
