package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/remaster"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// Figures of hosts with many guests.
const (
	guestAdded   = "each guest of 50 to its address"
	listGuests   = "API lists 50 guests"
	listAgain    = "API lists 50 guests, on end"
	manyMemory   = "dom0 RAM in use, 50 guests"
	tenGuestsEnd = "shutdown with 10 guests"
)

// manyConfig is a guest besides the demo's, on a private bridge: dom0 itself gives addresses away there, and QEMU's
// DHCP server has but sixteen.
const manyConfig = `kernel = "dom0"
ramdisk = "/media/boot/guests/tty1/initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 96
vif = [ 'bridge=lan' ]
`

const manyNetwork = `network: {bridges: {lan: {private: {address: 10.11.0.1/24, range: 10.11.0.50-10.11.0.200}}}}
`

// manySettings keep a guest on a processor for longer than Xen does by itself: emulation is slow after each switch.
const manySettings = "xen-cmdline = sched_ratelimit_us=30000\ntimeout = 1\n"

// manyLimit is when a host with many guests counts as failed.
const manyLimit = 40 * time.Minute

// measureMany boots hosts with fifty and with ten guests, each once.
func measureMany(machine qemu.Machine) ([]Sample, error) {
	fifty, err := withGuests(machine, 50, 16<<10, measureFifty)
	if err != nil {
		return nil, err
	}
	ten, err := withGuests(machine, 10, 3<<10, measureEnd)
	return []Sample{fifty, ten}, err
}

// withGuests boots a host of so many MiB with so many guests, the demo's two among them, and measures it once all have
// addresses.
func withGuests(
	machine qemu.Machine, count, mib int, measure func(context.Context, Sample, *qemu.Process, []string) error,
) (Sample, error) {
	work, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	names := append([]string{}, guests...)
	for i := range count - len(guests) {
		names = append(names, fmt.Sprintf("many%02d", i))
	}
	if machine.ISO, err = makeManyDisc(machine.ISO, work, names[len(guests):]); err != nil {
		return nil, err
	}
	machine.MemoryMiB = mib
	ctx, cancel := context.WithTimeout(context.Background(), manyLimit)
	defer cancel()
	p, err := qemu.Launch(machine, dir)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	sample := Sample{}
	if err := measure(ctx, sample, p, names); err != nil {
		return nil, fmt.Errorf("%d guests: %w\n%s", count, err, p.Report())
	}
	return sample, nil
}

// makeManyDisc makes a disc of image with more guests, in the directory work.
func makeManyDisc(image, work string, names []string) (disc string, err error) {
	store := filepath.Join(work, "store")
	settings, network := filepath.Join(work, "settings.txt"), filepath.Join(work, "zerodisc.yaml")
	errs := []error{
		os.WriteFile(settings, []byte(manySettings), 0o644), os.WriteFile(network, []byte(manyNetwork), 0o644),
	}
	for _, name := range names {
		guest := filepath.Join(store, name)
		errs = append(errs, os.MkdirAll(guest, 0o755),
			os.WriteFile(filepath.Join(guest, name+".cfg"), []byte(manyConfig), 0o644))
	}
	program := filepath.Join(store, names[0], "apitime")
	errs = append(errs, command("go", "build", "-ldflags", "-s -w", "-o", program, "./test/bench/apitime"))
	if err := errors.Join(errs...); err != nil {
		return "", err
	}
	disc = filepath.Join(work, "many.iso")
	return disc, remaster.Add(context.Background(), remaster.AddOptions{
		In: image, Out: disc, Guests: []string{store}, Settings: settings, Config: network,
	})
}

// awaitGuests waits until all guests have addresses, and returns when the last one had its own.
func awaitGuests(ctx context.Context, p *qemu.Process, names []string) (last float64, err error) {
	for _, name := range names {
		at, err := reach(ctx, p, nil, console.Query{"msg": boot.MsgGuestAddress, "guest": name})
		if err != nil {
			return 0, fmt.Errorf("address of guest %s: %w", name, err)
		}
		last = max(last, at)
	}
	return last, nil
}

// apiTime is what the program apitime says.
var apiTime = regexp.MustCompile(`(?m)^APITIME (\d+) ([0-9.]+) ([0-9.]+)$`)

// measureFifty measures how long guests take from init's start to their addresses, and what dom0 needs for them.
func measureFifty(ctx context.Context, sample Sample, p *qemu.Process, names []string) error {
	began, err := reach(ctx, p, nil, console.Query{"msg": boot.MsgInit})
	if err != nil {
		return err
	}
	ended, err := awaitGuests(ctx, p, names)
	if err != nil {
		return err
	}
	sample[guestAdded] = (ended - began) / float64(len(names))
	// From now on as on a disc without manySettings.
	if _, err := p.Shell(ctx, "xl sched-credit2 -s -p Pool-0 -r 1000"); err != nil {
		return err
	}
	time.Sleep(idleAfter)
	said, err := p.Shell(ctx, "cp "+boot.MediaMount+"/"+boot.MediumGuests+"/"+names[len(guests)]+
		"/apitime /tmp && chmod 755 /tmp/apitime && /tmp/apitime; rm /tmp/apitime")
	if err != nil {
		return err
	}
	found := apiTime.FindStringSubmatch(said)
	if found == nil || found[1] != strconv.Itoa(len(names)) {
		return fmt.Errorf("apitime says %q", said)
	}
	for i, figure := range []string{listGuests, listAgain} {
		if sample[figure], err = strconv.ParseFloat(found[2+i], 64); err != nil {
			return err
		}
	}
	return addMemoryInUse(ctx, sample, manyMemory, p)
}

// measureEnd measures how long the machine takes from `poweroff` to its end.
func measureEnd(ctx context.Context, sample Sample, p *qemu.Process, names []string) error {
	if _, err := awaitGuests(ctx, p, names); err != nil {
		return err
	}
	if _, err := reach(ctx, p, nil, console.Query{"msg": boot.MsgReady}); err != nil {
		return err
	}
	if _, err := p.Shell(ctx, "true"); err != nil { // the shell listens
		return err
	}
	began := time.Now()
	if err := p.Enter("poweroff"); err != nil {
		return err
	}
	err := p.WaitOff(ctx)
	sample[tenGuestsEnd] = time.Since(began).Seconds()
	return err
}
