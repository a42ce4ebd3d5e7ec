package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kdomanski/iso9660"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/remaster"
	"github.com/zerodisc/zerodisc/test/vm/console"
	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// readerConfig is a guest that reads one image in all ways: as it is, below its changes, and as qcow2. The last disk
// is the program that does it.
const readerConfig = `kernel = "dom0"
ramdisk = "initrd.img"
extra = "console=hvc0 zerodisc.guest quiet cryptomgr.notests"
memory = 256
disk = [ 'disk.img,raw,xvda,r', 'disk.img,raw,xvdb,rw', 'disk.qcow2,qcow2,xvdc,rw', 'packed.qcow2,qcow2,xvdd,r',
         'readrate,raw,xvde,r' ]
`

// readRates runs readrate in that guest.
const readRates = "dd if=/dev/xvde of=/tmp/readrate bs=65536 && chmod 755 /tmp/readrate && " +
	"/tmp/readrate plain=/dev/xvda raw-rw=/dev/xvdb qcow2-rw=/dev/xvdc compressed-qcow2=/dev/xvdd"

// The figures' names begin with these.
const (
	ratePrefix  = "reads beside plain, "
	stickListed = "stick to its guests listed"
)

// readerImageBytes is the size of the image that is read: more than what a disk or a server keeps of it at hand.
const readerImageBytes = 64 << 20

// sticks is how often a USB stick is plugged in.
const sticks = 5

// storageLimit is when the guest that reads counts as failed; it takes three minutes under TCG.
const storageLimit = 10 * time.Minute

// measureStorage boots a disc with the guest that reads, once, and plugs a stick in several times.
func measureStorage(machine qemu.Machine) ([]Sample, error) {
	work, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	stick := filepath.Join(work, "stick.img")
	if err := makeStick(stick); err != nil {
		return nil, err
	}
	if machine.ISO, err = makeReaderDisc(machine.ISO, work); err != nil {
		return nil, err
	}
	machine.MemoryMiB = 1536
	ctx, cancel := context.WithTimeout(context.Background(), storageLimit)
	defer cancel()
	p, err := qemu.Launch(machine, dir)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	rates, err := readInGuest(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, p.Report())
	}
	samples := []Sample{rates}
	if err := p.Plug("qemu-xhci", "usb", nil); err != nil {
		return nil, err
	}
	for i := range sticks {
		took, err := plugStick(ctx, p, stick, fmt.Sprintf("stick%d", i))
		if err != nil {
			return nil, fmt.Errorf("%w\n%s", err, p.Report())
		}
		samples = append(samples, Sample{stickListed: took.Seconds()})
	}
	return samples, nil
}

// makeReaderDisc makes a disc of image that has the guest that reads, in the directory work.
func makeReaderDisc(image, work string) (disc string, err error) {
	guest, settings := filepath.Join(work, "reader"), filepath.Join(work, "settings.txt")
	if err := os.Mkdir(guest, 0o755); err != nil {
		return "", err
	}
	raw := filepath.Join(guest, "disk.img")
	err = errors.Join(
		os.WriteFile(settings, []byte("cmdline = zerodisc.toram=no\ntimeout = 1\n"), 0o644),
		os.WriteFile(filepath.Join(guest, "reader.cfg"), []byte(readerConfig), 0o644),
		copyFromDisc(image, boot.MediumGuests+"/tty1/initrd.img", filepath.Join(guest, "initrd.img")),
		writeText(raw, readerImageBytes),
		command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(guest, "readrate"), "./test/bench/readrate"),
		command("qemu-img", "convert", "-O", "qcow2", raw, filepath.Join(guest, "disk.qcow2")),
		command("qemu-img", "convert", "-c", "-O", "qcow2", raw, filepath.Join(guest, "packed.qcow2")),
	)
	if err != nil {
		return "", err
	}
	disc = filepath.Join(work, "reader.iso")
	return disc, remaster.Add(context.Background(), remaster.AddOptions{
		In: image, Out: disc, Guests: []string{guest}, Settings: settings,
	})
}

