package guests

import (
	"strings"
	"testing"
)

func TestDiskTarget(t *testing.T) {
	for _, test := range []struct{ spec, target, moved string }{
		// moved: with the target /new
		{"disk.img,raw,xvda,w", "disk.img", "/new,raw,xvda,w"},
		{"disk.img,,xvda", "disk.img", "/new,,xvda"},
		{" disk.img, raw, xvda, rw", "disk.img", " /new, raw, xvda, rw"},
		{"format=raw, vdev=xvda, access=rw, target=a,b=c", "a,b=c", "format=raw, vdev=xvda, access=rw, target=/new"},
		{"vdev=xvda,target=disk.img,", "disk.img", "vdev=xvda,target=/new"},
		{"vdev=xvda,disk.img", "disk.img", "vdev=xvda,/new"},
		{",raw,xvda,target=disk.img", "disk.img", ",raw,xvda,target=/new"},
		{"a.iso,,hdc,cdrom", "a.iso", "/new,,hdc,cdrom"},
		{"a.iso,,hdc,,cdrom", "a.iso", "/new,,hdc,,cdrom"},
		{"a.iso,raw,hdc,devtype=cdrom", "a.iso", "/new,raw,hdc,devtype=cdrom"},
		{"raw:a.iso,hdc:cdrom,ro", "a.iso", "raw:/new,hdc:cdrom,ro"},
		{"file:/x/y.img,xvda1,w", "/x/y.img", "file:/new,xvda1,w"},
		{"tap:aio:y.img,xvda1,w", "y.img", "tap:aio:/new,xvda1,w"},
		{"phy:/dev/vg/lv,xvda1,w", "/dev/vg/lv", "phy:/new,xvda1,w"},
		{"a:b.img,raw,xvda", "a:b.img", "/new,raw,xvda"},
	} {
		d, err := parseDisk(test.spec)
		if err != nil {
			t.Errorf("%q: %v", test.spec, err)
			continue
		}
		if d.target() != test.target || !d.isPath() {
			t.Errorf("%q: target %q", test.spec, d.target())
		}
		if got := d.withTarget("/new"); got != test.moved {
			t.Errorf("%q: got %q, want %q", test.spec, got, test.moved)
		}
	}
}

func TestDiskWithoutPath(t *testing.T) {
	for _, spec := range []string{
		",hdc:cdrom,r",
		"vdev=hdc,cdrom",
		"iscsi:iqn.2001-05.com.example:disk,xvda,w",
		"script=block-nbd,vdev=xvda,target=host:port",
		"backend=storage,vdev=xvda,target=vol1",
	} {
		if d, err := parseDisk(spec); err != nil || d.isPath() {
			t.Errorf("%q: %v, %v", spec, d, err)
		}
	}
}

func TestDiskErrors(t *testing.T) {
	for _, test := range []struct{ spec, want string }{
		{"", "no device name"},
		{"disk.img", "no device name"},
		{"disk.img,xvda,w", `"xvda" is not a disk format`},
		{",raw,xvda", "no target"},
		{"a=b.img,raw,xvda", `"a" is not a disk parameter`},
		{"nfs:/disk.img,xvda,w", `"nfs:" is not a disk prefix`},
		{"disk.img,raw,xvda,w,more", `too many parameters: "more"`},
		{"disk.img,raw,xvda,yes", `"yes" is not a way to access a disk`},
		{"disk.img,raw,xvda:tape,w", `"tape" is not a type of disk`},
		{"disk.img,raw,xvda,target=b.img", "two targets"},
	} {
		if _, err := parseDisk(test.spec); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.spec, err, test.want)
		}
	}
}

// A path that the positional syntax cannot hold has to survive all the same.
func TestDiskAwkwardPath(t *testing.T) {
	for _, spec := range []string{"disk.img,raw,xvda,w", "vdev=xvda,disk.img", "vdev=xvda,target=disk.img", "file:disk.img,xvda,w"} {
		for _, path := range []string{"/plain", "/a,b/c", "/a=b", "/a:b", "/a b", "/end,"} {
			before, err := parseDisk(spec)
			if err != nil {
				t.Fatal(err)
			}
			after, err := parseDisk(before.withTarget(path))
			if err != nil || after.target() != path || after.vdev != "xvda" {
				t.Errorf("%q with %q became %q: %+v, %v", spec, path, before.withTarget(path), after, err)
			}
		}
	}
}

// FuzzDisk holds parseDisk to: no panic, and a changed target that is read back.
func FuzzDisk(f *testing.F) {
	for _, spec := range []string{
		"disk.img,raw,xvda,w", "format=raw, vdev=xvda, target=a,b", "tap:aio:y.img,xvda1:disk,w", ",hdc:cdrom,r", "raw:,hdc:cdrom,r", "nbd:x,", "a:", "=,",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		before, err := parseDisk(spec)
		if err != nil || !before.isPath() {
			return
		}
		for _, path := range []string{"/plain", "/a,b=c:d,"} {
			after, err := parseDisk(before.withTarget(path))
			if err != nil || after.target() != path || after.vdev != before.vdev || after.format != before.format {
				t.Fatalf("%q became %q: %+v, %v", spec, before.withTarget(path), after, err)
			}
		}
	})
}
