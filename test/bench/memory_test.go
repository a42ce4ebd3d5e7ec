package main

import (
	"math"
	"strings"
	"testing"
)

// What a machine has said of its memory.
const (
	exampleInfo = `MemTotal:         243692 kB
MemFree:          112852 kB
MemAvailable:     142020 kB
SwapCached:            0 kB
Active(file):      22608 kB
Inactive(file):    11192 kB
AnonPages:          8572 kB
Shmem:             43684 kB
KReclaimable:       2600 kB
SUnreclaim:        16044 kB
PageTables:         1048 kB
VmallocUsed:       13108 kB
Percpu:              576 kB
`
	exampleZram = " 5881856  1042217  3051520        0  3354624        0        0       37       37\n"
	exampleDF   = "rootfs               rootfs           48768      24412        24356   51% /            \n" +
		"tmpfs                tmpfs            27288      19068         8220   70% /media/boot  \n"
)

func TestPieces(t *testing.T) {
	s := Sample{}
	if err := s.pieces(exampleInfo, exampleZram, exampleDF, "320432\n"); err != nil {
		t.Fatal(err)
	}
	for name, kib := range map[string]float64{
		idleMemory: 101672, idleWithout: 82604, idleKernel: 76740,
		pieceMedium: 19068, pieceFiles: 24616, pieceZram: 2980,
		pieceKept: 7232, pieceRest: 8428, piecePrefix + "kernel: modules, stacks, tables": 14732,
	} {
		if math.Abs(s[name]-kib/1024) > 0.01 {
			t.Errorf("%s: %.2f MiB, want %.2f", name, s[name], kib/1024)
		}
	}
	var all float64
	for name, mib := range s {
		if strings.HasPrefix(name, piecePrefix) {
			all += mib
		}
	}
	if math.Abs(all-s[idleMemory]) > 0.01 {
		t.Errorf("the pieces are %.2f MiB, in use are %.2f", all, s[idleMemory])
	}
}

func TestPiecesWithoutCopy(t *testing.T) {
	s := Sample{}
	if err := s.pieces(exampleInfo, exampleZram, "", "320432"); err != nil || s[idleWithout] != s[idleMemory] {
		t.Errorf("%v, %v", s, err)
	}
	for _, info := range []string{"", "MemTotal: 1 kB\n"} {
		if err := s.pieces(info, exampleZram, exampleDF, "320432"); err == nil {
			t.Errorf("nothing is said of meminfo %q", info)
		}
	}
}
