package guests

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestUntrusted pins what a guest from a store that is not trusted may not do, and that a trusted one may.
func TestUntrusted(t *testing.T) {
	program := "/bin/sh"
	for _, test := range []struct{ source, want string }{
		{"bootloader='" + program + "'",
			"DIR/g.cfg:2:12: bootloader names a program that runs in dom0, or tells it what to do, " +
				"and the guest's store is not trusted; " +
				"remove it, or pin the list of the store, if you trust who wrote it, with zerodisc.guests-sha256"},
		{"disk=['phy:/dev/sda,xvda,w']",
			"DIR/g.cfg:2:7: disk xvda is outside of the guest's directory: /dev/sda, " +
				"and the guest's store is not trusted; put the file into the guest's directory, or pin"},
		{"disk=['phy:sda,xvda,w']", "disk xvda is outside of the guest's directory: /dev/sda"},
		{"disk=['/dev/sda,raw,xvda,r']", "disk xvda is outside of the guest's directory: /dev/sda"},
		{"disk=['../../../../dev/null,raw,xvda,r']", "disk xvda is outside of the guest's directory"},
		{"disk=['out.img,raw,xvda,r']", "disk xvda is outside of the guest's directory: ROOT/boot/vmlinuz-guest"},
		{"disk=['sub/up/boot/vmlinuz-guest,raw,xvda,r']",
			"disk xvda is outside of the guest's directory: ROOT/boot/vmlinuz-guest"},
		{"disk=['disk.img,raw,xvda,r,script=" + program + "']",
			"disk xvda: script=" + program + " reaches beyond the guest"},
		{"disk=['backend=web,vdev=xvda,target=x']", "disk xvda: backend=web reaches beyond the guest"},
		{"vif=['script=" + program + "']",
			"g.cfg:2:6: vif: script=" + program + " reaches beyond the guest, " +
				"and the guest's store is not trusted; remove it, or pin"},
		{"vif=['bridge=management']", "vif: bridge=management reaches beyond the guest"},
		{"vif=['backend=router']", "vif: backend=router reaches beyond the guest"},
		{"vif=['vifname=eth0']", "vif: vifname=eth0 reaches beyond the guest"},
		{"vif=['gatewaydev=eth0']", "vif: gatewaydev=eth0 reaches beyond the guest"},
		{"ramdisk='/bin/sh'", "ramdisk is outside of the guest's directory"},
		{"type='pv'; pci=['03:00.0']", "pci gives the guest a device of the host"},
		{"on_crash='coredump-restart'", `on_crash = "coredump-restart" writes the guest's memory into dom0's`},
		{"on_poweroff='coredump-destroy'", `on_poweroff = "coredump-destroy" writes`},
		{"nestedhvm=1", "nestedhvm switches on what Xen's developers give no security support for"},
		{"event_actions='x'", "event_actions is not a setting that this version knows"},
		{"seclabel='system_u:system_r:dom0_t'", "seclabel chooses what Xen's security policy allows the guest"},
		{"cpu_weight=65535", "cpu_weight takes processors or their time from dom0 and the other guests"},
		{"pool='Pool-0'", "pool takes processors"},
		{"cpus=0", "cpus takes processors"}, // that is the number of a CPU
	} {
		guest := guestWith(t, "kernel='vmlinuz'\n"+test.source)
		for link, to := range map[string]string{"out.img": "../boot/vmlinuz-guest", "sub/up": "../.."} {
			if err := os.Symlink(to, filepath.Join(guest.Dir, link)); err != nil {
				t.Fatal(err)
			}
		}
		host := machine(guest)
		if _, err := guest.Resolve(host); err != nil && strings.Contains(err.Error(), "not trusted") {
			t.Errorf("%s: refused of a trusted guest: %v", test.source, err)
		}
		guest.Trusted = false
		got := "nothing"
		if _, err := guest.Resolve(host); err != nil {
			got = strings.ReplaceAll(strings.ReplaceAll(err.Error(), guest.Dir, "DIR"), filepath.Dir(guest.Dir), "ROOT")
		}
		if !strings.Contains(got, test.want) || !strings.Contains(got, "not trusted") {
			t.Errorf("%s:\ngot  %s\nwant %s", test.source, got, test.want)
		}
	}
}

