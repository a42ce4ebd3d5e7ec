package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestQuiet(t *testing.T) {
	const alias = am53c974 + "sv00000000sd00000000bc01sc00i00"
	for name, test := range map[string]struct {
		alias string
		ports int // bytes
		fails bool
	}{
		"ports":                 {alias, 128, false},
		"too few ports":         {alias, am53c974DMAStatus, true},
		"no ports":              {alias, -1, true},
		"another":               {"pci:v00008086d0000100E", -1, false},
		"one that is not there": {am53c974 + "sv00000001sd00000001bc01sc00i00", -1, false},
	} {
		sys := t.TempDir()
		dir := filepath.Join(sys, "bus/pci/devices/0000:00:03.0")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{"modalias": []byte(alias + "\n")}
		if test.ports >= 0 {
			files["resource0"] = make([]byte, test.ports)
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), content, fs.FileMode(0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if err := quiet(sys, test.alias); (err != nil) != test.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}
