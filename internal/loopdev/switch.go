package loopdev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Switch gives all loop devices over files of the file system with that number (st_dev of stat(2)), which is or was
// mounted at old, the same files below dir. Whoever has them open goes on (LOOP_CHANGE_FD, loop(4)). They have to be
// for reading only, and the files of the same size: if one of them is not, none is switched.
func Switch(device uint64, old, dir string) (err error) {
	used, err := filepath.Glob("/sys/block/loop*/loop/backing_file") // only those in use have it
	if err != nil {
		return err
	}
	var errs []error
	var switches []loopSwitch
	defer func() {
		for _, s := range switches {
			s.close()
		}
	}()
	for _, name := range used {
		loop := filepath.Join("/dev", filepath.Base(filepath.Dir(filepath.Dir(name))))
		s, err := openSwitch(loop, name, device, old, dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", loop, err))
		}
		switches = append(switches, s)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, s := range switches {
		if s.file == nil {
			continue
		}
		err := unix.IoctlSetInt(int(s.loop.Fd()), loopChangeFD, int(s.file.Fd()))
		if err != nil && !Gone(err) {
			errs = append(errs, fmt.Errorf("%s: %w", s.loop.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// loopChangeFD is LOOP_CHANGE_FD of linux/loop.h.
const loopChangeFD = 0x4c06

// loopSwitch is a loop device and the file that it is to have, nil where it keeps the one that it has.
type loopSwitch struct{ loop, file *os.File }

func (s loopSwitch) close() {
	s.loop.Close() // closing none does nothing
	s.file.Close()
}

// openSwitch opens a loop device and finds the file that it is to have. It says so if the kernel would refuse that.
func openSwitch(loop, backing string, device uint64, old, dir string) (s loopSwitch, err error) {
	var info *unix.LoopInfo64
	if s.loop, err = os.Open(loop); err == nil {
		info, err = unix.IoctlLoopGetStatus64(int(s.loop.Fd()))
	}
	if Gone(err) || err == nil && info.Device != device {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	// What is no longer mounted is named from its own root.
	text, err := os.ReadFile(backing)
	if err != nil {
		return s, err
	}
	name := strings.TrimPrefix(strings.TrimSuffix(string(text), "\n"), strings.TrimSuffix(old, "/"))
	root, err := os.OpenRoot(dir)
	if err != nil {
		return s, err
	}
	defer root.Close()
	file, err := root.Open(strings.TrimPrefix(name, "/"))
	if err != nil {
		return s, err
	}
	s.file = file
	return s, mayHave(s.loop, info, file)
}

// mayHave says why a loop device may not have a file in place of its own.
func mayHave(loop *os.File, info *unix.LoopInfo64, file *os.File) error {
	if info.Flags&unix.LO_FLAGS_READ_ONLY == 0 {
		return errors.New("it is not read-only")
	}
	have, err := loop.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	size -= int64(info.Offset)
	if info.Sizelimit > 0 {
		size = min(size, int64(info.Sizelimit))
	}
	if size &^= imageSector - 1; size != have {
		return fmt.Errorf("%s has %d bytes, but %d are needed", file.Name(), size, have)
	}
	return nil
}
