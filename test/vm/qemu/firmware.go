package qemu

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// ovmf are the names of OVMF's halves, code and variable store, that belong together: Debian 13
// has the 4M pair only, Debian 12 both.
var ovmf = [][2]string{
	{"OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"},
	{"OVMF_CODE.fd", "OVMF_VARS.fd"},
}

// findOVMF returns the first pair in dirs.
func findOVMF(dirs []string) (code, vars string, err error) {
	for _, dir := range dirs {
		for _, pair := range ovmf {
			code, vars = filepath.Join(dir, pair[0]), filepath.Join(dir, pair[1])
			if isFile(code) && isFile(vars) {
				return code, vars, nil
			}
		}
	}
	return "", "", fmt.Errorf("no UEFI firmware in %s: install the package ovmf", strings.Join(dirs, ", "))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// DiskSize is what a disk or USB stick has at least, in bytes; the image is shorter, so that the backup
// GPT is not at the end, as after dd.
const DiskSize = 256 << 20

// prepare makes, in dir, private copies of what the machine may write to.
func (m Machine) prepare(dir string) (files, error) {
	iso, err := filepath.Abs(m.ISO)
	if err != nil {
		return files{}, err
	}
	if m.BootFile != "" && !isFile(filepath.Join(iso, m.BootFile)) {
		return files{}, fmt.Errorf("no file %s in %s: build it with make netboot", m.BootFile, iso)
	}
	if !m.fromNetwork() && !isFile(iso) {
		return files{}, fmt.Errorf("no image %s: build it with make iso", iso)
	}
	f := files{medium: iso}
	if m.Medium != CD && m.Medium != IDE && !m.fromNetwork() {
		f.medium = filepath.Join(dir, "disk.img")
		if err := copyFile(f.medium, iso, DiskSize); err != nil {
			return f, err
		}
	}
	if m.Firmware == UEFI {
		code, vars, err := findOVMF(m.Emulator.ovmf)
		if err != nil {
			return f, err
		}
		f.code, f.vars = code, filepath.Join(dir, "vars.fd")
		return f, copyFile(f.vars, vars, 0)
	}
	return f, nil
}

// copyFile copies a file and extends the copy, sparsely, to size bytes.
func copyFile(to, from string, size int64) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
	}()
	n, err := io.Copy(out, in)
	if err != nil {
		return err
	}
	return out.Truncate(max(n, size))
}
