package main

import (
	"os"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/keyboard"
	"github.com/zerodisc/zerodisc/internal/keymap"
)

// screenDevice is the terminal by which a layout is loaded for all of them.
const screenDevice = "/dev/tty0"

// setKeyboard loads the keyboard layout that the configuration asks for, if there is one that is not loaded yet.
func (s *system) setKeyboard() {
	name := keymap.Layout(s.config().Keyboard)
	if name == "" || name == s.conf.layout || !fileExists(screenDevice) {
		return
	}
	if err := loadKeyboard(name); err != nil {
		s.log.Warn(boot.MsgConfig, "key", "keyboard", "err", err, "remedy", "the layout is us")
		return
	}
	s.conf.layout = name
}

func loadKeyboard(name string) error {
	file, err := os.ReadFile(boot.Keymaps)
	if err != nil {
		return err
	}
	layout, err := keymap.Find(file, name)
	if err != nil {
		return err
	}
	return keyboard.Load(layout, screenDevice)
}
