package guests

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// xl is Xen's own tool out of the unpacked packages, made to read configurations only.
type xl struct{ command []string }

// findXL finds the xl that goes onto the disc, with its loader and libraries, in the cache of a build, and
// compiles what stands in for Xen.
func findXL(t *testing.T) xl {
	t.Helper()
	found, err := filepath.Glob("../build/cache/payload/merged/*/usr/lib/xen-*/bin/xl")
	if err != nil || len(found) == 0 {
		t.Skip("there is no xl in build/cache; build a disc first (make)")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("xl is a program for Linux on amd64")
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("there is no gcc to compile testdata/xl/xenstub.c")
	}
	program := found[len(found)-1]
	libraries, err := filepath.Abs(filepath.Join(program, "../../../x86_64-linux-gnu"))
	if err != nil {
		t.Fatal(err)
	}
	stub := filepath.Join(t.TempDir(), "xenstub.so")
	compile := exec.Command(gcc, "-shared", "-fPIC", "-nostdlib", "-fno-stack-protector", "-O1",
		"-o", stub, "testdata/xl/xenstub.c")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", compile, err, out)
	}
	x := xl{[]string{
		filepath.Join(libraries, "ld-linux-x86-64.so.2"), "--library-path", libraries, "--preload", stub, program,
	}}
	if _, err := x.read(t, "name='x'; kernel='/vmlinuz'; memory=96"); err != nil {
		t.Fatal("xl does not take the least configuration:", err)
	}
	return x
}

// domainConfig is what of xl's reading is compared.
type domainConfig struct {
	Create struct {
		Name, Type string
	} `json:"c_info"`
	Build struct {
		Kernel, Ramdisk, Cmdline string
		Target                   int64 `json:"target_memkb"`
		Max                      int64 `json:"max_memkb"`
	} `json:"b_info"`
	Disks []map[string]any
	Nics  []map[string]any
}

// read has xl read a configuration. An error is that xl refuses it, with what it says.
func (x xl) read(t *testing.T, source string) (domainConfig, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "g.cfg")
	if err := os.WriteFile(file, []byte(source+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	command := exec.Command(x.command[0], append(slices.Clone(x.command[1:]), "-N", "create", file)...)
	command.Stdout, command.Stderr = &stdout, &stderr
	var config domainConfig
	err := command.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return config, errors.New(strings.TrimSpace(stderr.String()))
	case err != nil:
		t.Fatalf("%v: %v\n%s", command, err, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), &config); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, &stdout)
	}
	return config, nil
}

// minimal is a configuration that xl takes, to which a test adds.
const minimal = "name='g'; kernel='/vmlinuz'\n"

// onlyHere are cases of the tests of this package that xl's dry run takes, and why they are refused here all the same.
var onlyHere = map[string]string{
	"a,raw,vda": "libxl: invalid virtual disk identifier", "a,raw,xvda01": "likewise", "a,raw,hde": "likewise",
	"a,raw,sda16": "likewise", "a,raw,xvd": "likewise",
	"a,empty,xvda,w":     "libxl: empty but not cdrom",
	"a,empty,xvda,cdrom": "libxl: empty but an image has been provided",
	"a,raw,xvda,colo":    "libxl: the phy backend has no COLO", "a,raw,xvda,colo-port=9": "ignored by libxl",
	",raw,xvda": "libxl: failed to stat", "vdev=xvda,target=a\nscript=/bin/x": "its script would run",
	"mac=00::3e:aa:bb:cc": "xl goes on with half an address", "mac=": "likewise", "mac=00:16:3e:aa:bb": "likewise",
	"mac=001:16:3e:aa:bb:100": "likewise", "mac=00:16:3e:aa:bb:gg": "likewise", "mac=00:16:3e:aa:bb:cc:dd": "likewise",
	"mac=01:00:5e:00:00:01":    "Linux: not a valid address",
	"type=ioemu":               "libxl: trying to create PV or PVH guest with an emulated interface",
	"mtu=20":                   "vif-bridge: out of bounds",
	"vlan=7":                   "vif-bridge: ignored",
	"vifname=a-name-too-long-": "vif-bridge: longer than 15 characters",
	"script=vif-openvswitch":   "not on the disc",
	"script=/gone/vif":         "there is no such file",
	`bridge=a\nb`:              "no name",
	"ioports=['com1']":         "xl takes port c",
	"pci='03:00.0'":            "xl skips what is no list",
}

