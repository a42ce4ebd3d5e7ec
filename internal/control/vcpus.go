package control

import (
	"context"
	"fmt"

	"github.com/zerodisc/zerodisc/internal/host"
)

// SetVCPUs changes how many virtual CPUs a guest uses, up to its maxvcpus, and waits until it does. It is made with as
// many from then on.
func (c *Controller) SetVCPUs(ctx context.Context, name string, count int) error {
	if count < 1 {
		return fmt.Errorf("guest %q: it needs 1 vCPU at least, and not %d", name, count)
	}
	return c.change(ctx, name, "set vcpus",
		func(ctx context.Context, l *life, domid int) error {
			if most := l.spec.Memory.VCPUs; int64(count) > most {
				return tooManyVCPUs(count, most)
			}
			if err := c.setVCPUs(ctx, domid, count); err != nil {
				return err
			}
			l.settle(l.spec.WithVCPUs(count))
			return nil
		},
		func(ctx context.Context, g *host.Guest) error {
			most, err := c.Xen.MaxVCPUs(ctx, g.Domid)
			if err != nil {
				return err
			}
			if 0 < most && most < count {
				return tooManyVCPUs(count, int64(most))
			}
			return c.setVCPUs(ctx, g.Domid, count)
		})
}

func tooManyVCPUs(count int, most int64) error {
	return fmt.Errorf("%d vCPUs are more than the %d that it may have (maxvcpus); "+
		"write maxvcpus = %d in its configuration, and start it anew", count, most, count)
}

func (c *Controller) setVCPUs(ctx context.Context, domid, count int) error {
	if err := c.look(ctx, 0); err != nil {
		return err
	}
	before := 0
	if g := (identity{domid: domid}).in(c.State.Snapshot()); g != nil {
		before = g.VCPUs
	}
	if err := c.Xen.SetVCPUs(ctx, domid, count); err != nil {
		return err
	}
	err := c.watch(ctx, domid, func(g *host.Guest) error {
		if g.VCPUs == count {
			return nil
		}
		return fmt.Errorf("it uses %d vCPUs in place of %d: the system in it does not switch processors on and off; "+
			"see docs/operations.md", g.VCPUs, count)
	})
	if err != nil && before > 0 {
		if back := c.Xen.SetVCPUs(ctx, domid, before); back != nil {
			c.Log.Debug("set vcpus", "domid", domid, "err", back)
		}
	}
	return err
}
