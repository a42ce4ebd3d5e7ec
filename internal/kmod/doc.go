// Package kmod finds and loads Linux kernel modules: a compact index written when the disc is
// built, a matcher for module aliases, and a loader around finit_module(2).
//
// The index takes the place of depmod's modules.dep, modules.alias, modules.softdep and
// modules.builtin: one text file that is read in one go and searched in place, because dom0's
// init and each /sbin/modprobe the kernel starts have to read it.
//
// Both sides use the package: the build side reads modules' metadata, makes them smaller and
// writes the index; the run side reads the index and loads.
package kmod