// TestUntrustedIsTheDefault: what nobody vouches for is not trusted.
func TestUntrustedIsTheDefault(t *testing.T) {
	guest, err := Load("tty1")
	if err != nil || guest.Trusted {
		t.Errorf("got %+v, %v", guest, err)
	}
	found, _ := Scan(".")
	if len(found) < 2 || slices.ContainsFunc(found, func(g *Guest) bool { return g.Trusted }) {
		t.Errorf("got %v", found)
	}
	if slices.ContainsFunc(Trust(found), func(g *Guest) bool { return !g.Trusted }) {
		t.Error("Trust does not mark all of them")
	}
}

// What an ordinary guest says works from anywhere.
func TestUntrustedOrdinary(t *testing.T) {
	for _, source := range []string{
		"kernel='dom0'; ramdisk='initrd.img'; extra='console=hvc0'; vif=['']; on_crash='restart'; cap=50",
		"kernel='vmlinuz'; disk=['file:disk.img,xvda,w','install.iso,,xvdb,cdrom','sub/../disk.img,raw,xvdc']; " +
			"root='/dev/xvda'",
		"kernel='./vmlinuz'; vif=['bridge=br7,ip=10.0.0.1,rate=1MB/s,model=e1000','bridge=,script=vif-bridge']",
		"kernel='vmlinuz'; vnc=0; sdl=0; nestedhvm='0'; pci=[]; vfb=[]; usbdev=[]",
	} {
		guest := guestWith(t, source)
		guest.Trusted = false
		if err := os.Symlink("initrd.img", filepath.Join(guest.Dir, "link")); err != nil {
			t.Fatal(err)
		}
		if _, err := guest.Resolve(machine(guest)); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// A store's directory of a guest that leads elsewhere is not the guest's.
func TestUntrustedLinkedDirectory(t *testing.T) {
	guest := guestWith(t, "kernel='vmlinuz'")
	link := filepath.Join(t.TempDir(), "g")
	if err := os.Symlink(guest.Dir, link); err != nil {
		t.Fatal(err)
	}
	linked, err := Load(link)
	if err != nil {
		t.Fatal(err)
	}
	_, err = linked.Resolve(machine(guest))
	if err == nil || !strings.Contains(err.Error(), "kernel is outside of the guest's directory") {
		t.Errorf("got %v", err)
	}
}

func TestReachingOrConfined(t *testing.T) {
	for _, name := range confined {
		if why, _ := reachOf(name); why != "" {
			t.Errorf("%s is refused and taken", name)
		}
	}
	for _, name := range pathSettings {
		if why, _ := reachOf(name); why == "" && !slices.Contains(confined, name) {
			t.Errorf("%s names a file and is nowhere", name)
		}
	}
}

// TestXLManual holds the two tables to the manual page of the xl that goes onto the disc: each of its settings was
// judged.
func TestXLManual(t *testing.T) {
	found, err := filepath.Glob("../build/cache/payload/merged/*/usr/share/man/man5/xl.cfg.5.gz")
	if err != nil || len(found) == 0 {
		t.Skip("there is no xl.cfg(5) in build/cache; build a disc first (make)")
	}
	file, err := os.Open(found[len(found)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	// Parameters inside a setting's value look alike.
	inside := regexp.MustCompile(`^((bios|system|baseboard|enclosure|battery)_.*|` +
		`oem|security_model|vdistances|pnode|size|tag|path|backend|version|ports|port|hostbus|hostaddr|` +
		`controller|connection|connectors|transport|grant_usage|strategy|policy|width|height)$`)
	items := regexp.MustCompile(`(?m)^\.IP "?\\fB([a-z0-9_\\]+)=`).FindAllStringSubmatch(string(page), -1)
	judged := 0
	for _, item := range items {
		name := strings.ReplaceAll(item[1], `\`, "")
		why, _ := reachOf(name)
		switch {
		case why != "" || slices.Contains(confined, name):
			judged++
		case !inside.MatchString(name):
			t.Errorf("xl.cfg(5) has %s, which is neither confined nor reaching", name)
		}
	}
	if judged < 100 {
		t.Errorf("%d settings found in the manual", judged)
	}
}
