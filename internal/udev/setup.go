package udev

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Queue returns the function that shows in Config.Run whether there is work: the file "queue" is there meanwhile, which
// `udevadm settle` and libudev look for.
func Queue(run string, problem func(error)) func(busy bool) {
	name := filepath.Join(run, "queue")
	return func(busy bool) {
		var err error
		if busy {
			err = errors.Join(os.MkdirAll(run, 0o755), os.WriteFile(name, nil, 0o444))
		} else {
			err = os.Remove(name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problem(err)
		}
	}
}

// PollDrives has the kernel ask drives every two seconds whether there is another disc in them, as udev's rules do
// (60-block.rules). Nobody would hear of one otherwise.
func PollDrives(sys string) error {
	return os.WriteFile(filepath.Join(sys, "module/block/parameters/events_dfl_poll_msecs"), []byte("2000"), 0)
}
