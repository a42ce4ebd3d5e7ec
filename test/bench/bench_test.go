package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kdomanski/iso9660"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{3}, 3},
		{[]float64{9, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	}
	for _, test := range tests {
		if got := median(test.values); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.values, got, test.want)
		}
	}
}

func TestSizes(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disc.iso")
	writeImage(t, image, map[string]int{
		"boot/xen.gz": 100, "boot/vmlinuz": 200, "boot/initrd.img": 300, "boot/grub/grub.cfg": 10,
		"guests/tty1/tty1.cfg": 40, "guests/tty1/initrd.img": 120, "README": 5,
	})
	got, err := sizes(image)
	if err != nil {
		t.Fatal(err)
	}
	total := got[len(got)-1].Bytes
	want := []Size{{"Xen", 100}, {"dom0 kernel", 200}, {"initrd", 300}, {"guests", 40}, {"boot loader", 10},
		{"documents", 5}, {"image structures", total - 655}, {"image", total}}
	if !slices.Equal(got, want) {
		t.Errorf("sizes: %v, want %v", got, want)
	}
	if _, err := sizes("missing.iso"); err == nil || !strings.Contains(err.Error(), "make iso") {
		t.Errorf("missing image: %v", err)
	}
}

func TestComponent(t *testing.T) {
	for name, want := range map[string]string{
		"boot/xen.gz":           "Xen",
		"boot/grub/grub.cfg":    "boot loader",
		"EFI/BOOT/BOOTX64.EFI":  "boot loader",
		"guests/tty1/tty1.cfg":  "guests",
		"COPYRIGHT/xen/license": "documents",
	} {
		if got := component(name); got != want {
			t.Errorf("component(%s) = %q, want %q", name, got, want)
		}
	}
}

// writeImage writes an image with files of the sizes given; those of one name are ends of each other.
func writeImage(t *testing.T, path string, files map[string]int) {
	t.Helper()
	w, err := iso9660.NewWriter()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Cleanup()
	for name, size := range files {
		if err := w.AddFile(strings.NewReader(strings.Repeat(filepath.Base(name)[:1], size)), name); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := w.WriteTo(f, "TEST"); err != nil {
		t.Fatal(err)
	}
}

func TestMebibytes(t *testing.T) {
	info := "MemTotal:         524288 kB\nMemFree:          1 kB\nMemAvailable:     262144 kB\n"
	if got, err := mebibytes(info, memAvailable); err != nil || got != 256 {
		t.Errorf("MemAvailable: %v, %v", got, err)
	}
	if _, err := mebibytes(info, vmRSS); err == nil {
		t.Error("a figure that is not there was found")
	}
}

func TestPrint(t *testing.T) {
	samples := []Sample{
		{initStart: 10, bothAddresses: 20, stagePrefix + "devices": 400},
		{initStart: 11, bothAddresses: 23, stagePrefix + "devices": 500},
		{initStart: 12, bothAddresses: 22, stagePrefix + "devices": 300},
	}
	result := Result{
		Image: "disc.iso", Accel: "tcg", Mode: "bios", Bytes: []Size{{"image", 37000000}},
		Figures: summarize(samples), SmallestMiB: 384,
	}
	var out strings.Builder
	result.Print(&out)
	for _, want := range []string{"disc.iso", "37000000", "11.00 s", "22.00 s", "400.00 ms", "300.00", "384 MiB"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("table has no %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "GRUB") {
		t.Errorf("table has a figure that was not measured:\n%s", out.String())
	}
	t.Log("\n" + out.String())
}

func TestProcessTimes(t *testing.T) {
	const rest = " 20 0 5 0 30 "
	text := "1 (init) S 0 1 1 0 -1 4194560 900 0 3 0 10 20 5 1" + rest + "1290 300 x\n" +
		"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 900 900 0 0" + rest + "0 0 x\n" +
		"77 (sh) S 1 1 1 0 -1 4194560 900 0 3 0 500 20 5 1" + rest + "1290 300 x\n" +
		"99 (a (b) c) R 1 1 1 0 -1 4194560 900 0 3 0 %s 0 0 0" + rest + "1290 300 x\n%s 9.99\n"
	before, err := parseTimes(fmt.Sprintf(text, "100", "50.00"))
	if err != nil || len(before.used) != 2 || math.Abs(before.used["1 (init)"]-0.36) > 1e-9 {
		t.Fatalf("%+v, %v", before, err)
	}
	after, err := parseTimes(fmt.Sprintf(text, "160", "110.00"))
	shares := after.since(before)
	if err != nil || len(shares) != 2 || shares["1 (init)"] != 0 || math.Abs(shares["99 (a (b) c)"]-0.01) > 1e-9 {
		t.Errorf("%v, %v", shares, err)
	}
	if _, err := parseTimes("1 (init) S 0\n"); err == nil {
		t.Error("times without a time were taken")
	}
}
