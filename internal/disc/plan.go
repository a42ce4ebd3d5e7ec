package disc

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/grub"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/guestdir"
	"github.com/zerodisc/zerodisc/internal/iso9660"
	"github.com/zerodisc/zerodisc/internal/output"
	"github.com/zerodisc/zerodisc/internal/release"
	"github.com/zerodisc/zerodisc/internal/sourcedate"
)

// Command lines that every boot gets. Xen: the first serial line alone, since what it says is for people who look for
// a fault, and the screen as it is; dom0's memory is
// fixed, so that Xen does not give it all and a guest's start never waits for a balloon
// (docs/decisions.md has the figures). Linux: messages of errors and worse only, the boot report is ours.
const (
	xenCmdline = "console=com1 com1=115200,8n1 vga=current " +
		"dom0_mem=192M+12%,min:256M,max:1G dom0_max_vcpus=1-4 ucode=scan"
	cmdline = "console=tty0 console=hvc0 quiet loglevel=4 panic=30 swiotlb=8192 cryptomgr.notests"
)

// menuTimeout is how long the menu waits for a person before the demo starts.
const menuTimeout = 3 * time.Second

// plan is what the options ask for, read and checked.
type plan struct {
	image        output.File
	lock         output.File
	netboot      output.Dir
	release      output.Dir
	options      []option // of -with
	packages     []string // Debian's, of GRUB, the tools and the options' extras
	firmware     bool     // of the options: the initrd carries firmware
	settings     grub.Settings
	settingsText []byte
	config       []iso9660.File  // the zerodisc.yaml, if there is one
	guests       *guestdir.Taken // those of -guests
	date         time.Time       // of everything on the disc
	menu         grub.Menu       // its build id is known when everything else is
}

// plan checks everything that can be found wrong before anything is built.
func (b *builder) plan(ctx context.Context) (p plan, err error) {
	if err := b.checkPlaces(&p); err != nil {
		return p, err
	}
	if p.options, p.packages, err = b.chosen(); err != nil {
		return p, err
	}
	p.firmware = slices.Contains(b.With, firmware)
	p.settingsText = grub.SettingsTemplate()
	if b.Settings != "" {
		if p.settingsText, p.settings, err = grub.ReadSettings(b.Settings); err != nil {
			return p, err
		}
	}
	if b.Config != "" {
		text, err := config.ReadFile(b.Config)
		if err != nil {
			return p, err
		}
		p.config = []iso9660.File{{Path: boot.ConfigName, Content: iso9660.Bytes(text)}}
	}
	if p.guests, err = takeGuests(b.Guests); err != nil {
		return p, err
	}
	if p.date, err = b.date(ctx); err != nil {
		return p, err
	}
	p.menu = b.menu()
	for _, line := range p.guests.Summary() {
		b.progress.Note(line)
	}
	return p, p.checkBoot(b.Netboot != "")
}

// checkPlaces looks at every place that the build will write to.
func (b *builder) checkPlaces(p *plan) error {
	p.image = output.File{Flag: "-o", Name: b.Output, Image: true, Erase: b.Erase}
	p.lock = output.File{Flag: "-lock", Name: b.Lock}
	p.netboot = output.Dir{Flag: "-netboot", Name: b.Netboot, Kind: "netboot tree", Ours: inNetbootTree}
	p.release = release.Dir(b.Release)
	places := []output.Place{
		{Flag: "-o", Name: b.Output, Written: true},
		{Flag: "-lock", Name: b.Lock, Written: true},
		{Flag: "-netboot", Name: b.Netboot, Written: true, Whole: true},
		{Flag: "-release", Name: b.Release, Written: true, Whole: true},
		{Flag: "-config", Name: b.Settings}, {Flag: "-config", Name: b.Config},
		{Flag: "-cache", Name: b.CacheDir},
	}
	for _, dir := range b.Guests {
		places = append(places, output.Place{Flag: "-guests", Name: dir})
	}
	checks := []struct {
		name  string // "" where it was not asked for
		check func() error
	}{{"-o", p.image.Check}, {b.Lock, p.lock.Check}, {b.Netboot, p.netboot.Check}, {b.Release, p.release.Check}}
	for _, c := range checks {
		if c.name == "" {
			continue
		}
		if err := c.check(); err != nil {
			return err
		}
	}
	if err := output.Distinct(places...); err != nil {
		return err
	}
	return b.checkRelease(p.image)
}

// checkRelease wants what a release is made of.
func (b *builder) checkRelease(image output.File) error {
	switch {
	case b.Release == "":
	case b.Netboot == "" || b.Lock == "":
		return errors.New("-release: a release has the netboot tree and the lock file too; " +
			"name them with -netboot DIR and -lock FILE")
	case image.IsDisk():
		return fmt.Errorf("-release: a release has the image as a file; name one with -o in place of %s", image.Name)
	}
	return nil
}

// date is that of everything on the disc: the environment's or that of the last commit of the sources, so that
// a build says nothing of when it ran.
func (b *builder) date(ctx context.Context) (time.Time, error) {
	commit := sourcedate.Earliest // sources without history
	git := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct")
	git.Dir = b.source
	if out, err := git.Output(); err == nil {
		seconds, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("date of the last commit: %w", err)
		}
		commit = time.Unix(seconds, 0).UTC()
	}
	return sourcedate.Or(commit)
}

func (b *builder) menu() grub.Menu {
	return grub.Menu{
		Title:      "zerodisc " + boot.Version,
		XenCmdline: strings.TrimSpace(xenCmdline + " " + b.XenCmdline),
		Cmdline:    strings.TrimSpace(cmdline + " " + b.Cmdline),
		Timeout:    menuTimeout,
		Installer:  slices.Contains(b.With, debianInstaller),
	}
}

// checkBoot makes the menus once to find what GRUB or iPXE could not hand on, or the initrd not hold.
func (p plan) checkBoot(netboot bool) error {
	const anyID = "0123456789abcdef"
	p.menu.BuildID = anyID
	if _, err := p.menu.Config(); err != nil {
		return err
	}
	if !netboot {
		return nil
	}
	if _, err := p.ipxe(p.menu); err != nil {
		return err
	}
	return checkNetInitrd(p.guests.Files)
}
