package diskimage

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Without qemu-img, formats are tested with images in testdata that it made: go test -update makes them again.
var update = flag.Bool("update", false, "have qemu-img make the images in testdata")

// goldenDisk is the disk in the images of testdata, with an odd number of sectors.
func goldenDisk() []byte {
	disk := make([]byte, 200<<10-512)
	copy(disk[5000:], content(5000))
	copy(disk[150_000:], content(4000))
	copy(disk[len(disk)-100:], "the end")
	return disk
}

// goldenChange is what golden[].io has qemu-io write.
func goldenChange(disk []byte) {
	copy(disk[7000:], bytes.Repeat([]byte{0x11}, 9000))
	clear(disk[147<<10 : 150<<10])
}

// golden are the images, made of disk.raw in this order.
var golden = []struct {
	name, format, command string
	want                  []Kind
	others                []string // files that belong to it
	changed               bool
}{
	{"v2.qcow2", "qcow2", "convert -f raw -O qcow2 -o cluster_size=512,compat=0.10", []Kind{Data, Zero}, nil, false},
	{"v3.qcow2", "qcow2", "convert -f raw -O qcow2 -o cluster_size=4k", []Kind{Data, Zero}, nil, false},
	{"zlib.qcow2", "qcow2", "convert -f raw -O qcow2 -c -o cluster_size=4k", []Kind{Packed, Zero}, nil, false},
	{"zstd.qcow2", "qcow2", "convert -f raw -O qcow2 -c -o cluster_size=4k,compression_type=zstd",
		[]Kind{Packed, Zero}, nil, false},
	{"extended.qcow2", "qcow2", "convert -f raw -O qcow2 -o cluster_size=16k,extended_l2=on",
		[]Kind{Data, Zero}, nil, false},
	{"overlay.qcow2", "qcow2", "create -f qcow2 -o cluster_size=1k -b zlib.qcow2 -F qcow2",
		[]Kind{Packed, Data, Zero}, []string{"zlib.qcow2"}, true},
	{"dynamic.vhd", "vhd", "convert -f raw -O vpc -o force_size=on", []Kind{Data}, nil, false},
	{"fixed.vhd", "vhd", "convert -f raw -O vpc -o force_size=on,subformat=fixed", []Kind{Data}, nil, false},
	{"sparse.vmdk", "vmdk", "convert -f raw -O vmdk", []Kind{Data, Zero}, nil, false},
	{"stream.vmdk", "vmdk", "convert -f raw -O vmdk -o subformat=streamOptimized", []Kind{Packed, Zero}, nil, false},
	{"flat.vmdk", "vmdk", "convert -f raw -O vmdk -o subformat=monolithicFlat",
		[]Kind{Data}, []string{"flat-flat.vmdk"}, false},
	{"split.vmdk", "vmdk", "convert -f raw -O vmdk -o subformat=twoGbMaxExtentSparse",
		[]Kind{Data, Zero}, []string{"split-s001.vmdk"}, false},
}

func TestGolden(t *testing.T) {
	if *update {
		updateGolden(t)
	}
	for _, g := range golden {
		t.Run(g.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, name := range append(g.others, g.name) {
				write(t, dir, name, goldenFile(t, name))
			}
			disk := goldenDisk()
			if g.changed {
				goldenChange(disk)
			}
			kinds := check(t, open(t, dir, g.name, g.format), disk)
			for _, kind := range g.want {
				if kinds[kind] == 0 {
					t.Errorf("no runs of kind %d, only %v", kind, kinds)
				}
			}
		})
	}
}

// goldenFile returns a file of testdata, unpacked: most of their bytes are zero.
func goldenFile(t testing.TB, name string) []byte {
	t.Helper()
	unzip, err := gzip.NewReader(bytes.NewReader(read(t, "testdata", name+".gz")))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func updateGolden(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "disk.raw", goldenDisk())
	for _, g := range golden {
		if !g.changed {
			qemuImg(t, dir, g.command+" disk.raw "+g.name)
		} else {
			qemuImg(t, dir, g.command+" "+g.name)
			qemuIO(t, dir, g.format, g.name, "write -P 0x11 7000 9000", "write -z 147k 3k")
		}
		for _, name := range append(slices.Clone(g.others), g.name) {
			saveGolden(t, name, read(t, dir, name))
		}
	}
}

func saveGolden(t *testing.T, name string, data []byte) {
	var packed bytes.Buffer
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := zip.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", name+".gz"), packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
