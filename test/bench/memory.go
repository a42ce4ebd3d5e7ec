package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/zerodisc/zerodisc/test/vm/qemu"
)

// piecePrefix begins the names of the figures of what dom0's memory in use consists of. They add up to idleMemory.
const piecePrefix = "of that, "

// Pieces that are more than a row of /proc/meminfo.
const (
	pieceMedium = piecePrefix + "copy of the medium" // so that it can be pulled
	pieceFiles  = piecePrefix + "other files (Shmem)"
	pieceZram   = piecePrefix + "compressed"
	pieceKept   = piecePrefix + "kept free by the kernel"
	pieceRest   = piecePrefix + "drivers' buffers and the rest"
)

// Memory beside that in use.
const (
	idleWithout = "dom0 RAM in use, idle, without the copy"
	idleKernel  = "dom0 RAM that is not in MemTotal"
)

// infoPieces are the other pieces: rows of /proc/meminfo, which are added.
var infoPieces = []struct {
	name string
	rows []string
}{
	{piecePrefix + "programs (AnonPages)", []string{"AnonPages"}},
	{piecePrefix + "kernel: slab", []string{"SUnreclaim"}},
	{piecePrefix + "kernel: modules, stacks, tables", []string{"VmallocUsed", "PageTables", "Percpu"}},
}

// Where dom0 shows what its memory is used for. The last of mm_stat's first three numbers is what compressed pages take
// (Documentation/admin-guide/blockdev/zram.rst); of df's three sizes the second is what is used, KiB.
var (
	infoRow    = regexp.MustCompile(`(?m)^(\w+(?:\(\w+\))?):\s+(\d+) kB`)
	zramStat   = regexp.MustCompile(`(?m)^\s*\d+\s+\d+\s+(\d+)\s+\d+\s+\d+\s`)
	mediumRow  = regexp.MustCompile(`(?m)^tmpfs\s+tmpfs\s+\d+\s+(\d+)\s+\d+\s+\d+%\s+/media/boot\s*$`)
	currentRow = regexp.MustCompile(`(?m)^(\d+)\s*$`)
)

// addPieces adds what dom0's memory in use consists of, in MiB, and all of it, with and without the medium's copy.
func addPieces(ctx context.Context, sample Sample, p *qemu.Process) error {
	var texts [4]string
	for i, command := range []string{
		"cat /proc/meminfo", "cat /sys/block/zram0/mm_stat", "df -k",
		"cat /sys/devices/system/xen_memory/xen_memory0/info/current_kb",
	} {
		text, err := p.Shell(ctx, command)
		if err != nil {
			return err
		}
		texts[i] = text
	}
	return sample.pieces(texts[0], texts[1], texts[2], texts[3])
}

// pieces computes them. What is free, and files that could be read again, are available, but for what the kernel keeps
// free, and the same again of each of its caches, so that it can go on working (mm/show_mem.c: si_mem_available).
func (s Sample) pieces(info, zram, df, current string) error {
	rows := map[string]float64{}
	for _, row := range infoRow.FindAllStringSubmatch(info, -1) {
		kib, err := strconv.ParseFloat(row[2], 64)
		if err != nil {
			return err
		}
		rows[row[1]] = kib / 1024
	}
	for _, want := range []string{"MemTotal", "MemAvailable", "Active(file)", "Shmem", "SUnreclaim", "VmallocUsed"} {
		if rows[want] == 0 {
			return fmt.Errorf("meminfo has no %s: %.200q", want, info)
		}
	}
	bytes, err := mebibytes(zram, zramStat)
	if err != nil {
		return err
	}
	given, err := mebibytes(current, currentRow)
	if err != nil {
		return err
	}
	medium := 0.0 // it was not copied
	if mediumRow.MatchString(df) {
		if medium, err = mebibytes(df, mediumRow); err != nil {
			return err
		}
	}
	inUse := rows["MemTotal"] - rows["MemAvailable"]
	s[idleMemory], s[idleWithout] = inUse, inUse-medium
	s[idleKernel] = given - rows["MemTotal"]
	s[pieceMedium], s[pieceFiles] = medium, rows["Shmem"]-medium
	s[pieceZram] = bytes / 1024
	s[pieceKept] = rows["MemFree"] + rows["Active(file)"] + rows["Inactive(file)"] + rows["KReclaimable"] -
		rows["MemAvailable"]
	rest := inUse - rows["Shmem"] - s[pieceZram] - s[pieceKept]
	for _, piece := range infoPieces {
		for _, row := range piece.rows {
			s[piece.name] += rows[row]
		}
		rest -= s[piece.name]
	}
	s[pieceRest] = rest
	return nil
}
