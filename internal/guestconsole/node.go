package guestconsole

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"github.com/zerodisc/zerodisc/internal/xenstore"
)

// home is a domain's directory. It belongs to dom0, and so does what is made in it: the domain can read it only
// (libxl_create.c, libxl__domain_make: roperm). The same holds for console and console/tty, of the domains whose
// console's backend is dom0 (libxl_device.c, libxl__device_generic_add: ro_frontend_perms).
func (l *line) home() string { return "/local/domain/" + strconv.Itoa(l.domid) + "/" }

// named is the key whose value `xl console` opens.
func (l *line) named() string { return l.home() + l.node }

// origins is the key that remembers the other side's terminal and ours, for after a crash: "ORIGIN OURS".
func (l *line) origins() string { return l.home() + "zerodisc/" + l.node }

// lookUp returns the terminal that xenstore names, and the other side's. They differ where an earlier process of ours,
// which has crashed, has put its own into the other's place.
func (l *line) lookUp(ctx context.Context) (named, origin string, err error) {
	named, err = l.hub.store.Read(ctx, l.named())
	if err != nil {
		return "", "", err
	}
	remembered, err := l.hub.store.Read(ctx, l.origins())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	if before, ours, _ := strings.Cut(remembered, " "); ours != "" && ours == named {
		return named, before, nil
	}
	return named, named, nil
}

// publish puts our terminal into the place of the one that xenstore names, unless that has changed meanwhile. It
// writes nothing for a domain that has gone: xenstored would make a directory for it.
func (l *line) publish(ctx context.Context, named, origin string) error {
	return l.hub.store.Transact(ctx, func(tx *xenstore.Tx) error {
		vm, err := tx.Read(ctx, l.home()+"vm")
		if err != nil {
			return err
		}
		now, err := tx.Read(ctx, l.named())
		if err != nil {
			return err
		}
		if vm != "/vm/"+l.uuid || now != named {
			return errGone
		}
		if err := tx.Write(ctx, l.origins(), origin+" "+l.outlet.path); err != nil {
			return err
		}
		return tx.Write(ctx, l.named(), l.outlet.path)
	})
}
