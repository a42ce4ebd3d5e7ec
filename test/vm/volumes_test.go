//go:build vm

package vm

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
)

// volume is a logical volume or an array on the disks of testdata/volumes.tar.gz.
type volume struct {
	label string // of the file system in it; "" for one without
	mib   int
	on    [][]place // copies; each is one place, or several that take stripe bytes in turn
}

// place is where a volume's bytes begin on a disk.
type place struct {
	disk string
	mib  int64
}

const stripe = 64 << 10

// volumesOnDisks is what LVM and mdadm said when they made the disks.
var volumesOnDisks = []volume{
	{"lv-striped", 16, [][]place{{{"lvm.0", 1}, {"lvm.1", 1}}}},
	{"lv-mirrored", 8, [][]place{{{"lvm.0", 10}}, {{"lvm.1", 10}}}},
	{"", 4, [][]place{{{"lvm.1", 18}}}}, // zd/target
	{"lv-plugged", 8, [][]place{{{"usb.0", 1}}}},
	{"md-mirror", 15, [][]place{{{"raid.0", 1}}, {{"raid.1", 1}}}},
}

// makeVolumeDisks makes disks that have volumes with file systems, each with a guest. It returns their files by name.
func makeVolumeDisks(t *testing.T) map[string]string {
	t.Helper()
	files := unpackDisks(t)
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "guests/stranger"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "guests/stranger/stranger.cfg"), "kernel = \"dom0\"\n")
	for _, v := range volumesOnDisks {
		content := []byte(strings.Repeat("what was there before\n", v.mib<<20/22))
		if v.label != "" {
			image := filepath.Join(t.TempDir(), "image")
			tool(t, "mkfs.ext4", "-q", "-L", v.label, "-d", root, image, fmt.Sprint(v.mib, "M"))
			var err error
			if content, err = os.ReadFile(image); err != nil {
				t.Fatal(err)
			}
		}
		for _, places := range v.on {
			fill(t, files, content, places)
		}
	}
	return files
}

// fill writes a volume's content to its disks.
func fill(t *testing.T, files map[string]string, content []byte, places []place) {
	t.Helper()
	for i, p := range places {
		disk, err := os.OpenFile(files[p.disk], os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		to := p.mib << 20
		for from := i * stripe; from < len(content) && err == nil; from += len(places) * stripe {
			_, err = disk.WriteAt(content[from:min(from+stripe, len(content))], to)
			to += stripe
		}
		if err := errors.Join(err, disk.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// unpackDisks makes files of disks of which the archive has what LVM and mdadm wrote.
func unpackDisks(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open("testdata/volumes.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	dir, files := t.TempDir(), map[string]string{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		var size, at int64
		name, numbers, _ := strings.Cut(header.Name, "@")
		if _, err := fmt.Sscanf(numbers, "%d@%d", &size, &at); err != nil {
			t.Fatal(err)
		}
		files[name] = filepath.Join(dir, name)
		disk, err := os.OpenFile(files[name], os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.NewOffsetWriter(disk, at), archive)
		if err := errors.Join(err, disk.Truncate(size), disk.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// checkVolumes waits for the volumes that are there at the boot.
func (m *VM) checkVolumes() {
	for _, v := range volumesOnDisks {
		if v.label == "" || v.label == "lv-plugged" {
			continue
		}
		line := m.Wait(`msg="`+boot.MsgStorage+`" label=`+v.label, addressLimit)
		if line.Get("guests") != "stranger" {
			m.Errorf("%v", line)
		}
	}
	if m.Said(`msg=` + boot.MsgVolumes) {
		m.Errorf("something is wrong with the volumes")
	}
}
