package vm

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// breakages are the lines by which an emulator gives away that it broke a machine. Nothing on the disc can cause one.
var breakages = []struct {
	line *regexp.Regexp
	what string
}{
	// Linux patches its own code: a breakpoint first, then the rest. QEMU's other processor can run the
	// breakpoint from its translation after Linux has taken it out again.
	{regexp.MustCompile(`Oops: int3: 0000`), "a processor ran a breakpoint that is no longer in the kernel's code"},
}

// brokeIt returns what the emulator broke in this machine, or "".
func (m *VM) brokeIt() string {
	if m.accel != qemu.TCG {
		return ""
	}
	if m.Crashed() {
		return "QEMU itself has crashed"
	}
	return breakage(m.Console)
}

func breakage(log *console.Log) string {
	for _, b := range breakages {
		if log.Matches(0, b.line) {
			return b.what
		}
	}
	return ""
}

// QEMU's emulation of SVM ends a guest in a triple fault now and then, and Xen shows the guest's registers. They give
// the emulator away: the instruction is Xen's own, where no guest gets, or the page that could not be read is the one
// of Linux' interrupt descriptors (CPU_ENTRY_AREA_RO_IDT in arch/x86/include/asm), which a guest's kernel maps once.
var (
	guestRegisters = regexp.MustCompile(`\(XEN\) RFLAGS: .*CONTEXT: hvm guest`)
	anyInstruction = regexp.MustCompile(`\(XEN\) RIP: `)
	xenInstruction = regexp.MustCompile(`\(XEN\) RIP: +e008:\[<ffff82d`)
	faultAddress   = regexp.MustCompile(`\(XEN\) cr3: .* cr2: `)
	descriptors    = regexp.MustCompile(`cr2: fffffe0000000[0-9a-f]{3}$`)
)

// emulatorEnded counts the guests that the emulation of SVM has ended.
func emulatorEnded(log *console.Log) int {
	ended, inXen, inGuest := 0, false, false
	for _, line := range log.Since(0) {
		switch {
		case anyInstruction.MatchString(line.Text):
			inXen, inGuest = xenInstruction.MatchString(line.Text), false
		case guestRegisters.MatchString(line.Text):
			inGuest = true
		case inGuest && faultAddress.MatchString(line.Text):
			if inXen || descriptors.MatchString(line.Text) {
				ended++
			}
			inGuest = false
		}
	}
	return ended
}

// kernelHangs says of awaitInit's error that dom0's kernel was started under emulation and came to nothing. A kernel
// that answers to SysRq is alive, and init is to blame.
func (m *VM) kernelHangs(err error) bool {
	if !errors.Is(err, console.ErrDeadline) || m.accel != qemu.TCG || !m.Console.Matches(0, dom0Entered) {
		return false
	}
	return !m.kernelAnswers()
}

// answerLimit is how long a living kernel takes, at most, to answer.
const answerLimit = 10 * time.Second

// kernelAnswers says whether dom0's kernel has said anything, or does so when asked by SysRq.
func (m *VM) kernelAnswers() bool {
	_ = m.Process.Type("\x0fh") // hvc's key for SysRq, and help
	ctx, cancel := m.Within(answerLimit)
	defer cancel()
	_, err := m.Console.WaitLine(ctx, 0, linuxLine)
	return err == nil
}

// dom0Entered is the first that dom0's kernel says (xen_start_kernel in Linux' arch/x86/xen).
var dom0Entered = regexp.MustCompile("about to get started")

// linuxLine is a message of a kernel that works.
var linuxLine = regexp.MustCompile(`\[ *\d+\.\d{6}\] `)

// processors makes Xen tell on the console what dom0's processors are at, and returns what QEMU knows
// of the real ones.
func (m *VM) processors() string {
	_ = m.Process.Type("\x01\x01\x01") // the keys of the console go to Xen now
	for _, key := range []string{"0", "q", "d"} {
		_ = m.Process.Type(key)
		time.Sleep(2 * time.Second)
	}
	registers, err := m.QMP("human-monitor-command", map[string]any{"command-line": "info registers -a"})
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(registers), `\r\n`, "\n")
}
