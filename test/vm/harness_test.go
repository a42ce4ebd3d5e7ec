//go:build vm

package vm

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// talker is a boot sector that prints what follows it, up to a NUL, on the first serial port and
// halts: a machine for testing the harness, up in a second.
//
//	xor ax,ax; mov ds,ax; mov si,0x7c18
//	next: lodsb; test al,al; jz stop; mov dx,0x3f8; out dx,al; jmp next
//	stop: hlt; jmp stop; (3 bytes of padding)
const talker = "\x31\xc0\x8e\xd8\xbe\x18\x7c\xac\x84\xc0\x74\x06\xba\xf8\x03\xee\xeb\xf5\xf4\xeb\xfd\x00\x00\x00"

// talkerImage writes a stick whose boot sector says text.
func talkerImage(t *testing.T, text string) string {
	t.Helper()
	sector := make([]byte, 512)
	copy(sector, talker+text)
	copy(sector[510:], "\x55\xaa")
	image := filepath.Join(t.TempDir(), "talker.img")
	if err := os.WriteFile(image, sector, 0o644); err != nil {
		t.Fatal(err)
	}
	return image
}

// TestHarness runs the harness against a real QEMU, before the disc is booted with it.
func TestHarness(t *testing.T) {
	t.Parallel()
	image := talkerImage(t, "level=INFO msg=ready guests=2\r\n")
	m := Start(t, qemu.Machine{ISO: image, Medium: qemu.USB, MemoryMiB: 64, NICs: []qemu.NIC{{Net: qemu.NoServer}, {}}})
	m.Wait("msg=ready guests=2", soon)
	if _, err := m.Forward(t.Context(), m.nic, "10.0.2.16", 80); err != nil {
		t.Error(err)
	}
	screen := filepath.Join(t.TempDir(), "screen.png")
	if err := m.Screenshot(screen); err != nil {
		t.Error(err)
	} else if png, _ := os.ReadFile(screen); !strings.HasPrefix(string(png), "\x89PNG") {
		t.Errorf("%s is no PNG", screen)
	}
	if _, err := m.QMP("quit", nil); err != nil {
		t.Error(err)
	}
	m.WaitOff(soon)
}

// TestHarnessTellsHangs checks which machines hang in dom0's kernel.
func TestHarnessTellsHangs(t *testing.T) {
	t.Parallel()
	const entered = "(XEN) *** about to get started...\r\n"
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"silent kernel": {entered, true},
		"silent init":   {entered + "[    1.234567] sysrq: HELP : reboot\r\n", false},
		"not started":   {"Loading Xen ...\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := Start(t, qemu.Machine{ISO: talkerImage(t, test.text), Medium: qemu.USB, MemoryMiB: 64})
			if err := m.awaitInit(3 * time.Second); m.kernelHangs(err) != test.want {
				t.Errorf("%v, hangs is not %v", err, test.want)
			}
		})
	}
}

// TestHarnessSeesProcessors checks what the log gets of a kernel that hangs.
func TestHarnessSeesProcessors(t *testing.T) {
	t.Parallel()
	m := Start(t, qemu.Machine{ISO: talkerImage(t, ""), Medium: qemu.USB, MemoryMiB: 64})
	if state := m.processors(); !strings.Contains(state, "EIP=") && !strings.Contains(state, "RIP=") {
		t.Errorf("QEMU knows of no processor: %s", state)
	}
}

// TestHarnessBeginsAgain has the emulator break the first machine of a story, in a chapter and outside.
func TestHarnessBeginsAgain(t *testing.T) {
	list := filepath.Join(t.TempDir(), "broken.txt")
	write(t, list, "")
	t.Setenv(brokenFile, list)
	image := talkerImage(t, "level=INFO msg=init\r\n[ 1.0] Oops: int3: 0000 [#1]\r\n")
	broken := 0
	for _, inChapter := range []bool{false, true} {
		machines := 0
		Story(t, qemu.Machine{ISO: image, Medium: qemu.USB, MemoryMiB: 64}, func(m *VM) {
			if machines++; machines > 1 {
				return
			}
			m.WaitText("int3", soon)
			if inChapter {
				m.Run("chapter", func(m *VM) { m.Wait("msg=never", time.Second) })
			}
			m.Errorf("the story goes on in a broken machine")
		})
		broken++
		said, err := os.ReadFile(list)
		if err != nil || strings.Count(string(said), t.Name()+": ") != broken || machines != 2 {
			t.Errorf("%d machines, and the list is %q, %v", machines, said, err)
		}
	}
}

// TestHarnessSeesQEMUCrash kills QEMU as a fault of its own would, and as the harness does.
func TestHarnessSeesQEMUCrash(t *testing.T) {
	t.Parallel()
	for signal, want := range map[syscall.Signal]bool{syscall.SIGSEGV: true, syscall.SIGKILL: false} {
		m := Start(t, qemu.Machine{ISO: talkerImage(t, ""), Medium: qemu.USB, MemoryMiB: 64})
		if err := m.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_, err := m.Console.WaitEvent(t.Context(), 0, nil)
		if broke := m.brokeIt(); (broke != "") != want {
			t.Errorf("%v: %v, the emulator broke %q", signal, err, broke)
		}
	}
}

// TestHarnessFailsAtOnce checks that nobody waits for a machine that has given up.
func TestHarnessFailsAtOnce(t *testing.T) {
	t.Parallel()
	t.Run("panic", func(t *testing.T) {
		image := talkerImage(t, "(XEN) Panic on CPU 0:\r\n")
		m := Start(t, qemu.Machine{ISO: image, Medium: qemu.USB, MemoryMiB: 64})
		started := time.Now()
		_, err := m.Console.WaitEvent(t.Context(), 0, nil)
		if err == nil || !strings.Contains(err.Error(), "Panic on CPU 0") || time.Since(started) > soon {
			t.Errorf("after %v: %v", time.Since(started), err)
		}
	})
	t.Run("QEMU refuses", func(t *testing.T) {
		_, err := qemu.Launch(qemu.Machine{ISO: talkerImage(t, ""), NICs: []qemu.NIC{{Model: "nonsense"}}}, t.TempDir())
		if err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("a NIC that does not exist: %v", err)
		}
	})
}
