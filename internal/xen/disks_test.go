package xen

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// set writes a tree as xenstore-ls -f prints it, in one transaction, as libxl does.
func (x *fakeXL) set(t *testing.T, name string) {
	t.Helper()
	tree, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := x.server.Client(t).Transact(t.Context(), func(tx *xenstore.Tx) error {
		for line := range strings.Lines(string(tree)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
			if err := tx.Write(t.Context(), key, strings.Trim(value, `"`)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// served is what the observer tells of the disks in testdata.
const (
	servedImage = "{Vdev:xvda Target:/store/tty1/disk.img Node:/dev/loop3 Format:raw Writable:false" + rest
	servedDisk  = "{Vdev:xvdc Target:/dev/disk/by-label/data Node:/dev/sdb1 Format:raw Writable:true" + rest
	rest        = " CopyOnWrite:false Device: Problem: ByXL:false Detached:false}"
)

// The trees are what libxl 4.20 and blkback write: of a guest with a file for its disk, and of a disk that xl
// block-attach has added. What the guest writes counts for nothing.
func TestObserverTellsDisks(t *testing.T) {
	x := newFakeXL("tty1")
	x.set(t, "disks.txt")
	o := observeStore(t, x)
	o.await(append(came(1, "tty1"), "Served {Domid:1 Disks:["+servedImage+"]}")...)
	o.x.server.Set(home(1)+"/device/vbd/51728/dev", "xvdb")
	o.x.server.Set("/local/domain/0/backend/vbd/1/51712/state", "5")
	x.set(t, "disk-attached.txt")
	o.await("Served {Domid:1 Disks:[" + servedImage + " " + strings.Replace(servedDisk, "/dev/sdb1", "", 1) + "]}")
	o.x.server.Set("/local/domain/0/backend/vbd/1/51744/physical-device-path", "/dev/sdb1") // the hotplug program
	o.await("Served {Domid:1 Disks:[" + servedImage + " " + servedDisk + "]}")
	o.x.server.Remove("/local/domain/0/backend/vbd/1/51744")
	o.await("Served {Domid:1 Disks:[" + servedImage + "]}")
	o.x.server.Remove("/local/domain/0/backend/vbd/1")
	o.await("Served {Domid:1 Disks:[]}")
}