// makeStick makes a FAT file system with a guest that does not start, as a stranger's stick has it.
func makeStick(file string) error {
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	config := filepath.Join(filepath.Dir(file), "other.cfg")
	return errors.Join(
		os.Truncate(file, 64<<20),
		os.WriteFile(config, []byte("kernel = \"dom0\"\n"), 0o644),
		command("mkfs.vfat", "-F", "32", "-n", "STICK", file),
		command("mmd", "-i", file, "::guests", "::guests/other"),
		command("mcopy", "-i", file, config, "::guests/other/other.cfg"),
	)
}

// copyFromDisc copies the file name of an ISO image.
func copyFromDisc(image, name, to string) error {
	in, err := os.Open(image)
	if err != nil {
		return err
	}
	defer in.Close()
	disc, err := iso9660.OpenImage(in)
	if err != nil {
		return fmt.Errorf("read %s: %w", image, err)
	}
	at, err := disc.RootDir()
	for _, part := range strings.Split(name, "/") {
		var children []*iso9660.File
		if err == nil {
			children, err = at.GetChildren()
		}
		i := slices.IndexFunc(children, func(f *iso9660.File) bool { return f.Name() == part })
		if err != nil || i < 0 {
			return fmt.Errorf("%s is not in %s: %w", name, image, err)
		}
		at = children[i]
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, at.Reader())
	return errors.Join(err, out.Close())
}

// writeText fills a file with lines that differ, so that a compressed image of it is smaller but no single cluster.
func writeText(name string, size int) error {
	text := make([]byte, 0, size+32)
	for i := 0; len(text) < size; i++ {
		text = fmt.Appendf(text, "line %d, %x\n", i, i*i*2654435761)
	}
	return os.WriteFile(name, text[:size], 0o644)
}

// command runs a program.
func command(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", qemu.Quote(cmd.Args), err, out)
	}
	return nil
}

var (
	rateLine  = regexp.MustCompile(`RATE (\S+) (\S+) ([0-9.]+)$`)
	ratesDone = regexp.MustCompile(`^RATES DONE`)
)

// readInGuest has the guest read, on a machine that does nothing else, and returns what it measured.
func readInGuest(ctx context.Context, p *qemu.Process) (Sample, error) {
	if _, err := reach(ctx, p, nil, console.Query{"msg": boot.MsgReady}); err != nil {
		return nil, err
	}
	if _, err := p.Shell(ctx, "xl destroy tty1; xl destroy tty2"); err != nil {
		return nil, err
	}
	start := p.Console.Mark()
	for _, line := range []string{"xl console reader", "", readRates} {
		if err := p.Enter(line); err != nil {
			return nil, err
		}
	}
	if _, err := p.Console.WaitLine(ctx, start, ratesDone); err != nil {
		return nil, fmt.Errorf("the guest that reads its disks: %w", err)
	}
	rates := Sample{}
	for _, line := range p.Console.Since(start) {
		if found := rateLine.FindStringSubmatch(line.Text); found != nil {
			rate, err := strconv.ParseFloat(found[3], 64)
			if err != nil {
				return nil, err
			}
			rates[ratePrefix+found[2]+" "+found[1]] = rate
		}
	}
	return rates, p.Type("\x1d")
}

// plugStick plugs the stick in and pulls it. It returns the time until its guests were listed.
func plugStick(ctx context.Context, p *qemu.Process, file, id string) (time.Duration, error) {
	mark := p.Console.Mark()
	_, err := p.QMP("blockdev-add", map[string]any{
		"driver": "raw", "node-name": "on-" + id, "read-only": true,
		"file": map[string]any{"driver": "file", "filename": file, "read-only": true},
	})
	if err != nil {
		return 0, err
	}
	plugged := time.Now()
	if err := p.Plug("usb-storage", id, map[string]any{"drive": "on-" + id}); err != nil {
		return 0, err
	}
	list := console.Query{"msg": boot.MsgStorage, "label": "STICK", "guests": "other"}
	if _, err := p.Console.WaitEvent(ctx, mark, list); err != nil {
		return 0, err
	}
	took := time.Since(plugged) // an event's own time may be that of the prompt before it
	if err := p.Unplug(id); err != nil {
		return 0, err
	}
	_, err = p.Console.WaitEvent(ctx, mark, console.Query{"msg": boot.MsgStorageGone})
	return took, err
}
