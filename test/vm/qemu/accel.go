package qemu

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Accel is how the machine's instructions are run.
type Accel string

// The accelerators.
const (
	TCG Accel = "tcg" // translated, works everywhere
	KVM Accel = "kvm" // by the host's processor
)

// The translation cache has to hold Xen, dom0 and the guests, each of which has its kernel at another place: with
// 12 MiB everything after Xen takes twice as long, and a machine of 1 GB with 128 a third longer than with 256.
const (
	minCacheMiB = 128
	cacheShare  = 4 // of the machine's memory: a machine that has more runs more guests
)

// args returns the QEMU arguments for the accelerator of a machine with that much memory.
func (a Accel) args(memoryMiB int) []string {
	if a == KVM {
		return []string{"-accel", "kvm"}
	}
	return []string{"-accel", fmt.Sprintf("tcg,thread=multi,tb-size=%d", max(minCacheMiB, memoryMiB/cacheShare))}
}

// ParseAccel turns "auto", "tcg" or "kvm" (or "", which is auto) into an accelerator; auto is KVM
// where a probe with the emulator shows that it works.
func ParseAccel(name string, e Emulator) (Accel, error) {
	switch name {
	case "", "auto":
		return e.probe(), nil
	case string(TCG), string(KVM):
		return Accel(name), nil
	}
	return "", fmt.Errorf("accelerator %q: want auto, tcg or kvm", name)
}

// The probe compares KVM with TCG on the same busy machine, because no fixed time tells a good
// KVM from one whose every exit is emulated (nested, without hardware help): measured, the
// firmware of the probe takes such a one 4 to 15 s and TCG 0.4 to 1.2 s. One that works is faster
// than TCG; twice its time leaves room for chance.
const (
	probeLimit = 20 * time.Second // for TCG
	probeRatio = 2
)

// probe finds out which accelerator works here.
func (e Emulator) probe() Accel {
	if !canOpen("/dev/kvm") {
		return TCG
	}
	translated, ok := e.firmwareTime(TCG, probeLimit)
	if !ok {
		return TCG
	}
	if _, ok := e.firmwareTime(KVM, probeRatio*translated); !ok {
		return TCG
	}
	return KVM
}

func canOpen(device string) bool {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// firmwareTime boots SeaBIOS in a machine without any medium and returns how long it takes to
// find that there is none, and false when that is more than limit.
func (e Emulator) firmwareTime(accel Accel, limit time.Duration) (time.Duration, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := e.Command(ctx, append(accel.args(0),
		"-nodefaults", "-no-user-config", "-m", "64", "-display", "none",
		"-chardev", "stdio,id=log", "-device", "isa-debugcon,iobase=0x402,chardev=log")...)
	out, err := cmd.StdoutPipe()
	start := time.Now()
	if err != nil || cmd.Start() != nil {
		return 0, false
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	ok := contains(out, "No bootable device")
	return time.Since(start), ok
}

// contains reads lines until one has text in it.
func contains(r io.Reader, text string) bool {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if strings.Contains(lines.Text(), text) {
			return true
		}
	}
	return false
}
