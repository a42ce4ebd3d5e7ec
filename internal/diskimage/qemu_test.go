package diskimage

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// step is a command that makes an image: of qemu-img, or of qemu-io where it has commands.
type step struct {
	command string
	format  string // of what qemu-io writes to
	io      []string
}

// qemuFormats is what QEMU calls the formats.
var qemuFormats = map[string]string{"raw": "raw", "qcow2": "qcow2", "vhd": "vpc", "vmdk": "vmdk"}

// TestAgainstQEMU has qemu-img make images, in a directory with a disk, disk.raw, of an odd number of sectors, and
// compares what is read with what qemu-img reads.
func TestAgainstQEMU(t *testing.T) {
	convert := func(format, options string) []step {
		return []step{{command: "convert -t unsafe -f raw -O " + format + " " + options + " disk.raw image"}}
	}
	changes := []string{
		"write -P 0x11 1000 70000", "write -z 300k 200k", "write -P 0x22 511k 3k", "discard 700k 128k",
		"write -P 0x33 1023k 1k", "write -P 0x44 2m 64k", "write -z 2100k 77k", "write -P 0x55 2500k 512",
	}
	for name, test := range map[string]struct {
		format string
		steps  []step
		want   []Kind // of runs that there must be
	}{
		"raw":                    {"raw", convert("raw", ""), []Kind{Data}},
		"qcow2 version 2":        {"qcow2", convert("qcow2", "-o compat=0.10"), []Kind{Data, Zero}},
		"qcow2 version 3":        {"qcow2", convert("qcow2", ""), []Kind{Data, Zero}},
		"qcow2 512":              {"qcow2", convert("qcow2", "-o cluster_size=512"), []Kind{Data, Zero}},
		"qcow2 512 version 2":    {"qcow2", convert("qcow2", "-o cluster_size=512,compat=0.10"), []Kind{Data, Zero}},
		"qcow2 4k":               {"qcow2", convert("qcow2", "-o cluster_size=4k"), []Kind{Data, Zero}},
		"qcow2 2M":               {"qcow2", convert("qcow2", "-o cluster_size=2M"), []Kind{Data}},
		"qcow2 preallocated":     {"qcow2", convert("qcow2", "-o preallocation=metadata"), []Kind{Data}},
		"qcow2 narrow refcounts": {"qcow2", convert("qcow2", "-o refcount_bits=1"), []Kind{Data, Zero}},
		"qcow2 zlib":             {"qcow2", convert("qcow2", "-c"), []Kind{Packed, Data, Zero}},
		"qcow2 zlib version 2":   {"qcow2", convert("qcow2", "-c -o compat=0.10"), []Kind{Packed, Data, Zero}},
		"qcow2 zlib 512":         {"qcow2", convert("qcow2", "-c -o cluster_size=512"), []Kind{Packed, Data, Zero}},
		"qcow2 zlib 2M":          {"qcow2", convert("qcow2", "-c -o cluster_size=2M"), []Kind{Packed}},
		"qcow2 zstd": {"qcow2", convert("qcow2", "-c -o compression_type=zstd"),
			[]Kind{Packed, Data, Zero}},
		"qcow2 zstd 512": {"qcow2", convert("qcow2", "-c -o compression_type=zstd,cluster_size=512"),
			[]Kind{Packed, Zero}},
		"qcow2 zstd 2M": {"qcow2", convert("qcow2", "-c -o compression_type=zstd,cluster_size=2M"),
			[]Kind{Packed}},
		"qcow2 zstd, stored": {"qcow2", convert("qcow2", "-o compression_type=zstd"), []Kind{Data, Zero}},
		"qcow2 extended": {"qcow2", convert("qcow2", "-o extended_l2=on,cluster_size=128k"),
			[]Kind{Data, Zero}},
		"qcow2 extended 16k": {"qcow2", convert("qcow2", "-o extended_l2=on,cluster_size=16k"),
			[]Kind{Data, Zero}},
		"qcow2 extended 2M":       {"qcow2", convert("qcow2", "-o extended_l2=on,cluster_size=2M"), []Kind{Data, Zero}},
		"qcow2 extended and zlib": {"qcow2", convert("qcow2", "-c -o extended_l2=on"), []Kind{Packed, Data, Zero}},
		"qcow2 written to": {"qcow2", []step{
			{command: "convert -t unsafe -f raw -O qcow2 -c disk.raw image"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Packed, Data, Zero}},
		"qcow2 extended, written to": {"qcow2", []step{
			{command: "create -f qcow2 -o extended_l2=on image 3M"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Data, Zero}},
		"qcow2 snapshots": {"qcow2", []step{
			{command: "convert -t unsafe -f raw -O qcow2 disk.raw image"},
			{command: "snapshot -c before image"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Data, Zero}},
		"qcow2 on raw": {"qcow2", []step{
			{command: "create -f qcow2 -b disk.raw -F raw image"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Data, Zero}},
		"qcow2 larger than its backing file": {"qcow2", []step{
			{command: "create -f qcow2 -b disk.raw -F raw image 9M"},
			{command: "image", format: "qcow2", io: append(changes, "write -P 0x66 8m 100k")},
		}, []Kind{Data, Zero}},
		"qcow2 smaller than its backing file": {"qcow2", []step{
			{command: "create -f qcow2 -b disk.raw -F raw image 2600k"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Data, Zero}},
		"qcow2 extended on qcow2 on raw": {"qcow2", []step{
			{command: "create -f qcow2 -b disk.raw -F raw -o cluster_size=4k middle"},
			{command: "middle", format: "qcow2", io: []string{
				"write -P 0x77 10k 400k", "write -z 1m 100k", "write -P 0x77 1500k 1m",
			}},
			{command: "create -f qcow2 -b middle -F qcow2 -o extended_l2=on image"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Data, Zero}},
		"qcow2 on a smaller one on a larger one": {"qcow2", []step{
			{command: "create -f qcow2 -b disk.raw -F raw middle 1m"},
			{command: "create -f qcow2 -b middle -F qcow2 image 3m"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Data, Zero}},
		// The first clusters of both lie at the same offset.
		"qcow2 compressed on compressed": {"qcow2", []step{
			{command: "convert -t unsafe -f raw -O qcow2 -c disk.raw base"},
			{command: "create -f qcow2 -b base -F qcow2 middle"},
			{command: "middle", format: "qcow2", io: []string{"write -P 0x11 1m 100k"}},
			{command: "convert -t unsafe -f qcow2 -O qcow2 -c -B base -F qcow2 middle image"},
		}, []Kind{Packed}},
		"qcow2 on VHD": {"qcow2", []step{
			{command: "convert -t unsafe -f raw -O vpc -o force_size=on disk.raw base"},
			{command: "create -f qcow2 -b base -F vpc image"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Data, Zero}},
		"qcow2 on compressed VMDK": {"qcow2", []step{
			{command: "convert -t unsafe -f raw -O vmdk -o subformat=streamOptimized disk.raw base"},
			{command: "create -f qcow2 -b base -F vmdk image"},
			{command: "image", format: "qcow2", io: changes},
		}, []Kind{Packed, Data, Zero}},
		"VHD dynamic":          {"vhd", convert("vpc", "-o force_size=on"), []Kind{Data}},
		"VHD dynamic, rounded": {"vhd", convert("vpc", ""), []Kind{Data}},
		"VHD fixed":            {"vhd", convert("vpc", "-o subformat=fixed,force_size=on"), []Kind{Data}},
		"VHD fixed, rounded":   {"vhd", convert("vpc", "-o subformat=fixed"), []Kind{Data}},
		"VHD written to": {"vhd", []step{
			{command: "create -f vpc image 20M"},
			{command: "image", format: "vpc", io: changes},
		}, []Kind{Data, Zero}},
		"VMDK monolithicSparse": {"vmdk", convert("vmdk", ""), []Kind{Data, Zero}},
		"VMDK zeroed grains": {"vmdk", []step{
			{command: "convert -t unsafe -f raw -O vmdk -o zeroed_grain=on disk.raw image"},
			{command: "image", format: "vmdk", io: []string{"write -z 0 256k", "write -P 0x11 1m 100k"}},
		}, []Kind{Data, Zero}},
		"VMDK streamOptimized":      {"vmdk", convert("vmdk", "-o subformat=streamOptimized"), []Kind{Packed, Zero}},
		"VMDK monolithicFlat":       {"vmdk", convert("vmdk", "-o subformat=monolithicFlat"), []Kind{Data}},
		"VMDK twoGbMaxExtentSparse": {"vmdk", convert("vmdk", "-o subformat=twoGbMaxExtentSparse"), []Kind{Data, Zero}},
		"VMDK twoGbMaxExtentFlat":   {"vmdk", convert("vmdk", "-o subformat=twoGbMaxExtentFlat"), []Kind{Data}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // qemu-img waits for the disk
			dir := t.TempDir()
			write(t, dir, "disk.raw", content(3<<20-512))
			for _, s := range test.steps {
				if s.io != nil {
					qemuIO(t, dir, s.format, s.command, s.io...)
				} else {
					qemuImg(t, dir, s.command)
				}
			}
			qemuImg(t, dir, "convert -f "+qemuFormats[test.format]+" -T unsafe -t unsafe -O raw image expected")
			kinds := check(t, open(t, dir, "image", test.format), read(t, dir, "expected"))
			for _, kind := range test.want {
				if kinds[kind] == 0 {
					t.Errorf("no runs of the kind %d, only %v", kind, kinds)
				}
			}
			// go-qcow2reader 0.7.0 takes the end of a stream for an error, even if it comes with the last bytes. It
			// fails on this one, where a cluster is read in one piece.
			if test.format == "qcow2" && len(test.steps) == 1 && name != "qcow2 zlib 512" {
				checkLibrary(t, filepath.Join(dir, "image"), read(t, dir, "expected"))
			}
		})
	}
}

// checkLibrary asks another reader of qcow2.
func checkLibrary(t *testing.T, name string, want []byte) {
	t.Helper()
	i := openLibrary(t, name)
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		from := random.IntN(len(want) - 4096)
		got := make([]byte, 4096)
		if n, err := i.ReadAt(got, int64(from)); n != len(got) {
			t.Fatalf("go-qcow2reader at %d: %v", from, err)
		}
		compare(t, "go-qcow2reader", got, want[from:], from)
	}
}

// TestSplitVMDK reads disks of more than one extent. Their files have no content but the few bytes that are written.
func TestSplitVMDK(t *testing.T) {
	for subformat, files := range map[string][]string{
		"twoGbMaxExtentSparse": {"disk.vmdk", "disk-s001.vmdk", "disk-s002.vmdk", "disk-s003.vmdk"},
		"twoGbMaxExtentFlat":   {"disk.vmdk", "disk-f001.vmdk", "disk-f002.vmdk", "disk-f003.vmdk"},
	} {
		dir := t.TempDir()
		qemuImg(t, dir, "create -f vmdk -o subformat="+subformat+" disk.vmdk 5G")
		qemuIO(t, dir, "vmdk", "disk.vmdk",
			"write -P 1 2147481600 2048", "write -P 2 2147483648 2048", "write -P 3 5368708608 512")
		i := open(t, dir, "disk.vmdk", "vmdk")
		if got := i.Files(); strings.Join(got, " ") != strings.Join(files, " ") {
			t.Errorf("%s: files %q, want %q", subformat, got, files)
		}
		for at, want := range map[int64]string{
			0: "\x00\x00", 2147481599: "\x00\x01", 2147483647: "\x01\x02", 2147485695: "\x02\x00",
			5368709118: "\x03\x03",
		} {
			got := make([]byte, 2)
			if _, err := i.ReadAt(got, at); err != nil || string(got) != want {
				t.Errorf("%s: at %d: %q, %v, want %q", subformat, at, got, err, want)
			}
		}
	}
}

// TestLargeDisks reads the last bytes of disks whose tables are large, and holds what that costs to its limit.
func TestLargeDisks(t *testing.T) {
	for name, test := range map[string]struct{ format, create string }{
		"qcow2 2 TB":              {"qcow2", "create -f qcow2 image 2T"},
		"qcow2 2 TB, extended":    {"qcow2", "create -f qcow2 -o extended_l2=on image 2T"},
		"qcow2 8 MiB of L1":       {"qcow2", "create -f qcow2 -o cluster_size=512 image 32G"},
		"qcow2 2 MiB of clusters": {"qcow2", "create -f qcow2 -o cluster_size=2M image 60T"},
		"VHD 2 TB":                {"vhd", "create -f vpc -o force_size=on image 2040G"},
		"VMDK 2 TB":               {"vmdk", "create -f vmdk image 2T"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			qemuImg(t, dir, test.create)
			size := open(t, dir, "image", test.format).Size()
			step := size / 1000 &^ 511
			var writes []string
			for n := range int64(5) {
				writes = append(writes, "write -P 9 "+toText(step*n*200)+" 512")
			}
			writes = append(writes, "write -P 8 "+toText(size-512)+" 512")
			qemuIO(t, dir, qemuFormats[test.format], "image", writes...)
			checkMemory(t, maxMemory, func() {
				i := open(t, dir, "image", test.format)
				for n := range int64(1000) {
					checkByte(t, i, step*n, map[bool]byte{n%200 == 0: 9}[true])
				}
				checkByte(t, i, size-1, 8)
			})
		})
	}
}
