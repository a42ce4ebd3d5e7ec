// Package kmod finds and loads Linux kernel modules: a compact index written when the disc is
// built, a matcher for module aliases, and a loader around finit_module(2).
//
// The index replaces depmod's modules.dep, modules.alias, modules.softdep and modules.builtin. It is
// one text file that is read at once and searched in place, because dom0's init reads it, and so
// does every /sbin/modprobe that the kernel starts.
//
// Both sides use the package: the build side reads the modules' metadata, makes the modules smaller
// and writes the index; the run side reads the index and loads modules.
package kmod
