package udev

import (
	"io/fs"
	"path"
	"strings"
)

// maxAttribute bounds an attribute's value: sysfs gives at most a page.
const maxAttribute = 4096

// attributes reads the attributes of devices from sysfs, each once. Paths are those of devices, with a leading slash.
type attributes struct {
	sys    fs.FS
	values map[string]string
}

func newAttributes(sys fs.FS) *attributes {
	return &attributes{sys: sys, values: map[string]string{}}
}

// raw returns an attribute's bytes, "" where it cannot be read.
func (a *attributes) raw(device, name string) string {
	at := strings.TrimPrefix(path.Join(device, name), "/")
	text, ok := a.values[at]
	if !ok {
		data, err := fs.ReadFile(a.sys, at)
		if err == nil {
			text = string(data[:min(len(data), maxAttribute)])
		}
		a.values[at] = text
	}
	return text
}

// line returns an attribute's text with the spaces that a device may have padded it with.
func (a *attributes) line(device, name string) string {
	return strings.TrimRight(a.raw(device, name), "\n")
}

// get returns an attribute's text without the white space at its end.
func (a *attributes) get(device, name string) string {
	return strings.TrimRightFunc(a.raw(device, name), isSpace)
}

// list returns the names in a directory of sysfs, nil where there is none.
func (a *attributes) list(device, dir string) []string {
	entries, err := fs.ReadDir(a.sys, strings.TrimPrefix(path.Join(device, dir), "/"))
	if err != nil {
		return nil
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

// link returns the device that a link in sysfs leads to, "" where there is no such link.
func (a *attributes) link(device, name string) string {
	at := strings.TrimPrefix(path.Join(device, name), "/")
	target, err := fs.ReadLink(a.sys, at)
	if err != nil {
		return ""
	}
	return path.Join("/", path.Dir(at), target)
}

// subsystem returns the name of a device's subsystem.
func (a *attributes) subsystem(device string) string {
	if l := a.link(device, "subsystem"); l != "" {
		return path.Base(l)
	}
	return ""
}
