package media

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zerodisc/zerodisc/internal/blkid"
	"github.com/zerodisc/zerodisc/internal/readonly"
)

var errUnknown = errors.New("no file system that is known")

// fileSystem says what a device holds and how that is mounted.
func fileSystem(device string) (kind string, how readonly.Mount, err error) {
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", how, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return "", how, err
	}
	content, err := blkid.Identify(blkid.Device{ReaderAt: f, Size: size, Optical: isOptical(device)})
	how, mountable := readonly.Of(content.Type)
	switch {
	case content.Type == "" && err != nil:
		return "", how, fmt.Errorf("what it holds: %w", err)
	case content.Type == "":
		return "", how, errUnknown
	case content.Usage == blkid.Crypto:
		return "", how, fmt.Errorf("%s, encrypted, not searched", content.Type)
	case !mountable:
		return "", how, fmt.Errorf("%s, not searched", content.Type)
	}
	return content.Type, how, nil
}

// isOptical says whether a device is a disc in a drive.
func isOptical(device string) bool { return strings.HasPrefix(filepath.Base(device), "sr") }
