package guests

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// diskCases are disks, each with the form in which xl gets it.
var diskCases = map[string]string{
	"disk.img,raw,xvda,w":                            "vdev=xvda,format=raw,access=w,target=disk.img",
	"disk.img,,xvda":                                 "vdev=xvda,format=raw,target=disk.img",
	" disk.img, raw, xvda, rw":                       "vdev=xvda,format=raw,access=rw,target=disk.img",
	"format=raw, vdev=xvda, access=rw, target=a,b=c": "vdev=xvda,format=raw,access=rw,target=a,b=c",
	"vdev=xvda,target=disk.img,":                     "vdev=xvda,target=disk.img",
	"vdev=xvda,disk.img":                             "vdev=xvda,target=disk.img",
	",raw,xvda,target=disk.img":                      "vdev=xvda,format=raw,target=disk.img",
	"a.iso,,hdc,cdrom":                               "vdev=hdc,format=raw,devtype=cdrom,target=a.iso",
	"a.iso,,hdc,,cdrom":                              "vdev=hdc,format=raw,devtype=cdrom,target=a.iso",
	"a.iso,raw,hdc,devtype=cdrom":                    "vdev=hdc,format=raw,devtype=cdrom,target=a.iso",
	"a.iso,raw,hdc,devtype=cdrom,devtype=disk":       "vdev=hdc,format=raw,devtype=disk,target=a.iso",
	"raw:a.iso,hdc:cdrom,ro":                         "vdev=hdc,format=raw,access=ro,devtype=cdrom,target=a.iso",
	"file:/x/y.img,xvda1,w":                          "vdev=xvda1,access=w,target=/x/y.img",
	"tap:aio:y.img,xvda1,w":                          "vdev=xvda1,access=w,target=y.img",
	"phy:/dev/vg/lv,xvda1,w":                         "vdev=xvda1,access=w,target=/dev/vg/lv",
	"a:b.img,raw,xvda":                               "vdev=xvda,format=raw,target=a:b.img",
	",hdc:cdrom,r":                                   "vdev=hdc,format=empty,access=r,devtype=cdrom,target=",
	"vdev=hdc,cdrom":                                 "vdev=hdc,devtype=cdrom",
	"iscsi:iqn.2001-05.com.example:disk,xvda,w": "vdev=xvda,access=w,script=block-iscsi," +
		"target=iqn.2001-05.com.example:disk",
	"script=block-nbd,vdev=xvda,target=host:port": "vdev=xvda,script=block-nbd,target=host:port",
	"backend=storage,vdev=xvda,target=vol1":       "vdev=xvda,backend=storage,target=vol1",
	"a,raw,xvda,direct-io-safe,no-discard,w":      "vdev=xvda,format=raw,access=w,direct-io-safe,no-discard,target=a",
}

func TestDisk(t *testing.T) {
	for spec, want := range diskCases {
		d, err := parseDisk(spec)
		if err != nil {
			t.Errorf("%q: %v", spec, err)
			continue
		}
		if got := d.String(); got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", spec, got, want)
		}
	}
}

// diskErrors are disks that are refused, each with a part of the message.
var diskErrors = map[string]string{
	"":                                  "no device name",
	"disk.img":                          "no device name",
	"disk.img,xvda,w":                   `"xvda" is not a value of format`,
	",raw,xvda":                         "no target",
	"a=b.img,raw,xvda":                  `"a" is not a disk parameter`,
	"nfs:/disk.img,xvda,w":              `"nfs:" is not a disk prefix`,
	"disk.img,raw,xvda,w,more":          `too many parameters: "more"`,
	"disk.img,raw,xvda,yes":             `"yes" is not a value of access`,
	"disk.img,raw,xvda:tape,w":          `"tape" is not a value of devtype`,
	"disk.img,raw,xvda,devtype=tape":    `"tape" is not a value of devtype`,
	"a,raw,xvda,backendtype=loop":       `"loop" is not a value of backendtype`,
	"a,raw,xvda,specification=nvme":     `"nvme" is not a value of specification`,
	"a,raw,xvda,grant_usage=2":          `"2" is not a value of grant_usage`,
	"disk.img,raw,xvda,target=b.img":    `target is given twice: "disk.img" and "b.img"`,
	"a,raw,xvda,vdev=xvdb":              `vdev is given twice: "xvda" and "xvdb"`,
	"a,raw,xvda,format=qcow2":           `format is given twice: "raw" and "qcow2"`,
	"iscsi:a,xvda,w,script=b":           `script is given twice: "block-iscsi" and "b"`,
	"a,raw,xvda,colo":                   "COLO, which replicates a guest on a second host, is not on this disc: colo",
	"a,raw,xvda,colo-port=9":            "not on this disc: colo-port",
	"a,raw,vda":                         `"vda" is not a device name that Xen knows`,
	"a,raw,xvda01":                      "not a device name",
	"a,raw,hde":                         "not a device name",
	"a,raw,sda16":                       "not a device name",
	"a,raw,xvd":                         "not a device name",
	"a,empty,xvda,w":                    "the format is empty, but the disk is no CD drive",
	"a,empty,xvda,cdrom":                "the format is empty, but there is a target",
	"vdev=xvda,target=a\nscript=/bin/x": "a line break or another control character",
}