// TestXLDisks compares with xl how disks are read: as they are written, and as this package writes them.
func TestXLDisks(t *testing.T) {
	x := findXL(t)
	var written, read []string
	for spec := range diskCases {
		d, err := parseDisk(spec)
		if err != nil {
			t.Fatal(err)
		}
		written, read = append(written, spec), append(read, d.String())
	}
	compareDisks(t, x, written, read)
	for spec := range diskErrors {
		why, here := onlyHere[spec]
		_, err := x.read(t, minimal+diskList([]string{spec}))
		if (err == nil) != here {
			t.Errorf("%q: xl says %v; refused here for %q", spec, err, why)
		}
	}
	compareRandomDisks(t, x)
}

// compareRandomDisks puts together disks of all that means something in one, and compares those that are
// taken here: whatever a configuration says, xl must read in it what was judged here.
func compareRandomDisks(t *testing.T, x xl) {
	parts := []string{
		"raw:", "file:", "phy:", "tap:aio:", "vhd:", "nbd:", "a.img", "/dev/sda", "raw", "qcow2", "empty",
		"xvda", "hdc:cdrom", "sda1", "w", "r", "ro", "cdrom", "devtype=cdrom", "devtype=disk",
		"format=raw", "format=vhd", "vdev=xvdb", "vdev=", "access=rw", "access=r", "script=block-x",
		"backend=2", "backendtype=phy", "direct-io-safe", "discard", "trusted", "grant_usage=1", "specification=xen",
		"target=/x,y=z", "target=", ":", "", " ", "\t", ",", ",", ",", ",", ",", ",", ",", ",",
	}
	random := rand.New(rand.NewPCG(1, 2))
	var written, read []string
	for len(read) < 400 {
		var spec strings.Builder
		for range 1 + random.IntN(12) {
			spec.WriteString(parts[random.IntN(len(parts))])
		}
		if d, err := parseDisk(spec.String()); err == nil {
			written, read = append(written, spec.String()), append(read, d.String())
		}
	}
	compareDisks(t, x, written, read)
}

// compareDisks holds two lists of disks to mean the same to xl.
func compareDisks(t *testing.T, x xl, written, read []string) {
	t.Helper()
	before, err := x.read(t, minimal+diskList(written))
	after, errAfter := x.read(t, minimal+diskList(read))
	switch {
	case (err != nil || errAfter != nil) && len(written) == 1:
		t.Errorf("xl says of %q %v, of %q %v", written, err, read, errAfter)
	case err != nil || errAfter != nil:
		for i := range written {
			compareDisks(t, x, written[i:i+1], read[i:i+1])
		}
	default:
		for i := range written {
			if !reflect.DeepEqual(before.Disks[i], after.Disks[i]) {
				t.Errorf("xl reads %q as %v, and %q as %v", written[i], before.Disks[i], read[i], after.Disks[i])
			}
		}
	}
}

func diskList(specs []string) string {
	config := Config{}
	list := Value{Kind: List}
	for _, spec := range specs {
		list.List = append(list.List, Value{Kind: String, Text: spec})
	}
	config.Settings = []Setting{{"disk", list}}
	return string(config.Render())
}

// TestXLVifs compares with xl how network interfaces are read.
func TestXLVifs(t *testing.T) {
	x := findXL(t)
	var specs []string
	for _, test := range vifCases {
		specs = append(specs, test.want)
	}
	config, err := x.read(t, minimal+"vif=['"+strings.Join(specs, "','")+"']")
	if err != nil || len(config.Nics) != len(vifCases) {
		t.Fatalf("xl says %v, %v", config.Nics, err)
	}
	for i, test := range vifCases {
		if config.Nics[i]["mac"] != test.mac {
			t.Errorf("%q: xl says %v", test.want, config.Nics[i])
		}
	}
	for spec := range vifErrors {
		why, here := onlyHere[spec]
		_, err := x.read(t, minimal+"vif=['"+spec+"']")
		if (err == nil) != here {
			t.Errorf("%q: xl says %v; refused here for %q", spec, err, why)
		}
	}
}

