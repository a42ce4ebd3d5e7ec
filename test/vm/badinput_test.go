//go:build vm && full

package vm

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// badDisc is a disc's configuration that is well-formed, for another machine: it has no such NIC, and the address is
// that of QEMU's name server.
const badDisc = `network:
  bridges:
    far: {nic: eth9}
    dmz: {nic: eth1, ipv4: {addresses: [10.0.2.3/32]}}
`

// TestBadInput boots with a labelled volume whose configuration is no YAML, a URL that answers HTML, a hash of a kind
// that is not supported, a NIC that is not there, and an address that another host has. Each is named, and the host
// runs.
func TestBadInput(t *testing.T) {
	t.Parallel()
	settings := fmt.Sprintf("cmdline = zerodisc.config=http://10.0.2.2:%d/ zerodisc.password=$1$abc$def\ntimeout = 1\n",
		servePage(t, "<!doctype html>\n<html><title>Log in</title><form>to use this network</form></html>\n"))
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, boot.ConfigName), []byte("hostname: [a\n\tb: }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	volume := makeFileSystem(t, root,
		`mkfs.vfat -F 32 -n `+boot.ConfigFATLabel+` $FILE >/dev/null && mcopy -i $FILE $DIR/* ::`)
	machine := qemu.Machine{
		ISO: configuredDisc(t, settings, badDisc), Disks: []qemu.Disk{{File: volume}}, NICs: []qemu.NIC{{}, {}},
	}
	Story(t, machine, func(m *VM) {
		m.Wait(`msg=ready guests=2`, bootLimit)
		for _, named := range []string{
			`level=ERROR msg=config source="/dev/vda: zerodisc.yaml" line=2 column=1`,
			`level=ERROR msg=config source="?http://10.0.2.2.* err=`,
			`level=ERROR msg="kernel parameter" key=zerodisc.password err=".*its kind is not supported`,
			`level=WARN msg=network interface=dmz state=conflict nic=eth1 address=10.0.2.3/32`,
			`level=WARN msg="no network card" interface=far err="eth9 has not appeared yet`,
		} {
			m.WaitText(named, addressLimit)
		}
		m.Once(`msg="kernel parameter" key=zerodisc.password`)
		m.checkPages(m.waitAddresses())
		m.Until("the SSH server answers", soon, m.sshAnswers)
	})
}

// servePage serves a page to whoever asks for anything.
func servePage(t *testing.T, text string) int {
	t.Helper()
	return serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, text)
	}))
}