func TestDiskErrors(t *testing.T) {
	for spec, want := range diskErrors {
		if _, err := parseDisk(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", spec, err, want)
		}
	}
}

// TestVdevNumber compares with the numbers of xen-vbd-interface(7).
func TestVdevNumber(t *testing.T) {
	for name, want := range map[string]int{
		"xvda": 51712, "xvda1": 51713, "xvdp15": 51967,
		"xvda16": 1<<28 | 16, "xvdq": 1<<28 | 16<<8, "xvdaa1": 1<<28 | 26<<8 | 1,
		"hda": 768, "hdb1": 833, "hdc": 5632, "hdd": 5696, "sda": 2048, "sdp15": 2303,
		"d0p1": 51713, "51713": 51713, "0xca01": 51713,
	} {
		if got, ok := vdevNumber(name); !ok || got != want {
			t.Errorf("%s: got %d, %t, want %d", name, got, ok, want)
		}
	}
}

// TestDiskTwice gives two disks one device name, in two spellings too.
func TestDiskTwice(t *testing.T) {
	for _, second := range []string{"xvda", "51712", "d0p0"} {
		guest := guestWith(t, "kernel='vmlinuz'\ndisk=['disk.img,raw,xvda','install.iso,raw,"+second+",r']")
		_, err := guest.Resolve(machine(guest))
		if err == nil || !strings.Contains(err.Error(), second+" is the device name of another disk") {
			t.Errorf("%s: got %v", second, err)
		}
	}
}

// TestDisksOfAGuest asks which disks dom0 is to serve, and what xl gets in their place.
func TestDisksOfAGuest(t *testing.T) {
	for _, test := range []struct{ disk, want, xl string }{
		{"disk.img,raw,xvda,w", "xvda DIR/disk.img raw true", "vdev=xvda,format=raw,access=w,target=/dev/dm-3"},
		{"disk.img,,xvda,ro", "xvda DIR/disk.img raw false", "vdev=xvda,format=raw,access=ro,target=/dev/dm-3"},
		{"disk.img,qcow2,xvda", "xvda DIR/disk.img qcow2 true", "vdev=xvda,format=raw,target=/dev/dm-3"},
		{"vhd:disk.img,xvda1,w", "xvda1 DIR/disk.img vhd true", "vdev=xvda1,format=raw,access=w,target=/dev/dm-3"},
		{"disk.img,vmdk,xvda,r", "xvda DIR/disk.img vmdk false", "vdev=xvda,format=raw,access=r,target=/dev/dm-3"},
		{"disk.img,raw,xvda,w,cdrom", "xvda DIR/disk.img raw false",
			"vdev=xvda,format=raw,access=w,devtype=cdrom,target=/dev/dm-3"},
		{"phy:vg/lv,xvda,w", "xvda /dev/vg/lv raw true", "vdev=xvda,format=raw,access=w,target=/dev/dm-3"},
		{"backendtype=qdisk,format=qcow2,vdev=xvda,discard,target=disk.img", "xvda DIR/disk.img qcow2 true",
			"vdev=xvda,format=raw,discard,target=/dev/dm-3"},
		{"vdev=hdc,cdrom", "", "vdev=hdc,devtype=cdrom"},
		{"backend=storage,vdev=xvda,target=vol1", "", "vdev=xvda,backend=storage,target=vol1"},
	} {
		guest := guestWith(t, "kernel='vmlinuz'\ndisk=['"+test.disk+"']")
		resolved, err := guest.Resolve(machine(guest))
		if err != nil {
			t.Errorf("%s: %v", test.disk, err)
			continue
		}
		devices := map[string]string{}
		var got string
		for _, d := range resolved.Disks {
			target := strings.ReplaceAll(d.Target, guest.Dir, "DIR")
			got = fmt.Sprint(d.Vdev, " ", target, " ", d.Format, " ", d.Writable)
			devices[d.Vdev] = "/dev/dm-3"
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.disk, got, test.want)
		}
		before := string(resolved.Complete.Render())
		list, err := resolved.WithDevices(devices).Complete.List("disk")
		if err != nil || list[0].Text != test.xl {
			t.Errorf("%s: xl gets %v, %v, want %s", test.disk, list, err, test.xl)
		}
		if after := string(resolved.Complete.Render()); after != before {
			t.Errorf("%s: WithDevices has changed the guest itself:\n%s", test.disk, after)
		}
	}
}

// FuzzDisk holds parseDisk to: no panic, and a disk that is read back as it was written.
func FuzzDisk(f *testing.F) {
	for _, spec := range []string{
		"disk.img,raw,xvda,w", "format=raw, vdev=xvda, target=a,b", "tap:aio:y.img,xvda1:disk,w",
		",hdc:cdrom,r", "raw:,hdc:cdrom,r", "nbd:x,", "a:", "=,",
		"a,raw,xvda,devtype=cdrom,devtype=disk", "vdev=xvda,target=end,,", "a,,d0p1", "iscsi:x,0x1,w,colo",
	} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		before, err := parseDisk(spec)
		if err != nil {
			return
		}
		after, err := parseDisk(before.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", spec, before, err)
		}
		after.prefix, after.given = before.prefix, before.given
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q became %q: %+v, before %+v", spec, before, after, before)
		}
	})
}