// TestXLValues compares with xl which values are taken.
func TestXLValues(t *testing.T) {
	x := findXL(t)
	for setting, refused := range valueCases {
		why, here := onlyHere[setting]
		_, err := x.read(t, minimal+setting)
		if (err != nil) != (refused && !here) {
			t.Errorf("%q: refused here: %t %s, xl says %v", setting, refused, why, err)
		}
	}
}

// TestXLText hands xl every character in a string: what is rendered cannot end early and begin something else.
func TestXLText(t *testing.T) {
	x := findXL(t)
	var text strings.Builder
	for c := rune(1); c < 0x180; c++ {
		text.WriteRune(c)
	}
	text.WriteString(`\" ; kernel = "/other" #`)
	config := Config{Settings: []Setting{{"cmdline", Value{Kind: String, Text: text.String()}}}}
	got, err := x.read(t, minimal+string(config.Render()))
	if err != nil || got.Build.Cmdline != text.String() || got.Build.Kernel != "/vmlinuz" {
		t.Errorf("xl reads %q of %q, %v", got.Build.Cmdline, text.String(), err)
	}
}

// TestXLResolve has xl read whole configurations as it gets them.
func TestXLResolve(t *testing.T) {
	x := findXL(t)
	files, err := filepath.Glob("testdata/resolve/*.cfg")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "tty1/tty1.cfg", "tty2/tty2.cfg") {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		guest := guestWith(t, string(source))
		domain, err := guest.Resolve(machine(guest))
		if err != nil {
			t.Fatal(err)
		}
		config, err := x.read(t, string(domain.Bytes()))
		if err != nil {
			t.Errorf("%s: xl says %v", file, err)
			continue
		}
		kernel, _, _ := domain.Complete.Text("kernel")
		ramdisk, _, _ := domain.Complete.Text("ramdisk")
		var macs []string
		for _, nic := range config.Nics {
			macs = append(macs, nic["mac"].(string))
		}
		if config.Create.Name != guest.Name || config.Create.Type != string(domain.Type) ||
			config.Build.Kernel != kernel.Text || config.Build.Ramdisk != ramdisk.Text ||
			!slices.Equal(macs, domain.MACs) {
			t.Errorf("%s: xl reads %+v, want %+v", file, config, domain)
		}
		// Where the file says nothing xl leaves the default to libxl.
		if m := domain.Memory; m.Pos != (Pos{}) && (config.Build.Target != m.RAM || config.Build.Max != m.MaxRAM) {
			t.Errorf("%s: xl reads memory %d of %d, want %+v", file, config.Build.Target, config.Build.Max, m)
		}
	}
}

// TestXLAttach compares with xl how disks and network interfaces are read that are attached to a guest that runs: xl
// network-attach takes each parameter as an argument, where an element of vif has commas between them.
func TestXLAttach(t *testing.T) {
	x := findXL(t)
	d, m := resolved(t, "vif = [ '' ]\n")
	d, mac, err := d.WithVIF(m, "rate=10Mb/s,mtu=1400,ip=10.0.0.1 10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	d, vdev, err := d.WithDisk(m, "disk.img,raw,xvdb,r")
	if err != nil {
		t.Fatal(err)
	}
	created, err := x.read(t, string(d.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	disk, _ := d.DiskText(vdev)
	for _, test := range []struct {
		args []string
		want map[string]any
	}{
		{append([]string{"network-attach", "3"}, d.VIFWords(mac)...), created.Nics[1]},
		{[]string{"block-attach", "3", disk}, created.Disks[0]},
	} {
		args := append(slices.Clone(x.command[1:]), "-N")
		out, err := exec.Command(x.command[0], append(args, test.args...)...).Output()
		_, text, _ := bytes.Cut(out, []byte(": "))
		var got map[string]any
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: %v, %v, at the guest's creation %v", test.args, err, got, test.want)
		}
	}
}
