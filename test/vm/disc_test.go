//go:build vm

package vm

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/docs"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// TestBIOSDisc is the demo: a disc in a BIOS machine of the old kind, and everything that a person would try there.
func TestBIOSDisc(t *testing.T) {
	t.Parallel()
	Story(t, qemu.Machine{Firmware: qemu.BIOS, Medium: qemu.IDE}, func(m *VM) {
		addresses := m.waitGuests()
		m.Run("each line once", (*VM).checkOneLineEach)
		m.Run("ssh", (*VM).checkSSH)
		m.Run("pages", func(m *VM) { m.checkPages(addresses) })
		m.Run("PV guests", func(m *VM) { m.checkType("pv") })
		m.Run("xl list", func(m *VM) { m.checkListed(guests...) })
		m.Run("medium read-only", (*VM).checkMedium)
		m.Run("script", (*VM).checkScript)
		m.Run("guest console", func(m *VM) { m.checkGuestConsole(addresses[0]) })
		m.Run("board", func(m *VM) { m.checkBoard(addresses) })
		m.Run("xenconsoled killed", (*VM).checkXenconsoled)
		m.Run("screens", (*VM).checkScreens)
		m.Run("services", (*VM).checkServices)
		m.Run("other commands", (*VM).checkDocumented)
		m.Run("logs", (*VM).checkLogs)
		m.Run("report", (*VM).checkReport)
		m.Run("init crashes", (*VM).checkCrash)
		m.Run("faults", func(m *VM) { m.checkFaults(addresses, quickFaults) })
		m.Run("guest by hand", (*VM).checkByHand)
		m.Run("power off with guests", func(m *VM) { m.checkPowerOff(typePowerOff, guests...) })
	})
}

// checkScript has the shell run a script.
func (m *VM) checkScript() {
	if got := m.Shell(`echo 'echo $((6*7))' > /tmp/script; sh /tmp/script`); got != "42" {
		m.Errorf("sh ran a script to %q, want 42", got)
	}
}

// consoleLimit is how long it takes, at most, to get into a guest's console or out of it.
const consoleLimit = 2 * time.Minute

// checkGuestConsole goes to the first guest's console, talks to its shell and comes back. What is typed while
// xenconsole takes the terminal over, or gives it back, is torn apart: it is typed again.
func (m *VM) checkGuestConsole(address string) {
	guest := guests[0]
	m.FromNow().Enter(docs.Of(m.t, "console")[0].Text + " " + guest)
	m.WaitText(regexp.QuoteMeta(address), soon) // the banner
	m.FromNow().Until("the guest's shell says its name", consoleLimit, func() bool {
		m.Enter("hostname")
		return m.Said(`^(\$ )*` + guest + `\s*$`) // the prompt may come first
	})
	m.leaveConsole()
	m.checkListed(guests...)
}

// leaveConsole goes back to dom0's shell from a guest's console. Only dom0 has the API's socket: a guest's shell that
// is slow may answer anything.
func (m *VM) leaveConsole() {
	pause := time.Second
	m.Until("dom0's shell is back", consoleLimit, func() bool {
		time.Sleep(pause) // Ctrl-] leaves, but only where xenconsole reads it by itself
		m.Type("\x1d")
		time.Sleep(pause)
		pause *= 2
		m.ForgetShell()
		ctx, cancel := m.Within(10 * pause)
		defer cancel()
		answer, err := m.Process.Shell(ctx, "test -e "+boot.APISocket+" && echo dom0")
		return err == nil && answer == "dom0"
	})
}

// guestSaid says whether a guest has said something on its console, at the beginning of a line.
func (m *VM) guestSaid(guest, text string) bool {
	count, err := strconv.Atoi(m.Shell("guest logs -raw " + guest + " | grep -c '^" + text + "'"))
	return err == nil && count > 0
}

// checkByHand destroys the second guest and creates it again with xl.
func (m *VM) checkByHand() {
	guest := guests[1]
	m.FromNow().Shell("xl destroy " + guest)
	m.Wait(`msg="guest stopped" guest=`+guest, soon)
	m.FromNow().Shell("xl create " + boot.GuestRunDir + "/" + guest + ".cfg")
	m.Wait(`msg="guest running" guest=`+guest, soon)
	address := m.Wait(`msg="guest address" guest=`+guest, addressLimit).Get("address")
	running := regexp.MustCompile(guest + ` +running +` + regexp.QuoteMeta(address))
	if report := m.Shell("status"); !running.MatchString(report) {
		m.Errorf("the report does not show %s as running at %s:\n%s", guest, address, report)
	}
}

