//go:build vm

package vm

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/docs"
	"github.com/zerodisc/zerodisc/internal/api"
)

// checkDisksByXL gives guests disks with xl and takes them away again, with xl and with guest: both agree on which
// there are, and guest says which ones are xl's.
func (m *VM) checkDisksByXL() {
	guest, image := guests[0], "/tmp/byxl.img"
	create, attach, detach := docs.Of(m.t, "create")[0], docs.Of(m.t, "attach")[0], docs.Of(m.t, "detach")[0]
	m.order("dd if=/dev/zero of=" + image + " bs=1048576 count=8 2>/dev/null")
	m.order(attach.Text + " " + guest + " " + image + ",raw,xvdc,w")
	m.agreeDisks(guest, "xvdc "+image+" by xl")
	if said := m.Shell("guest disk save " + guest + " xvdc /tmp/copy.img"); !strings.Contains(said, "xl was given it") {
		m.Errorf("guest disk save: %s", said)
	}
	said := m.Shell("guest attach " + guest + " disk " + image + ",raw,xvdc,r")
	if !strings.Contains(said, "it has a disk xvdc already, by xl") {
		m.Errorf("guest attach: %s", said)
	}
	m.order("guest detach " + guest + " disk xvdc")
	m.agreeDisks(guest)
	m.order(attach.Text + " " + guest + " " + image + ",raw,xvdc,r")
	m.agreeDisks(guest, "xvdc "+image+" by xl")
	m.order(detach.Text + " " + guest + " xvdc")
	m.agreeDisks(guest)

	m.order("guest attach " + guest + " disk " + image + ",raw,xvdb,w")
	m.agreeDisks(guest, "xvdb "+image)
	m.order(detach.Text + " " + guest + " xvdb")
	m.agreeDisks(guest, "xvdb "+image+" detached")
	m.order("guest detach " + guest + " disk xvdb")
	m.agreeDisks(guest)

	m.order("xl network-attach " + guest + " mac=00:16:3e:00:77:01 bridge=" + boot.DefaultBridge)
	m.order("guest detach " + guest + " nic 00:16:3e:00:77:01")
	if list := m.Shell("xl network-list " + guest); strings.Contains(list, "77:01") {
		m.Errorf("a NIC of xl's stays: %s", list)
	}

	m.order("grep -v '^(uuid|vif|name)' " + boot.GuestRunDir + "/" + guests[1] + ".cfg > /tmp/hand.cfg")
	m.order(`echo 'name = "hand"' >> /tmp/hand.cfg; echo 'disk = [ "` + image + `,raw,xvda,r" ]' >> /tmp/hand.cfg`)
	m.order(create.Text + " -q /tmp/hand.cfg")
	m.agreeDisks("hand", "xvda "+image+" by xl")
	m.order("xl destroy hand")
}

// agreeDisks waits until guest show and xl block-list say that a guest has these disks. xl has none of those that are
// detached.
func (m *VM) agreeDisks(name string, want ...string) {
	m.t.Helper()
	var shown, listed []string
	defer func() {
		if m.t.Failed() {
			m.t.Logf("guest show has %q, xl block-list %q", shown, listed)
		}
	}()
	m.Until("guest show and xl block-list have "+strings.Join(want, ", "), soon, func() bool {
		var guest api.Guest
		if json.Unmarshal([]byte(m.Shell("guest show -o json "+name)), &guest) != nil {
			return false
		}
		shown, listed = nil, nil
		attached := 0
		for _, d := range guest.Disks {
			line := d.Vdev + " " + d.Target
			if d.ByXL {
				line += " by xl"
			}
			if d.Detached {
				line += " detached"
			} else {
				attached++
			}
			shown = append(shown, line)
		}
		listed = regexp.MustCompile(`(?m)^\d+ .*/backend/vbd/.*$`).FindAllString(m.Shell("xl block-list "+name), -1)
		return slices.Equal(shown, want) && len(listed) == attached
	})
}
