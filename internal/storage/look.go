package storage

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/guests"
	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/host"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

// found is what was found on a device.
type found struct {
	host.Volume
	card   string // as Kernel.Card says
	guests []*guests.Guest
	faults []*guests.Error
	unread *guests.Error // why a directory for guests cannot be read, or not all of it
	bytes  int64         // of the configurations
	parked bool          // there is a file system, and it is not its turn yet
}

// isOther says whether a device holds another volume than the one that is known, or none. It may be the same one if the
// device cannot be read.
func (m *Manager) isOther(known found) bool {
	if known.card != "" {
		return m.Kernel.Card(known.Device) != known.card
	}
	content, err := m.Kernel.Identify(known.Device)
	return err == nil &&
		(content.Type != known.Type || content.Label != known.Label || content.UUID != known.UUID)
}

var errNoDriver = errors.New("this disc has no driver for it")

// find looks at a device: what it holds, and which guests.
func (m *Manager) find(v host.Volume) found {
	content, err := m.Kernel.Identify(v.Device)
	v.Problem = problems(content)
	if err != nil && content.Type == "" {
		v.Problem = "it cannot be read: " + err.Error()
	}
	if content.Type == "" && v.Problem == "" || m.Skip(v.Device, content) ||
		content.Label == boot.StateLabel { // package statevolume has that
		return found{Volume: host.Volume{Device: v.Device}}
	}
	v.Type, v.Label, v.UUID = content.Type, content.Label, content.UUID
	how, mountable := readonly.Of(content.Type)
	if !mountable {
		return found{Volume: v}
	}
	if !m.isTurn() {
		return found{Volume: v, parked: true}
	}
	v.Trusted = IsTrusted(content.Label)
	if v.Mount, err = m.mount(v.Device, content, how); err != nil {
		v.Problem = join(v.Problem, err.Error())
		return found{Volume: v}
	}
	f := scan(v.Mount, v.Trusted)
	if f.unread != nil {
		v.Problem = join(v.Problem, f.unread.File+": "+f.unread.Problem)
	}
	f.Volume = v
	for _, g := range f.guests {
		f.Guests = append(f.Guests, g.Name)
	}
	return f
}

// problems says what is wrong with a device by what it holds.
func problems(content blkid.Content) string {
	var list []string
	if len(content.Table.Faults) > 0 {
		list = append(list, "partition table: "+strings.Join(content.Table.Faults, ", "))
	}
	if content.Lacks > 0 {
		list = append(list, fmt.Sprintf("it is cut short: of the %s of its file system %s are missing",
			bytesize.Text(content.Bytes), bytesize.Text(content.Lacks)))
	}
	return strings.Join(list, "; ")
}

// join is two problems as one, either of which may be none.
func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// IsTrusted says whether a label vouches for a volume's guests. The configuration has a label of the same kind and is
// no store.
func IsTrusted(label string) bool {
	return strings.HasPrefix(label, labelPrefix) && label != labelPrefix+"CONFIG"
}

// mount mounts a file system in a directory of its own.
func (m *Manager) mount(device string, content blkid.Content, how readonly.Mount) (dir string, err error) {
	for _, name := range names(device, content) {
		dir = filepath.Join(m.Dir, name)
		made, err := makeDir(dir)
		if err != nil {
			return "", err
		}
		if !made {
			continue // another volume has it
		}
		if err := m.Kernel.Mount(device, dir, how); err != nil {
			return "", errors.Join(mountProblem(err), removeDir(dir))
		}
		return dir, nil
	}
	return "", fmt.Errorf("there is no name left for it in %s", m.Dir)
}

func mountProblem(err error) error {
	if errors.Is(err, errNoDriver) {
		return fmt.Errorf("mount it: %w", err)
	}
	return fmt.Errorf("%w; the file system is damaged, or of a kind that this kernel does not know: see dmesg", err)
}
