package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/guestdisk"
	"github.com/zerodisc/zerodisc/internal/imageserver"
	"github.com/zerodisc/zerodisc/internal/kmod"
	"github.com/zerodisc/zerodisc/internal/memory"
)

// newDisks returns what makes guests' disks.
func (s *system) newDisks(ledger *memory.Ledger, images *imageserver.Servers) *guestdisk.Manager {
	return guestdisk.New(guestdisk.Config{
		Kernel: guestdisk.Linux{}, Images: images,
		Load: loadModules, Ledger: ledger, Dir: boot.GuestDisksDir, Budgets: s.budgets, Direct: s.mayWrite,
		Tell: s.state.Tell, Log: s.log,
	})
}

// loadModules loads kernel modules by their names.
func loadModules(ctx context.Context, names ...string) error {
	host, err := kmod.ThisHost(boot.ModulesDir, boot.EarlyModules)
	if err != nil {
		return err
	}
	loader, err := host.Open(host.Roots[0])
	if err != nil {
		return err
	}
	return loader.LoadAll(ctx, names...)
}

// budgets is how much memory the changes to guests' disks may take.
func (s *system) budgets() guestdisk.Budgets {
	c := s.config()
	named := map[string]int64{}
	for name, guest := range c.Guests {
		if guest.Budget != 0 {
			named[name] = int64(guest.Budget)
		}
	}
	return guestdisk.NewBudgets(int64(c.Stores.Budget), named)
}

// mayWrite says whether guests may write to a target itself: it is a file on the state volume, or a block device that
// the configuration names.
func (s *system) mayWrite(target string) bool {
	if onState(target) {
		return true
	}
	same := func(name string) bool {
		return name != "" && strings.HasPrefix(name, "/dev/") && realPath(name) == realPath(target)
	}
	return slices.ContainsFunc(s.config().Stores.Write, same)
}

// realPath is a path without symbolic links, or the path itself where it leads nowhere.
func realPath(name string) string {
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		return resolved
	}
	return name
}
