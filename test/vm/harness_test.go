//go:build vm

package vm

import (
	"os"
	"path/filepath"
	"strings"
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

// TestHarnessTellsHangs checks which machines get a second chance.
func TestHarnessTellsHangs(t *testing.T) {
	for text, want := range map[string]bool{dom0Entered + "...\r\n": true, "Loading Xen ...\r\n": false} {
		m := Start(t, qemu.Machine{ISO: talkerImage(t, text), Medium: qemu.USB, MemoryMiB: 64})
		if err := m.awaitInit(3 * time.Second); m.kernelHangs(err) != want {
			t.Errorf("%q: %v, hangs is not %v", text, err, want)
		}
		if state := m.processors(); !strings.Contains(state, "EIP=") && !strings.Contains(state, "RIP=") {
			t.Errorf("QEMU tells of no processor: %s", state)
		}
		m.Close()
	}
}

// TestHarnessFailsAtOnce checks that nobody waits for a machine that has given up.
func TestHarnessFailsAtOnce(t *testing.T) {
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
