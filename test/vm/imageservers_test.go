//go:build vm

package vm

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// packed is what is in the images that a server serves, since they are compressed.
var packed = strings.Repeat("what was there before\n", 400000)[:8<<20]

// imageServers are the processes that serve guests' images, by their services.
func (m *VM) imageServers() map[string]string {
	servers := map[string]string{}
	list := regexp.MustCompile(`(?m)^(image-\S+) +running +(\d+) `)
	for _, line := range list.FindAllStringSubmatch(m.Shell("services"), -1) {
		servers[line[1]] = line[2]
	}
	return servers
}

// checkSealed checks the servers of a guest's images.
func (m *VM) checkSealed() {
	servers := m.imageServers()
	if len(servers) == 0 {
		m.Errorf("no image is served")
	}
	for _, pid := range servers {
		m.checkRights(pid, "0000000000200004", "2") // and CAP_DAC_READ_SEARCH, bit 2
	}
}

// checkImageServer kills the server of an image while its guest reads from it, and restarts it by order. The guest
// waits and reads on: not one read fails, and no other guest notices.
func (m *VM) checkImageServer(guest, vdev string) {
	service, before := "image-"+guest+"-"+vdev, xlStates(m.Shell("xl list"))
	m.Enter("xl console " + guest)
	m.Enter("")
	m.Enter(fmt.Sprintf("while shasum -a 256 /dev/%s | grep -q %x; do echo a round; "+
		"echo 3 > /proc/sys/vm/drop_caches; done; echo broken", vdev, sha256.Sum256([]byte(packed))))
	m.WaitText("^a round", soon)
	m.leaveConsole()
	m.killImageServer(service)
	m.untilRound(guest)
	m.order("services restart " + service)
	m.untilRound(guest)
	if said := m.Shell("services stop " + service); !strings.Contains(said, "a guest reads its disk through it") {
		m.Errorf("services stop: %s", said)
	}
	m.Enter("xl console " + guest)
	m.Type("\x03")
	m.leaveConsole()
	if after := xlStates(m.Shell("xl list")); !maps.Equal(before, after) {
		m.Errorf("guests are %v, and were %v", after, before)
	}
}

// killImageServer kills the server of an image and waits until it is named, and another process has taken its place.
func (m *VM) killImageServer(service string) {
	m.t.Helper()
	first := m.imageServers()[service]
	now := m.FromNow()
	m.Enter("kill -9 " + first) // what Shell prints would tear the line apart
	now.Wait(`msg=daemon name=`+service+` state=waiting`, soon)
	m.Until("another process serves "+service, soon, func() bool {
		pid := m.imageServers()[service]
		return pid != "" && pid != first
	})
}

// untilRound waits until a guest has read its image twice more: it had begun once already.
func (m *VM) untilRound(guest string) {
	m.t.Helper()
	rounds := func() int {
		n, _ := strconv.Atoi(m.Shell("guest logs -raw " + guest + " | grep -c '^a round'"))
		return n
	}
	before := rounds()
	m.Until("the guest has read its image", addressLimit, func() bool { return rounds() >= before+2 })
	if m.guestSaid(guest, "broken") {
		m.Errorf("the guest could not read its image, or read something else")
	}
}

// checkImageServerAfterCrash checks that the process that follows init's crash has taken the server over: it is the
// same, and another one takes its place when it dies.
func (m *VM) checkImageServerAfterCrash(service, before string) {
	if now := m.imageServers()[service]; now != before || now == "" {
		m.Errorf("%s was process %q and is %q", service, before, now)
	}
	m.killImageServer(service)
}