// checkXenconsoled kills the console daemon and checks that another one takes its place.
func (m *VM) checkXenconsoled() {
	before := m.Shell("pidof xenconsoled")
	m.Shell("kill -9 " + before)
	m.Until("another xenconsoled runs", soon, func() bool {
		after := m.Shell("pidof xenconsoled")
		return regexp.MustCompile(`^\d+$`).MatchString(after) && after != before
	})
}

// checkScreens looks at screens, which the kernel shows as /dev/vcsN, and types on the first guest's, which works
// through the xenconsoled that took another's place. The second guest's has its first words on it; what was typed at
// the first one may have moved those off the screen.
func (m *VM) checkScreens() {
	m.untilScreen("[23]", "This is "+guests[1])
	m.untilScreen("5", "no guest")
	m.untilScreen("12", "msg=")
	m.showScreen(2)
	for _, key := range []string{"u", "n", "a", "m", "e", "ret"} {
		m.press(key)
	}
	m.untilScreen("2", "uname +Linux")
	m.showScreen(1)
}

// untilScreen waits until one of some screens shows text, which is a regular expression. What looks like a line of
// init's own would not come back from Shell.
func (m *VM) untilScreen(numbers, text string) {
	look := fmt.Sprintf("cat /dev/vcs%s | grep -q '%s' && echo seen", numbers, text)
	defer func() {
		if m.t.Failed() {
			m.t.Logf("screen %s: %s", numbers, m.Shell(fmt.Sprintf(`echo "shows $(cat /dev/vcs%s)"`, numbers)))
		}
	}()
	m.Until(fmt.Sprintf("screen %s shows %q", numbers, text), addressLimit, func() bool {
		return m.Shell(look) == "seen"
	})
}

// TestUEFIDisc boots a disc under UEFI, does by hand what a person may do to guests, and ends it with the power
// button.
func TestUEFIDisc(t *testing.T) {
	t.Parallel()
	Story(t, qemu.Machine{Firmware: qemu.UEFI, Medium: qemu.CD}, func(m *VM) {
		addresses := m.waitGuests()
		m.Run("pages", func(m *VM) { m.checkPages(addresses) })
		m.Run("board says how to log in", func(m *VM) {
			m.untilScreen("1", `Address +[0-9a-f]+[.:].*Log in +ssh root@.*password for one login: [0-9a-z]+-`)
			m.untilScreen("1", guests[0]+` +running.*`+guests[1]+` +running`)
		})
		m.Run("status agrees with xl", (*VM).checkAgree)
		m.Run("disks by xl", (*VM).checkDisksByXL)
		m.Run("guest orders", (*VM).checkOrders)
		m.Run("power button", func(m *VM) { m.checkPowerOff(pressPowerButton, guests[0]) })
	})
}

// TestSmallHost boots a stick, which has got a partition of its owner since, in the smallest BIOS machine that runs
// both guests, and reboots it from the keyboard.
func TestSmallHost(t *testing.T) {
	t.Parallel()
	stick := withLaterPartition(t, Image())
	Story(t, qemu.Machine{ISO: stick, Firmware: qemu.BIOS, Medium: qemu.USB, MemoryMiB: 384}, func(m *VM) {
		m.waitGuests()
		m.Run("Ctrl-Alt-Del", (*VM).checkCtrlAltDel)
	})
}

// checkCtrlAltDel reboots from the keyboard; the menu then starts the default by itself.
func (m *VM) checkCtrlAltDel() {
	m.FromNow()
	for range 3 { // as a keyboard repeats it that is held down
		if err := m.Press("ctrl", "alt", "delete"); err != nil {
			m.fail("press Ctrl-Alt-Del", err)
		}
	}
	for _, guest := range guests {
		if forced := m.Wait(`msg="guest stopped" guest=`+guest, stopLimit).Get("forced"); forced != "false" {
			m.Errorf("guest %s stopped with forced=%s", guest, forced)
		}
	}
	m.WaitText(`GRUB`, stopLimit)
	m.WaitText(`Starting Xen`, bootLimit)
}
