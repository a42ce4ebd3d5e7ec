package guests

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "web")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text := `kernel = "dom0"
ramdisk = "sub/../initrd.img" # as on the medium
device_tree = "` + dir + `/tree"
firmware_override = "/srv/initrd.img"
bios_path_override = "/usr/lib/bios"
stubdomain_kernel = "../shared/initrd.img"
memory = 128
disk = [ 'file:a.img,xvda,w', 'b.qcow2,qcow2,xvdb,r', 'phy:vg/data,xvdc,w', '/state/images/x.img,raw,xvdd,rw',
         '/dev/sdb,,xvde,rw', ',,xvdf:cdrom,r', 'sub/a.img,raw,xvdg,r', './dom0,raw,xvdh,r' ]
something_new = [ 'a', 5 ]
`
	file := filepath.Join(dir, "x.cfg")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := g.Keep([]string{"xvdb"})
	if err != nil {
		t.Fatal(err)
	}
	want := `# What guest disk save made of "` + file + `".
kernel = "dom0"
ramdisk = "initrd.img"
device_tree = "tree"
firmware_override = "2-initrd.img"
bios_path_override = "/usr/lib/bios"
stubdomain_kernel = "3-initrd.img"
memory = 128
disk = [ "vdev=xvda,access=w,target=a.img", "vdev=xvdb,format=raw,access=r,target=xvdb.img", ` +
		`"vdev=xvdc,access=w,target=/dev/vg/data", "vdev=xvdd,format=raw,access=rw,target=/state/images/x.img", ` +
		`"vdev=xvde,format=raw,access=rw,target=/dev/sdb", "vdev=xvdf,format=raw,access=r,devtype=cdrom,target=", ` +
		`"vdev=xvdg,format=raw,access=r,target=sub/a.img", "vdev=xvdh,format=raw,access=r,target=./dom0" ]
something_new = [ "a", 5 ]
name = "web"
`
	if string(kept.Config) != want {
		t.Errorf("configuration\n%s\nwant\n%s", kept.Config, want)
	}
	files := []KeptFile{
		{dir + "/initrd.img", "initrd.img"}, {"/srv/initrd.img", "2-initrd.img"}, {dir + "/tree", "tree"},
		{filepath.Dir(dir) + "/shared/initrd.img", "3-initrd.img"},
		{dir + "/a.img", "a.img"}, {dir + "/sub/a.img", "sub/a.img"}, {dir + "/dom0", "dom0"},
	}
	slices.SortFunc(files, func(a, b KeptFile) int { return strings.Compare(a.To, b.To) })
	slices.SortFunc(kept.Files, func(a, b KeptFile) int { return strings.Compare(a.To, b.To) })
	if !slices.Equal(kept.Files, files) {
		t.Errorf("files\n%q\nwant\n%q", kept.Files, files)
	}
	again, err := Parse(file, strings.NewReader(string(kept.Config)))
	if err != nil || string(again.Render()) != strings.SplitN(want, "\n", 2)[1] {
		t.Errorf("%v", err)
	}
	if !strings.Contains(string(g.Config.Render()), "b.qcow2") {
		t.Error("the guest itself was changed")
	}
}
